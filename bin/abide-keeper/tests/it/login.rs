//! The login helper, with PAM's own modules.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use abide_wire::frame;
use abide_wire::keeper::login_refused::Kind;
use abide_wire::keeper::login_reply::Reply;
use abide_wire::keeper::login_request::Request;
use abide_wire::keeper::{LoginAccepted, LoginAnswers, LoginReply, LoginRequest, LoginStart};

use crate::desk::{Desk, KEEPER, eventually};
use crate::namespace::{self, PASSWORD};

struct Helper {
    child: Child,
    socket: PathBuf,
    service: &'static str,
    desk: Desk,
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn helper(service: &'static str, more: &[&str]) -> Helper {
    let desk = Desk::new();
    let nologin = desk.path().join("nologin");
    fs::write(&nologin, "Closed for repairs.\n").unwrap();
    let unix = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n".to_owned();
    let closed = format!(
        "auth required pam_unix.so nodelay\naccount required pam_nologin.so file={}\n",
        nologin.display()
    );
    let two = "auth required pam_unix.so nodelay\nauth required pam_stress.so\n\
               account required pam_unix.so\n";
    let broken = "auth required no_such_module.so\n".to_owned();
    let services =
        [("abide", unix), ("closed", closed), ("two", two.to_owned()), ("broken", broken)];
    namespace::enter(desk.path(), &services);
    let socket = desk.path().join("login.sock");
    let mut command = Command::new(KEEPER);
    command.args(["login-helper", "--broker-user", "0", "--service", service, "--socket"]);
    let child = command.arg(&socket).args(more).spawn().unwrap();
    let helper = Helper { child, socket, service, desk };
    eventually("it listens", || UnixStream::connect(&helper.socket).is_ok());
    helper
}

impl Helper {
    fn begin(&self, user: &str) -> Login {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut login = Login { stream };
        login.say(Request::Start(LoginStart {
            service: self.service.into(),
            user: user.into(),
            remote_host: "192.0.2.7".into(),
        }));
        login
    }

