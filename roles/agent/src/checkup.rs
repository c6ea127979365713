//! What an agent needs of its host, and whether it has it: for `abide doctor`.

use std::path::Path;
use std::time::SystemTime;

use abide_checkup::{
    Account, CertificateOf, Closed, Finding, Local, Metrics, Report, Start, Unit, belongings,
    certificate, cgroups, file, find_program, folder, listens, program, reached, with_causes,
};
use abide_tls::{Identity, WebCertificate};

use crate::join::known_brokers;
use crate::launcher;
use crate::settings::{RunAs, Settings, Tls, settings_from};

const UNIT: &str = "abide-agent.service";
const LAUNCHER: &str = "abide-launcher.service";
const LAUNCHER_SOCKET: &str = "abide-launcher.socket";
const USER: &str = "abide-agent";
/// The service whose sessions the launcher's unit opens.
const PAM: &str = "/etc/pam.d/abide";
/// An offset that people should hear of, milliseconds.
const FAR_OFF: f64 = 5000.0;

/// Whether somebody has begun to make this host an agent.
pub fn is_wanted(config: &Path) -> bool {
    let folder = read(config).map_or("/etc/abide/identity/agent".into(), |it| it.identity_dir);
    Unit::look(UNIT).is_in_use() || folder.join("key.pem").exists()
}

/// Looks at this host's agent. Gives its settings if the configuration can be used.
pub async fn check_up(config: &Path, report: &mut Report) -> Option<Settings> {
    let settings = match read(config) {
        Ok(settings) => settings,
        Err(finding) => {
            report.add(*finding);
            return None;
        }
    };
    report.add(Finding::fine(config.display(), "can be used"));
    let unit = Unit::look(UNIT);
    if !identity(&settings, report) {
        // Nothing can run without: what follows from it is not told too.
        return Some(settings);
    }
    belongings(&unit, USER, &settings.identity_dir, &settings.data_dir, report);
    programs(&settings, report);
    match settings.run_as {
        RunAs::LoginUser { .. } => launching(&settings, report),
        RunAs::AgentUser { .. } => report.add(shared_user(&unit)),
    }
    brokers(&settings, report).await;
    report.add(unit.finding(Start::Enabled));
    // Of one that does not run there is no more to say.
    if unit.is_active() || !unit.exists() {
        report.add(listens(settings.http, UNIT).await);
        ask(&settings, report).await;
    }
    Some(settings)
}

fn read(config: &Path) -> Result<Settings, Box<Finding>> {
    let wrong = |what: String| Finding::wrong(config.display(), what, "edit the file");
    let text = std::fs::read_to_string(config).map_err(|error| wrong(error.to_string()))?;
    settings_from(config, &text).map_err(|problems| wrong(problems.to_string()).into())
}

/// Whether there is an identity.
fn identity(settings: &Settings, report: &mut Report) -> bool {
    let now = SystemTime::now();
    let place = settings.identity_dir.display();
    let identity = Identity::load(&settings.identity_dir);
    report.add(match &identity {
        Ok(found) => certificate(place, CertificateOf::Cluster, found.expires_at(), now),
        Err(error) => Finding::wrong(
            place,
            with_causes(error),
            "an administrator's `abide cluster token agent` gives a token; then: abide agent join",
        ),
    });
    if let Tls::Files { certificate: path, key } = &settings.tls {
        report.add(match WebCertificate::from_files(path.clone(), key.clone()) {
            Ok(found) => certificate(path.display(), CertificateOf::Site, found.expires_at(), now),
            Err(error) => Finding::wrong(
                path.display(),
                with_causes(&error),
                format!("put certificate and key there, readable by {USER}"),
            ),
        });
    }
    identity.is_ok()
}

fn programs(settings: &Settings, report: &mut Report) {
    let server = settings.display.program.display().to_string();
    report.add(program(&server, "tigervnc-standalone-server"));
    if settings.profiles.iter().any(|profile| !profile.plain) {
        report.add(program("dbus-run-session", "dbus-daemon"));
        report.add(program("xauth", "xauth"));
        report.add(file("/etc/X11/Xsession", "apt-get install x11-common"));
    }
    for profile in &settings.profiles {
        let Some(command) = profile.command.first() else { continue };
        let place = format!("profile {}", profile.name);
        report.add(match find_program(command) {
            Some(path) => Finding::fine(place, format!("{} is there", path.display())),
            None => Finding::wrong(
                place,
                format!("{command} is not installed"),
                "install it, or take the profile out of the configuration",
            ),
        });
    }
}

/// What desktops of their own users need.
fn launching(settings: &Settings, report: &mut Report) {
    let root = Account { name: "root".to_owned(), uid: 0 };
    report.add(folder(&settings.run_dir, &root, Closed::ForWriting));
    let mend = "apt-get install --reinstall -o Dpkg::Options::=--force-confmiss abide";
    report.add(file(PAM, mend));
    if let Ok(identity) = Identity::load(&settings.identity_dir) {
        let said = std::fs::read_to_string(launcher::LAUNCHER_ENV).unwrap_or_default();
        report.add(trust(&said, &launcher::env(&identity)));
    }
    report.add(Unit::look(LAUNCHER_SOCKET).finding(Start::Wanted));
    let unit = Unit::look(LAUNCHER);
    report.add(unit.finding(Start::Wanted));
    if unit.exists() {
        report.add(cgroups(&unit));
        report.add(outlives(&unit));
    }
}

