//! What was asked for, checked. Touches nothing.

use std::path::PathBuf;
use std::time::Duration;

use abide_desktop::{MAX_SOCKET_PATH, SessionFolder};
use abide_model::{InvalidId, SessionId, UserName};
use abide_wire::keeper::{KeeperSpec, keeper_spec};

/// What is wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The session's id or the user's name.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A path that must be absolute and without `..` is not.
    #[error("{what} must be an absolute path, found {found:?}")]
    Path {
        /// Which one.
        what: &'static str,
        /// What it is.
        found: String,
    },
    /// The kernel has no room for the sockets' paths.
    #[error(
        "the folder's path is {over} bytes too long: a socket's path has at most {MAX_SOCKET_PATH}; \
         choose a shorter run folder"
    )]
    FolderTooLong {
        /// By how much.
        over: usize,
    },
    /// Something that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A number is out of its bounds.
    #[error("{what} must be {bounds}, found {found}")]
    Number {
        /// Which one.
        what: &'static str,
        /// What it must be.
        bounds: &'static str,
        /// What it is.
        found: u32,
    },
    /// A name or text that the operating system cannot take.
    #[error("{what} holds {found:?}, which no program can be given")]
    Text {
        /// Where.
        what: &'static str,
        /// What.
        found: String,
    },
}

/// As whom the session runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// As the keeper's own user.
    AgentUser {
        /// The person's HOME.
        home: PathBuf,
        /// The person's XDG_RUNTIME_DIR.
        runtime_dir: PathBuf,
    },
    /// As the person, with a PAM session.
    LoginUser {
        /// The PAM service.
        service: String,
        /// The group that may open the session's sockets.
        agent_gid: u32,
    },
}

/// The display server to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its program.
    pub program: PathBuf,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bits.
    pub depth: u32,
}

/// One session to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its id.
    pub session: SessionId,
    /// Whose it is.
    pub user: UserName,
    /// Where its traces are.
    pub folder: SessionFolder,
    /// As whom it runs.
    pub identity: Identity,
    /// The profile's command; never empty.
    pub command: Vec<String>,
    /// Whether the command runs as it is, without Xsession and a bus of its own.
    pub plain: bool,
    /// The display server.
    pub server: Server,
    /// Added to the environment.
    pub environment: Vec<(String, String)>,
    /// Between SIGTERM and killing.
    pub grace: Duration,
}

impl TryFrom<KeeperSpec> for Plan {
    type Error = PlanError;

    fn try_from(spec: KeeperSpec) -> Result<Self, PlanError> {
        let folder = SessionFolder::new(path("the session's folder", spec.folder)?);
        let over = folder.longest_socket_path().saturating_sub(MAX_SOCKET_PATH);
        if over > 0 {
            return Err(PlanError::FolderTooLong { over });
        }
        if spec.command.first().is_none_or(String::is_empty) {
            return Err(PlanError::Missing("the command"));
        }
        for word in &spec.command {
            without_zero("the command", word)?;
        }
        let mut environment: Vec<_> = spec.environment.into_iter().collect();
        environment.sort();
        for (name, value) in &environment {
            without_zero("the environment", value)?;
            without_zero("the environment", name)?;
            if name.is_empty() || name.contains('=') {
                return Err(unfit("the environment", name));
            }
        }
        let server = spec.display_server.ok_or(PlanError::Missing("the display server"))?;
        Ok(Plan {
            session: spec.session.parse()?,
            user: spec.user.parse()?,
            folder,
            identity: identity(spec.identity.ok_or(PlanError::Missing("the identity"))?)?,
            command: spec.command,
            plain: spec.plain,
            server: Server {
                program: path("the display server", server.program)?,
                width: number("the width", server.width, 1..=32767, "1 to 32767")?,
                height: number("the height", server.height, 1..=32767, "1 to 32767")?,
                depth: number("the depth", server.depth, 8..=32, "8 to 32")?,
            },
            environment,
            grace: Duration::from_millis(spec.grace_ms.into()),
        })
    }
}

impl Plan {
    /// The group that may open the session's sockets besides their owner.
    pub fn agent_gid(&self) -> Option<u32> {
        match self.identity {
            Identity::AgentUser { .. } => None,
            Identity::LoginUser { agent_gid, .. } => Some(agent_gid),
        }
    }
}

