//! People with accounts on the hosts log in, and their desktops are theirs.

use abide_hosts::site::{Plan, Site, add_person, fact, start};
use abide_hosts::{Hosts, Person, package, tell};

const PLAN: Plan<'_> = Plan { brokers: &["h1"], agents: &["h2"], pair: None };

async fn site() -> anyhow::Result<(Hosts, Site, Person)> {
    let lab = Hosts::boot(["h1", "h2"])?;
    lab.install(&package()?)?;
    let site = Site::found(&lab, PLAN).await?;
    let ada = Person::new("ada", "correct horse");
    lab.on_each(|host| add_person(host, &ada))?;
    Ok((lab, site, ada))
}

#[test]
fn a_desktop_is_a_login_of_its_person() {
    tell(a_desktop_is_a_login_of_its_person, async {
        let (lab, site, mut ada) = site().await?;
        let host = lab.host("h2");
        host.write(
            "/etc/security/limits.d/lab.conf",
            "ada soft nofile 777\nada hard nofile 888\n",
        )?;
        host.write("/etc/default/locale", "LANG=de_DE.UTF-8\n")?;
        host.write("/etc/sudoers.d/lab", "ada ALL=(ALL) NOPASSWD: ALL\n")?;
        host.run("usermod --append --groups games ada")?;
        let api = site.log_in(&mut ada).await?;
        assert_eq!(ada.asked, ["Password: "]);
        let session = start(&api).await?.session.id;
        let of = async |name: &str| {
            let look = async || fact(host, &ada, &session, name).ok();
            lab.wait_for(&format!("the desktop writes down its {name}"), look).await
        };
        assert_eq!(of("user").await?, "ada");
        assert_eq!(of("groups").await?, "ada games");
        assert_eq!(of("home").await?, "/home/ada");
        assert_eq!(of("files").await?, "777");
        assert_eq!(of("umask").await?, "0022");
        assert_eq!(of("sudo").await?, "0", "sudo works in a session");
        let environment = of("environment").await?;
        for expected in ["LANG=de_DE.UTF-8", "HOME=/home/ada", "SHELL=/bin/bash"] {
            assert!(environment.lines().any(|it| it == expected), "{expected}:\n{environment}");
        }
        let uid = host.run("id -u ada")?;
        let runtime = format!("XDG_RUNTIME_DIR=/run/user/{}", uid.trim());
        assert!(environment.lines().any(|it| it == runtime), "{environment}");
        let login = of("login").await?;
        for expected in ["Name=ada", "Service=abide", "Type=x11", "Class=user", "Active=yes"] {
            assert!(login.lines().any(|it| it == expected), "{expected}:\n{login}");
        }
        assert!(of("cgroup").await?.contains("/user.slice/user-"), "{}", of("cgroup").await?);

        site.admin.end(&session).await?;
        lab.wait_for("nothing of ada is left", async || {
            let logins = host.run("loginctl list-sessions --no-legend").ok()?;
            let alone = host.run("! pgrep --uid ada --exact 'Xvnc|xclock|Xtigervnc'").is_ok();
            (alone && !logins.contains("ada")).then_some(())
        })
        .await
    });
}

#[test]
fn one_person_has_two_desktops_side_by_side() {
    tell(one_person_has_two_desktops_side_by_side, async {
        let (lab, site, mut ada) = site().await?;
        let host = lab.host("h2");
        let api = site.log_in(&mut ada).await?;
        let (one, two) = (start(&api).await?.session.id, start(&api).await?.session.id);
        assert_ne!(one, two);
        let mut seen = Vec::new();
        for session in [&one, &two] {
            let environment = lab.wait_for("the desktop runs", async || {
                fact(host, &ada, session, "environment").ok()
            });
            let environment = environment.await?;
            let of = |name: &str| {
                let line = environment.lines().find(|it| it.starts_with(name));
                line.unwrap_or_else(|| panic!("no {name}: {environment}")).to_owned()
            };
            seen.push((of("DISPLAY="), of("XDG_SESSION_ID="), of("DBUS_SESSION_BUS_ADDRESS=")));
        }
        assert!(seen[0].0 != seen[1].0 && seen[0].1 != seen[1].1 && seen[0].2 != seen[1].2);
        site.admin.end(&one).await?;
        lab.wait_for("one desktop is left", async || {
            (host.run("pgrep --uid ada --exact --count xclock").ok()?.trim() == "1").then_some(())
        })
        .await?;
        assert_eq!(api.sessions().await?.sessions.iter().filter(|it| it.id == two).count(), 1);
        Ok(())
    });
}

