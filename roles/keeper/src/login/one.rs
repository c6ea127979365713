//! One login, from the name to the yes or no.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use abide_model::UserName;
use abide_pam::{Code, Item, PamError, Transaction};
use abide_wire::keeper::login_refused::Kind;
use abide_wire::keeper::login_reply::Reply;
use abide_wire::keeper::login_request::Request;
use abide_wire::keeper::{LoginAccepted, LoginMessage, LoginRefused, LoginStart};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Group, User, alarm, getgrouplist};

use super::conversation::Relay;

/// Behind everything that keeps the cluster going.
const NICE: i32 = 10;

/// Why a login came to no answer.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The process cannot be made fit to hold passwords.
    #[error("cannot prepare for a login")]
    Prepare(#[source] io::Error),
    /// The broker is gone or speaks rubbish.
    #[error("the broker cannot be understood")]
    Broker(#[source] io::Error),
}

/// Why the person is not let in, and at which step it was found out.
enum No {
    Name,
    Proof(PamError),
    Account(PamError),
    System(String),
}

/// Serves the login on standard input. Killed by SIGALRM after `seconds`.
///
/// # Errors
/// See [`LoginError`]; a refused login is none.
pub fn one(service: &str, seconds: u32) -> Result<(), LoginError> {
    prepare(seconds).map_err(LoginError::Prepare)?;
    let stream = io::stdin().as_fd().try_clone_to_owned().map_err(LoginError::Prepare)?;
    let mut relay = Relay::new(UnixStream::from(stream));
    let start = match relay.hear().map_err(LoginError::Broker)? {
        Request::Start(start) => start,
        Request::Answers(_) => {
            return Err(LoginError::Broker(io::ErrorKind::InvalidData.into()));
        }
    };
    let mut pam = match Transaction::start(service, &start.user, relay) {
        Ok(pam) => pam,
        Err(error) => {
            eprintln!("PAM does not start: {error}");
            return Err(LoginError::Prepare(io::Error::other(error)));
        }
    };
    let outcome = log_in(&mut pam, service, &start);
    let relay = pam.conversation();
    if relay.gone {
        return Ok(());
    }
    if let Err(no) = &outcome {
        unsaid(no, &start.user).into_iter().for_each(|text| relay.tell(text));
    }
    let messages = relay.take_told();
    let reply = match outcome {
        Ok((user, groups)) => Reply::Accepted(LoginAccepted { user, groups, messages }),
        Err(no) => {
            if let No::System(detail) = &no {
                eprintln!("PAM is not working: {detail}");
            }
            let kind = kind(&no).into();
            Reply::Refused(LoginRefused { kind, messages })
        }
    };
    relay.say(reply).map_err(LoginError::Broker)
}

/// No core file and no debugger may see what is typed; no login may take longer than allowed.
fn prepare(seconds: u32) -> io::Result<()> {
    nix::sys::prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // SAFETY: nice(2) takes any number; that it may return -1 on success does not matter here.
    unsafe { libc::nice(NICE) };
    alarm::set(seconds);
    Ok(())
}

fn log_in(
    pam: &mut Transaction<Relay>,
    service: &str,
    start: &LoginStart,
) -> Result<(String, Vec<String>), No> {
    if start.user.parse::<UserName>().is_err() {
        return Err(No::Name);
    }
    if start.service != service {
        return Err(No::System(format!("the broker asks for the service {:?}", start.service)));
    }
    let system = |error: PamError| No::System(error.to_string());
    pam.set(Item::Tty, "abide").map_err(system)?;
    if !start.remote_host.is_empty() {
        pam.set(Item::RemoteHost, &start.remote_host).map_err(system)?;
    }
    pam.authenticate().map_err(No::Proof)?;
    pam.check_account().map_err(No::Account)?;
    let name = pam.user().map_err(system)?;
    let user = User::from_name(&name)
        .map_err(|error| No::System(error.to_string()))?
        .ok_or_else(|| No::System("an accepted user is not known to the host".to_owned()))?;
    let groups = groups(&user).map_err(|error| No::System(error.to_string()))?;
    Ok((user.name, groups))
}

fn groups(user: &User) -> io::Result<Vec<String>> {
    let name = CString::new(user.name.as_str())?;
    let mut names = Vec::new();
    for gid in getgrouplist(&name, user.gid)? {
        // A number without a name is nothing that a rule could be about.
        names.extend(Group::from_gid(gid)?.map(|group| group.name));
    }
    Ok(names)
}

/// What pam_shells(8) keeps to itself. The person has proved who it is, and may know.
fn unsaid(no: &No, user: &str) -> Option<LoginMessage> {
    let No::Account(PamError { code: Code::Authentication | Code::Denied, .. }) = no else {
        return None;
    };
    let shell = User::from_name(user).ok()??.shell;
    let shells = std::fs::read_to_string("/etc/shells").ok()?;
    let text = format!("The account's shell is {}, with which nobody logs in.", shell.display());
    (!is_listed(&shells, &shell)).then_some(LoginMessage { is_error: true, text })
}

/// Whether the shell is in a file like /etc/shells (shells(5)).
fn is_listed(shells: &str, shell: &Path) -> bool {
    shells.lines().any(|line| Path::new(line.trim()) == shell)
}

/// What the broker may know. While the proof is being asked for, a rule's no looks like a wrong
/// answer: modules differ in what they do first, and it must not be told who exists.
fn kind(no: &No) -> Kind {
    let (error, account) = match no {
        No::Name => return Kind::Authentication,
        No::System(_) => return Kind::System,
        No::Proof(error) => (error, false),
        No::Account(error) => (error, true),
    };
    match error.code {
        Code::AccountExpired => Kind::AccountExpired,
        Code::PasswordExpired => Kind::PasswordExpired,
        Code::Authentication | Code::Denied if account => Kind::AccessDenied,
        Code::Authentication | Code::Denied => Kind::Authentication,
        Code::System(_) => {
            eprintln!("PAM is not working: {error}");
            Kind::System
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_are_listed_line_by_line() {
        let shells = "# /etc/shells\n/bin/sh\n /bin/bash \n";
        assert!(is_listed(shells, Path::new("/bin/bash")));
        for other in ["/usr/sbin/nologin", "/bin", "", "# /etc/shells/x"] {
            assert!(!is_listed(shells, Path::new(other)), "{other}");
        }
    }

    #[test]
    fn each_answer_of_pam_has_its_kind() {
        let error = |code| PamError { call: "pam_test", code, text: String::new() };
        for (code, proof, account) in [
            (Code::Authentication, Kind::Authentication, Kind::AccessDenied),
            (Code::Denied, Kind::Authentication, Kind::AccessDenied),
            (Code::AccountExpired, Kind::AccountExpired, Kind::AccountExpired),
            (Code::PasswordExpired, Kind::PasswordExpired, Kind::PasswordExpired),
            (Code::System(9), Kind::System, Kind::System),
        ] {
            assert_eq!(kind(&No::Proof(error(code))), proof, "{code:?}");
            assert_eq!(kind(&No::Account(error(code))), account, "{code:?}");
        }
        assert_eq!(kind(&No::Name), Kind::Authentication);
        assert_eq!(kind(&No::System(String::new())), Kind::System);
    }
}