fn identity(identity: keeper_spec::Identity) -> Result<Identity, PlanError> {
    Ok(match identity {
        keeper_spec::Identity::AgentUser(agent) => Identity::AgentUser {
            home: path("the person's home", agent.home)?,
            runtime_dir: path("the person's runtime folder", agent.runtime_dir)?,
        },
        keeper_spec::Identity::LoginUser(login) => {
            // PAM makes a file name of it.
            if login.pam_service.is_empty() || login.pam_service.contains(['/', '\0']) {
                return Err(unfit("the PAM service", &login.pam_service));
            }
            Identity::LoginUser { service: login.pam_service, agent_gid: login.agent_gid }
        }
    })
}

fn path(what: &'static str, text: String) -> Result<PathBuf, PlanError> {
    without_zero(what, &text)?;
    let path = PathBuf::from(&text);
    let climbs = path.components().any(|c| c.as_os_str() == "..");
    match path.is_absolute() && !climbs {
        true => Ok(path),
        false => Err(PlanError::Path { what, found: text }),
    }
}

fn number(
    what: &'static str,
    found: u32,
    range: std::ops::RangeInclusive<u32>,
    bounds: &'static str,
) -> Result<u32, PlanError> {
    match range.contains(&found) {
        true => Ok(found),
        false => Err(PlanError::Number { what, bounds, found }),
    }
}

fn without_zero(what: &'static str, text: &str) -> Result<(), PlanError> {
    match text.contains('\0') {
        true => Err(unfit(what, text)),
        false => Ok(()),
    }
}

fn unfit(what: &'static str, found: &str) -> PlanError {
    let found = found.chars().take(80).collect();
    PlanError::Text { what, found }
}

#[cfg(test)]
mod tests {
    use abide_wire::keeper::{AgentUser, DisplayServer, LoginUser};

    use super::*;

    fn spec() -> KeeperSpec {
        KeeperSpec {
            session: "0190a6f0-0000-7000-8000-000000000001".into(),
            user: "alice".into(),
            folder: "/run/abide/s".into(),
            identity: Some(keeper_spec::Identity::AgentUser(AgentUser {
                home: "/home/alice".into(),
                runtime_dir: "/run/user/1".into(),
            })),
            command: vec!["xterm".into()],
            display_server: Some(DisplayServer {
                program: "/usr/bin/Xvnc".into(),
                width: 1280,
                height: 800,
                depth: 24,
            }),
            environment: Default::default(),
            grace_ms: 2000,
            plain: true,
        }
    }

    #[test]
    fn what_is_asked_for_is_planned() {
        let plan = Plan::try_from(spec()).unwrap();
        assert_eq!(plan.grace, Duration::from_secs(2));
        assert_eq!(plan.agent_gid(), None);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_in_words() {
        type Change = fn(&mut KeeperSpec);
        let cases: [(Change, &str); 12] = [
            (|s| s.session = "x".into(), "a session id must be a UUID"),
            (|s| s.user = "a/b".into(), "a user name must be"),
            (|s| s.folder = "run".into(), "must be an absolute path"),
            (|s| s.folder = "/a/../b".into(), "must be an absolute path"),
            (
                |s| s.folder = format!("/{}", "x".repeat(100)),
                "the folder's path is 7 bytes too long",
            ),
            (|s| s.command.clear(), "the command is missing"),
            (|s| s.command[0].clear(), "the command is missing"),
            (|s| s.command[0].push('\0'), "no program can be given"),
            (
                |s| {
                    s.environment.insert("A=B".into(), "c".into());
                },
                "no program can be given",
            ),
            (|s| s.identity = None, "the identity is missing"),
            (
                |s| s.display_server.as_mut().unwrap().width = 40_000,
                "the width must be 1 to 32767, found 40000",
            ),
            (
                |s| {
                    s.identity = Some(keeper_spec::Identity::LoginUser(LoginUser {
                        pam_service: "../passwd".into(),
                        agent_gid: 1,
                    }));
                },
                "the PAM service holds",
            ),
        ];
        for (change, expected) in cases {
            let mut spec = spec();
            change(&mut spec);
            let error = Plan::try_from(spec).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} has no {expected:?}");
        }
    }
}