#[test]
fn each_refused_login_is_told_in_plain_words() {
    tell(each_refused_login_is_told_in_plain_words, async {
        let (lab, site, ada) = site().await?;
        let broker = lab.host("h1");
        for name in ["oldword", "gone", "longgone", "locked", "shell"] {
            add_person(broker, &Person::new(name, "correct horse"))?;
        }
        broker.run("chage --lastday 0 oldword; chage --expiredate 2020-01-01 gone")?;
        broker.run("chage --lastday 2020-01-01 --maxdays 30 --inactive 30 longgone")?;
        broker.run("passwd --lock locked; usermod --shell /usr/sbin/nologin shell")?;
        let wrong = "The user name or an answer is wrong.";
        let old = "Your password has expired and must be changed first.";
        for (name, password, expected, text) in [
            ("ada", "wrong", wrong, ""),
            ("nobody-here", "correct horse", wrong, ""),
            // On purpose: PAM does not tell a locked password from a wrong one.
            ("locked", "correct horse", wrong, ""),
            ("root", "correct horse", wrong, ""),
            ("oldword", "correct horse", old, "change your password"),
            ("longgone", "correct horse", old, "expired"),
            (
                "gone",
                "correct horse",
                "Your account has expired. Ask your administrator.",
                "expired",
            ),
            ("shell", "correct horse", "You may not log in here now.", "/usr/sbin/nologin"),
        ] {
            let (said, texts) = site.refusal(&mut Person::new(name, password)).await?;
            assert_eq!(said, expected, "{name}: {texts:?}");
            assert!(texts.concat().contains(text), "{name}: {texts:?}");
            assert!(texts.len() <= 1, "{name} is told once: {texts:?}");
        }
        broker.write("/run/nologin", "The hosts are cleaned until noon.\n")?;
        let (said, texts) = site.refusal(&mut ada.clone()).await?;
        assert_eq!(said, "You may not log in here now.");
        assert!(texts.concat().contains("cleaned until noon"), "{texts:?}");
        broker.run("rm /run/nologin")?;
        site.log_in(&mut ada.clone()).await.map(drop)
    });
}

#[test]
fn who_is_unknown_on_the_desktops_host_hears_so() {
    tell(who_is_unknown_on_the_desktops_host_hears_so, async {
        let (lab, site, mut ada) = site().await?;
        let mut bob = Person::new("bob", "correct horse");
        add_person(lab.host("h1"), &bob)?;
        let failure = start(&site.log_in(&mut bob).await?).await.unwrap_err();
        assert!(format!("{failure:#}").contains("there is no user bob on"), "{failure:#}");
        let host = lab.host("h2");
        host.write("/run/nologin", "The host is cleaned until noon.\n")?;
        let api = site.log_in(&mut ada).await?;
        let failure = start(&api).await.unwrap_err();
        assert!(format!("{failure:#}").contains("cleaned until noon"), "{failure:#}");
        host.run("rm /run/nologin; usermod --shell /usr/sbin/nologin ada")?;
        let failure = start(&api).await.unwrap_err();
        assert!(format!("{failure:#}").contains("/usr/sbin/nologin"), "{failure:#}");
        host.run("usermod --shell /bin/bash ada")?;
        start(&api).await.map(drop)
    });
}

#[test]
fn a_second_factor_is_asked_for_once_and_used_once() {
    tell(a_second_factor_is_asked_for_once_and_used_once, async {
        let (lab, site, ada) = site().await?;
        let broker = lab.host("h1");
        let line = "auth required pam_google_authenticator.so";
        broker.run(&format!("sed -i '/^@include common-auth/a {line}' /etc/pam.d/abide"))?;
        broker.run(&format!("grep -q '^{line}' /etc/pam.d/abide"))?;
        let codes = "AAAAAAAAAAAAAAAAAAAAAAAAAA\n\" TOTP_AUTH\n11111111\n22222222\n";
        broker.write("/home/ada/.google_authenticator", codes)?;
        broker.run(
            "cd /home/ada; chown ada .google_authenticator; chmod 400 .google_authenticator",
        )?;
        let mut first = ada.clone().with("erification code", "11111111");
        let api = site.log_in(&mut first).await?;
        assert_eq!(first.asked, ["Password: ", "Verification code: "]);
        // The agent asks nobody again.
        start(&api).await?;
        let mut again = ada.clone().with("erification code", "11111111");
        let (said, _) = site.refusal(&mut again).await?;
        assert_eq!(said, "The user name or an answer is wrong.");
        let mut other = ada.with("erification code", "22222222");
        site.log_in(&mut other).await.map(drop)
    });
}
