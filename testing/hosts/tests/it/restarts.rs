//! Restarts, upgrades and removal of the package, with desktops in use.

use std::sync::Arc;
use std::time::Duration;

use abide_client::{Api, WishKey};
use abide_hosts::site::{Plan, Site, add_person, start};
use abide_hosts::{Host, Hosts, Person, install, newer_package, package, tell};
use abide_lab::viewer::Viewer;

const PLAN: Plan<'_> = Plan { brokers: &["h1"], agents: &["h1"], pair: None };

/// The desktop's processes, with when each began.
fn processes(host: &Host) -> anyhow::Result<String> {
    host.run(
        "ps -u ada -o pid,lstart,comm --sort pid --no-headers | grep -E 'xclock|Xtigervnc|Xvnc'",
    )
}

/// A host that is broker and agent, with ada's desktop on it, at which somebody looks.
struct Desk {
    lab: Hosts,
    site: Site,
    api: Arc<Api>,
    session: String,
    viewer: Viewer,
    /// The desktop's processes.
    before: String,
}

impl Desk {
    async fn lay() -> anyhow::Result<Self> {
        Self::lay_on("true").await
    }

    /// On a host on which these words were run before.
    async fn lay_on(words: &str) -> anyhow::Result<Self> {
        let lab = Hosts::boot(["h1"])?;
        lab.host("h1").run(words)?;
        lab.install(&package()?)?;
        let site = Site::found(&lab, PLAN).await?;
        let mut ada = Person::new("ada", "correct horse");
        add_person(lab.host("h1"), &ada)?;
        let api = Arc::new(site.log_in(&mut ada).await?);
        let reply = start(&api).await?;
        let session = reply.session.id.clone();
        let viewer = Viewer::attach_for_good(api.clone(), reply).await?;
        let look = async || processes(lab.host("h1")).ok().filter(|it| it.contains("xclock"));
        let before = lab.wait_for("the clock runs", look).await?;
        Ok(Self { lab, site, api, session, viewer, before })
    }

    fn host(&self) -> &Host {
        self.lab.host("h1")
    }

    /// The desktop lives, unchanged; it can be entered; nobody looked at a still picture for long.
    async fn check(&self, after: &str, still: Duration) -> anyhow::Result<()> {
        assert_eq!(processes(self.host())?, self.before, "after {after}");
        self.site.settle(&self.lab, PLAN).await?;
        self.api.connect(&self.session, &WishKey::random()).await?;
        let seen = self.viewer.pictures();
        let look = async || (self.viewer.pictures() > seen).then_some(());
        self.lab.wait_for("there is a new picture", look).await?;
        let gap = self.viewer.longest_gap()?;
        assert!(gap < still, "the picture stood still for {gap:?} after {after}");
        Ok(())
    }
}

/// The clock moves once a second; a restart of the agent may cost two.
const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(30);

async fn bears_restarts(desk: &Desk) -> anyhow::Result<()> {
    for units in ["abide-launcher", "abide-broker", "abide-login", "abide-agent", "'abide-*'"] {
        desk.host().run(&format!("systemctl restart {units}"))?;
        desk.check(&format!("the restart of {units}"), SHORT).await?;
    }
    let host = desk.host();
    for units in ["abide-launcher", "abide-broker", "abide-agent"] {
        host.run(&format!("systemctl kill --signal KILL --kill-who main {units}"))?;
        desk.check(&format!("the killing of {units}"), SHORT).await?;
    }
    host.run("systemctl stop 'abide-*.service'")?;
    assert_eq!(processes(host)?, desk.before, "while all units are stopped");
    host.run("systemctl start abide-broker abide-agent")?;
    desk.check("a stop of all units", LONG).await
}

#[test]
fn no_restart_of_a_unit_touches_a_desktop() {
    tell(no_restart_of_a_unit_touches_a_desktop, async {
        let desk = Desk::lay().await?;
        assert!(desk.host().run("loginctl list-sessions")?.contains("ada"));
        bears_restarts(&desk).await
    });
}

#[test]
fn no_restart_of_a_unit_touches_a_desktop_that_logind_knows_nothing_of() {
    tell(no_restart_of_a_unit_touches_a_desktop_that_logind_knows_nothing_of, async {
        // It lives in the launcher's own cgroup then.
        let desk = Desk::lay_on("pam-auth-update --remove systemd").await?;
        assert!(!desk.host().run("loginctl list-sessions")?.contains("ada"));
        bears_restarts(&desk).await
    });
}

#[test]
fn an_upgrade_keeps_desktops_and_their_viewers() {
    tell(an_upgrade_keeps_desktops_and_their_viewers, async {
        let desk = Desk::lay().await?;
        let pids = "systemctl show --property MainPID abide-broker abide-agent abide-launcher";
        let (host, pids_before) = (desk.host(), desk.host().run(pids)?);
        install(host, &newer_package()?)?;
        assert!(host.run("dpkg-query --show abide")?.trim().ends_with("0.1.0-1"));
        desk.check("the upgrade", SHORT).await?;
        let pids_after = host.run(pids)?;
        for (before, after) in pids_before.lines().zip(pids_after.lines()) {
            assert!(before != after || before.is_empty(), "not started anew: {after}");
        }
        host.run("abide doctor").map(drop)
    });
}

#[test]
fn removal_is_refused_while_there_are_desktops_and_a_purge_leaves_nothing() {
    tell(removal_is_refused_while_there_are_desktops_and_a_purge_leaves_nothing, async {
        let desk = Desk::lay().await?;
        let host = desk.host();
        let said = host.try_run("apt-get remove --yes abide", "")?;
        assert!(!said.status.success(), "{said:?}");
        let words = format!("{}{}", said.out, said.err);
        for expected in ["abide is not removed: 1 desktop(s)", "ABIDE_REMOVE_WITH_SESSIONS=1"] {
            assert!(words.contains(expected), "{words}");
        }
        desk.check("a removal that was refused", SHORT).await?;
        host.run("ABIDE_REMOVE_WITH_SESSIONS=1 apt-get remove --yes abide")?;
        assert_eq!(processes(host).unwrap_or_default(), "");
        assert!(
            host.run("test -e /etc/abide/broker.toml && test -e /var/lib/abide/broker").is_ok()
        );
        host.run("apt-get purge --yes abide")?;
        let places = "/etc /usr /var /run /tmp /home /root";
        let left = format!("find {places} -xdev -iname '*abide*' -not -name 'abide_*.deb' | sort");
        assert_eq!(host.run(&left)?, "");
        assert_eq!(
            host.run("getent passwd | grep abide; getent group | grep ^abide-[^a]; true")?,
            ""
        );
        assert_eq!(host.run("systemctl list-units --all --no-legend '*abide*'")?, "");
        Ok(())
    });
}