    /// Logs in with these answers, one a prompt. The prompts' texts and how it ended.
    fn log_in(&self, user: &str, answers: &[&str]) -> (Vec<String>, Outcome) {
        let mut login = self.begin(user);
        let mut asked = Vec::new();
        let mut answers = answers.iter();
        loop {
            match login.hear() {
                Reply::Prompts(prompts) => {
                    assert!(prompts.prompts.iter().all(|prompt| !prompt.echo));
                    asked.extend(prompts.prompts.iter().map(|prompt| prompt.text.clone()));
                    let now = prompts.prompts.iter().map(|_| (*answers.next().unwrap()).into());
                    login.say(Request::Answers(LoginAnswers { answers: now.collect() }));
                }
                Reply::Accepted(accepted) => return (asked, Outcome::In(accepted)),
                Reply::Refused(refused) => {
                    let told = refused.messages.iter().map(|m| m.text.clone()).collect();
                    return (asked, Outcome::Out(refused.kind(), told));
                }
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    In(LoginAccepted),
    Out(Kind, Vec<String>),
}

struct Login {
    stream: UnixStream,
}

impl Login {
    fn say(&mut self, request: Request) {
        frame::write(&mut self.stream, &LoginRequest { request: Some(request) }).unwrap();
    }

    fn hear(&mut self) -> Reply {
        let reply: LoginReply = frame::read(&mut self.stream).unwrap();
        reply.reply.unwrap()
    }
}

#[test]
fn the_right_password_lets_in_and_tells_name_and_groups() {
    let helper = helper("abide", &[]);
    let (asked, outcome) = helper.log_in("alice", &[PASSWORD]);
    assert_eq!(asked, ["Password: "]);
    let Outcome::In(accepted) = outcome else { panic!("{outcome:?}") };
    assert_eq!(accepted.user, "alice");
    assert_eq!(accepted.groups, ["alice", "staff-of-abide"]);
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_alike() {
    let helper = helper("abide", &[]);
    let wrong = helper.log_in("alice", &["wrong"]);
    let unknown = helper.log_in("nobody-here", &[PASSWORD]);
    let locked = helper.log_in("agent", &[PASSWORD]);
    let expected = (vec!["Password: ".to_owned()], Outcome::Out(Kind::Authentication, vec![]));
    assert_eq!(wrong, expected);
    assert_eq!(unknown, expected);
    assert_eq!(locked, expected);
    // An answer longer than PAM takes, and one with a zero byte, are wrong and harm nobody.
    for strange in ["x".repeat(600), "a\0b".to_owned()] {
        let (_, outcome) = helper.log_in("alice", &[&strange]);
        assert!(matches!(outcome, Outcome::Out(..)), "{outcome:?}");
    }
    assert!(matches!(helper.log_in("alice", &[PASSWORD]).1, Outcome::In(_)));
}

#[test]
fn an_expired_account_and_an_expired_password_are_said_after_the_proof_only() {
    let helper = helper("abide", &[]);
    let (_, outcome) = helper.log_in("expired", &[PASSWORD]);
    let Outcome::Out(Kind::AccountExpired, told) = outcome else { panic!("{outcome:?}") };
    assert!(told.iter().any(|text| text.contains("account has expired")), "{told:?}");
    let (_, outcome) = helper.log_in("stale", &[PASSWORD]);
    let Outcome::Out(Kind::PasswordExpired, told) = outcome else { panic!("{outcome:?}") };
    assert!(!told.is_empty());
    let (_, outcome) = helper.log_in("expired", &["wrong"]);
    assert_eq!(outcome, Outcome::Out(Kind::Authentication, vec![]));
}

#[test]
fn a_second_question_is_asked() {
    let helper = helper("two", &[]);
    let both = ["Password: ", "STRESS Password: "];
    let (asked, outcome) = helper.log_in("alice", &[PASSWORD, "123456"]);
    assert_eq!(asked, both);
    assert!(matches!(outcome, Outcome::In(_)));
    // Which of the two was wrong is not told.
    let (asked, outcome) = helper.log_in("alice", &["wrong", "123456"]);
    assert_eq!(asked, both);
    assert_eq!(outcome, Outcome::Out(Kind::Authentication, vec![]));
}

#[test]
fn a_closed_host_says_so_in_its_own_words() {
    let helper = helper("closed", &[]);
    let (_, outcome) = helper.log_in("alice", &[PASSWORD]);
    let Outcome::Out(Kind::AccessDenied, told) = outcome else { panic!("{outcome:?}") };
    assert!(told[0].contains("Closed for repairs."), "{told:?}");
}

#[test]
fn a_broken_pam_is_the_systems_fault_and_not_the_persons() {
    let helper = helper("broken", &[]);
    let (_, outcome) = helper.log_in("alice", &[PASSWORD]);
    assert!(matches!(outcome, Outcome::Out(Kind::System, _)), "{outcome:?}");
}

#[test]
fn another_service_than_roots_is_not_asked_for() {
    let mut helper = helper("abide", &[]);
    helper.service = "broken";
    let (asked, outcome) = helper.log_in("alice", &[PASSWORD]);
    assert_eq!((asked.len(), outcome), (0, Outcome::Out(Kind::System, vec![])));
}

#[test]
fn only_the_broker_may_ask_and_rubbish_ends_its_own_login_only() {
    let helper = helper("abide", &[]);
    fs::set_permissions(&helper.socket, std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .unwrap();
    let dir = helper.desk.path();
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // Someone else may connect and hears nothing.
    let script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); \
                  s.settimeout(20); sys.exit(len(s.recv(1)))";
    let mut other = Command::new("/usr/bin/python3");
    other.args(["-c", script]).arg(&helper.socket).uid(54399).gid(54399);
    assert!(other.status().unwrap().success());

    for rubbish in [&[0xff; 64][..], &[0, 0, 0, 0], &[0, 0, 0, 3, 1, 2, 3]] {
        let mut stream = UnixStream::connect(&helper.socket).unwrap();
        let _ = std::io::Write::write_all(&mut stream, rubbish);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    assert!(matches!(helper.log_in("alice", &[PASSWORD]).1, Outcome::In(_)));
}

#[test]
fn one_login_too_many_waits_and_one_too_slow_is_ended() {
    let helper = helper("abide", &["--most", "1", "--seconds", "2"]);
    // It has its process, and the person types nothing.
    let mut slow = helper.begin("alice");
    assert!(matches!(slow.hear(), Reply::Prompts(_)));
    let before = Instant::now();
    let (_, outcome) = helper.log_in("alice", &[PASSWORD]);
    assert!(matches!(outcome, Outcome::In(_)), "{outcome:?}");
    assert!(before.elapsed() >= Duration::from_secs(1), "it was not served beside the first");
    let mut rest = Vec::new();
    slow.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn a_login_process_has_low_priority_and_shows_its_memory_to_nobody() {
    let helper = helper("abide", &[]);
    let mut login = helper.begin("alice");
    assert!(matches!(login.hear(), Reply::Prompts(_)));
    // The connection that found out whether the helper listens had a process too.
    let children = || abide_desktop::processes::descendants(helper.child.id());
    eventually("only this login's process is left", || children().len() == 1);
    let child = children()[0];
    let niceness = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(16);
        fields.unwrap().parse::<i32>().unwrap()
    };
    assert_eq!(niceness(child), (niceness(helper.child.id()) + 10).min(19));
    let limits = fs::read_to_string(format!("/proc/{child}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_ascii_whitespace().nth(4), Some("0"));
    drop(login);
    eventually("the process ends with its login", || {
        abide_desktop::processes::descendants(helper.child.id()).is_empty()
    });
}