/// Whether the launcher obeys the orders that the agent gets.
fn trust(said: &str, wanted: &str) -> Finding {
    let settings = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    match settings(said) == settings(wanted) {
        true => Finding::fine(launcher::LAUNCHER_ENV, "names this agent and its cluster"),
        false => Finding::wrong(
            launcher::LAUNCHER_ENV,
            "does not name this agent and its cluster: the launcher refuses its orders",
            format!("put this there, then: systemctl restart {LAUNCHER}\n{}", wanted.trim_end()),
        ),
    }
}

/// Whether desktops outlive the launcher.
fn outlives(unit: &Unit) -> Finding {
    match unit.property("KillMode") {
        "process" => Finding::fine(unit.name(), "ends no desktop when it is stopped"),
        mode => Finding::wrong(
            unit.name(),
            format!("would end all desktops when it is stopped (KillMode={mode})"),
            "its [Service] needs KillMode=process",
        ),
    }
}

/// Desktops of the agent's own user are its children: what it may not do they may not.
fn shared_user(unit: &Unit) -> Finding {
    if unit.property("PrivateTmp") == "yes" {
        return Finding::wrong(
            unit.name(),
            "desktops as the agent's user cannot run in this unit",
            "use /usr/share/doc/abide/examples/agent-user.conf, which says how",
        );
    }
    Finding::warning(
        "run_as",
        "all desktops run as the agent's user: people are not kept apart",
        "use run_as = \"login-user\" where that matters",
    )
}

async fn brokers(settings: &Settings, report: &mut Report) {
    let Ok(known) = known_brokers(&settings.identity_dir) else { return };
    let mut others = 0;
    let mut silent = Vec::new();
    for address in &known {
        match reached(address).await {
            Ok(()) => others += 1,
            Err(error) => silent.push((address, error)),
        }
    }
    for (address, error) in silent {
        let what = format!("this broker cannot be reached: {error}");
        let mend = "see whether it runs, and whether a firewall is between";
        report.add(match others {
            0 => Finding::wrong(address, what, mend),
            _ => Finding::warning(address, what, mend),
        });
    }
    if others > 0 {
        report.add(Finding::fine("brokers", format!("{others} can be reached")));
    }
}

/// What the agent says of itself.
async fn ask(settings: &Settings, report: &mut Report) {
    let asked = async { Local::new(settings.http, settings.tls != Tls::Off)?.metrics().await };
    match asked.await {
        Ok(metrics) => {
            report.add(streams(&metrics));
            metrics
                .all("abide_agent_clock_offset_milliseconds")
                .filter_map(|it| offset(it.label("broker"), it.value))
                .for_each(|found| report.add(found));
        }
        Err(error) => report.add(Finding::wrong(
            settings.http,
            with_causes(&error),
            format!("see why: journalctl -u {UNIT} -n 50"),
        )),
    }
}

fn streams(metrics: &Metrics) -> Finding {
    match metrics.value("abide_agent_brokers_connected") {
        Some(count) if count > 0.0 => {
            Finding::fine(UNIT, format!("is heard by {count:.0} brokers"))
        }
        _ => Finding::wrong(
            UNIT,
            "is heard by no broker",
            format!("see why: journalctl -u {UNIT} -n 50"),
        ),
    }
}

fn offset(broker: &str, milliseconds: f64) -> Option<Finding> {
    (milliseconds.abs() > FAR_OFF).then(|| {
        Finding::warning(
            "the host's clock",
            format!("is {:.1} s off that of broker {broker}", milliseconds / 1e3),
            "set the clock right that is wrong; see operating.md, Clocks",
        )
    })
}

#[cfg(test)]
mod tests {
    use abide_checkup::Grade;

    use super::*;

    #[test]
    fn the_launcher_must_obey_this_agents_cluster() {
        let wanted = "# who\nABIDE_AGENT_ID=a\nABIDE_CLUSTER=c\n";
        assert_eq!(trust("ABIDE_AGENT_ID=a\n\nABIDE_CLUSTER=c", wanted).grade, Grade::Fine);
        for said in ["", "ABIDE_AGENT_ID=a\nABIDE_CLUSTER=other\n"] {
            let found = trust(said, wanted);
            assert_eq!(found.grade, Grade::Wrong);
            assert!(found.mend.unwrap().ends_with("ABIDE_CLUSTER=c"));
        }
    }

    #[test]
    fn an_agent_that_no_broker_hears_is_wrong() {
        let of =
            |count| streams(&Metrics::parse(&format!("abide_agent_brokers_connected {count}")));
        assert_eq!(of(2).grade, Grade::Fine);
        assert_eq!(of(0).grade, Grade::Wrong);
    }

    #[test]
    fn a_clock_that_is_seconds_off_is_told() {
        assert_eq!(offset("b", 120.0), None);
        let found = offset("b", -61_000.0).unwrap();
        assert!(found.what.contains("-61.0 s off"), "{found:?}");
    }

    #[tokio::test]
    async fn brokers_that_cannot_be_reached_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        std::fs::write(folder.path().join("brokers"), format!("{here}\n{closed}\n")).unwrap();
        let text = format!(
            "public_url = 'https://a.example'\nrun_as = 'login-user'\nidentity_dir = '{}'\n\
             [[profile]]\nname = 'x'\ncommand = ['x']\n",
            folder.path().display()
        );
        let settings = settings_from(Path::new("agent.toml"), &text).unwrap();
        let mut report = Report::default();
        brokers(&settings, &mut report).await;
        assert_eq!(report.findings[0].place, closed.to_string());
        assert_eq!(report.findings[0].grade, Grade::Warning);
        assert_eq!(report.findings[1].what, "1 can be reached");
    }
}
