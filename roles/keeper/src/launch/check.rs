//! Whether a session may be started as the agent asks.

use abide_model::{AgentId, InvalidId, SessionId, UserName};
use abide_ticket::{KeyRing, StartOrder, VerifyError};
use abide_wire::keeper::{KeeperSpec, LaunchRequest, LoginUser, keeper_spec::Identity};
use nix::unistd::User;

use super::Settings;
use super::used::{UsedError, UsedOrders};

/// More brokers than a cluster has ever had: each certificate costs a signature check.
const MOST_CERTIFICATES: usize = 64;

/// Shells of accounts that nobody logs in to.
const NO_LOGIN: [&str; 4] = ["nologin", "false", "sync", "halt"];

/// What may be started.
#[derive(Debug)]
pub struct Allowed {
    /// The session.
    pub session: SessionId,
    /// What to keep: the agent's wish, with root's settings in place of what is not the agent's
    /// to choose.
    pub spec: KeeperSpec,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request is incomplete.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The session's id or the user's name.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// More certificates than there can be brokers.
    #[error("{0} key certificates are too many")]
    Certificates(usize),
    /// No broker of this cluster signed the order.
    #[error("the start order is not valid: {0}")]
    Order(#[from] VerifyError),
    /// The order is for another agent.
    #[error("the start order is for agent {0}")]
    OtherAgent(AgentId),
    /// The order is for another session.
    #[error("the start order is for session {0}")]
    OtherSession(SessionId),
    /// The order is for another user.
    #[error("the start order is for user {0}")]
    OtherUser(UserName),
    /// The order was used before.
    #[error(transparent)]
    Used(#[from] UsedError),
    /// The agent and the launcher do not agree where sessions are.
    #[error("sessions have their folders in {expected}, not at {found}: agent and launcher differ")]
    Folder {
        /// Root's setting.
        expected: String,
        /// The agent's wish.
        found: String,
    },
    /// It asks to run as the launcher itself.
    #[error("the launcher starts sessions as their users only")]
    Identity,
    /// The host does not know the user.
    #[error("there is no user {0} on this host")]
    UnknownUser(UserName),
    /// Root, or one of the system's users.
    #[error("user {user} is the system's (user id {uid}) and gets no desktop")]
    SystemUser {
        /// Who.
        user: UserName,
        /// The user id.
        uid: u32,
    },
    /// An account for no person.
    #[error("user {user} may not log in: the shell is {shell}")]
    NoLogin {
        /// Who.
        user: UserName,
        /// The shell.
        shell: String,
    },
    /// The name service does not work.
    #[error("cannot look up user {user}: {cause}")]
    Lookup {
        /// Who.
        user: UserName,
        /// Why.
        cause: nix::Error,
    },
}

/// Checks a request, and uses its order up.
///
/// # Errors
/// See [`Refusal`].
pub fn check(
    settings: &Settings,
    used: &mut UsedOrders,
    request: LaunchRequest,
) -> Result<Allowed, Refusal> {
    let mut spec = request.spec.ok_or(Refusal::Missing("the session to keep"))?;
    let order = verified(settings, &request.start_order, &request.key_certificates)?;
    if order.agent != settings.agent {
        return Err(Refusal::OtherAgent(order.agent));
    }
    if order.session != spec.session.parse()? {
        return Err(Refusal::OtherSession(order.session));
    }
    if order.user != spec.user.parse()? {
        return Err(Refusal::OtherUser(order.user));
    }
    let folder = settings.run_dir.join(order.session.to_string()).display().to_string();
    if spec.folder != folder {
        let expected = settings.run_dir.display().to_string();
        return Err(Refusal::Folder { expected, found: spec.folder });
    }
    if !matches!(spec.identity, Some(Identity::LoginUser(_))) {
        return Err(Refusal::Identity);
    }
    check_user(settings, &order.user)?;

    let server = spec.display_server.as_mut().ok_or(Refusal::Missing("the display server"))?;
    server.program = settings.display_server.display().to_string();
    spec.session = order.session.to_string();
    spec.identity = Some(Identity::LoginUser(LoginUser {
        pam_service: settings.pam_service.clone(),
        agent_gid: settings.agent_gid,
    }));
    // Last: an order is used up by a start that is tried, not by one that is refused.
    used.use_up(order.session, order.created_at)?;
    Ok(Allowed { session: order.session, spec })
}

fn verified(
    settings: &Settings,
    order: &str,
    certificates: &[String],
) -> Result<StartOrder, Refusal> {
    if certificates.len() > MOST_CERTIFICATES {
        return Err(Refusal::Certificates(certificates.len()));
    }
    let mut ring = KeyRing::new(settings.cluster, settings.root_key);
    for certificate in certificates {
        // One that is no good certifies nothing; the order's own is missed below.
        let _ = ring.admit(certificate);
    }
    Ok(ring.verify_order(order)?)
}

fn check_user(settings: &Settings, name: &UserName) -> Result<(), Refusal> {
    let found = User::from_name(name.as_str())
        .map_err(|cause| Refusal::Lookup { user: name.clone(), cause })?;
    let user = found.ok_or_else(|| Refusal::UnknownUser(name.clone()))?;
    let uid = user.uid.as_raw();
    // 65534 is nobody: what the host cannot tell who it is.
    if uid < settings.lowest_uid || uid == 0 || uid == 65534 {
        return Err(Refusal::SystemUser { user: name.clone(), uid });
    }
    match user.shell.file_name() {
        Some(shell) if NO_LOGIN.iter().any(|none| *none == shell) => {
            Err(Refusal::NoLogin { user: name.clone(), shell: user.shell.display().to_string() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use abide_model::{BrokerId, ClusterId, Timestamp};
    use abide_ticket::{KeyCertificate, SigningKey};
    use abide_wire::keeper::{AgentUser, DisplayServer};

    use super::*;

    const SESSION: &str = "0190a6f0-0000-7000-8000-000000000001";
    const CLUSTER: &str = "0190a6f0-0000-7000-8000-00000000000c";

    struct World {
        settings: Settings,
        used: UsedOrders,
        broker: SigningKey,
        certificate: String,
        _state: tempfile::TempDir,
    }

    fn id<T: std::str::FromStr<Err = InvalidId>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn world() -> World {
        let state = tempfile::tempdir().unwrap();
        let (root, broker) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let cluster: ClusterId = id(CLUSTER);
        let certificate = KeyCertificate {
            broker: id::<BrokerId>(&"b".repeat(32)),
            public_key: broker.verifying_key(),
            not_before: Timestamp(0),
        };
        World {
            settings: Settings {
                socket: None,
                agent_uid: 1,
                agent_gid: 2,
                agent: id(&"a".repeat(32)),
                cluster,
                root_key: root.verifying_key(),
                run_dir: "/run/abide/sessions".into(),
                state_dir: state.path().to_owned(),
                display_server: "/usr/bin/Xvnc".into(),
                pam_service: "abide".into(),
                lowest_uid: 1000,
            },
            used: UsedOrders::open(state.path()).unwrap(),
            certificate: root.sign(cluster, &certificate),
            broker,
            _state: state,
        }
    }

    fn order(agent: &str, user: &str) -> StartOrder {
        StartOrder {
            session: id(SESSION),
            user: id(user),
            agent: id(&agent.repeat(32)),
            profile: id("desktop"),
            pool: None,
            view_key: id(&"f".repeat(32)),
            idempotency_key: id("k"),
            created_at: Timestamp(1_000_000),
        }
    }

    fn request(world: &World, order: &StartOrder, user: &str) -> LaunchRequest {
        LaunchRequest {
            start_order: world.broker.sign(world.settings.cluster, order),
            key_certificates: vec!["rubbish".into(), world.certificate.clone()],
            spec: Some(KeeperSpec {
                session: SESSION.into(),
                user: user.into(),
                folder: format!("/run/abide/sessions/{SESSION}"),
                identity: Some(Identity::LoginUser(LoginUser {
                    pam_service: "su".into(),
                    agent_gid: 0,
                })),
                command: vec!["xterm".into()],
                display_server: Some(DisplayServer {
                    program: "/home/agent/evil".into(),
                    ..DisplayServer::default()
                }),
                ..KeeperSpec::default()
            }),
        }
    }

    #[test]
    fn what_no_broker_ordered_is_refused() {
        type Change = fn(&World, &mut LaunchRequest);
        let cases: [(Change, &str); 10] = [
            (|_, r| r.start_order.clear(), "the start order is not valid"),
            (|_, r| r.key_certificates.clear(), "is not one of this cluster's"),
            (
                |w, r| {
                    let stranger = SigningKey::from_seed(&[9; 32]);
                    r.start_order = stranger.sign(w.settings.cluster, &order("a", "games"));
                },
                "is not one of this cluster's",
            ),
            (
                |w, r| r.start_order = w.broker.sign(id(SESSION), &order("a", "games")),
                "the start order is not valid",
            ),
            (|w, r| *r = request(w, &order("c", "games"), "games"), "is for agent cccc"),
            (|w, r| *r = request(w, &order("a", "games"), "root"), "is for user games"),
            (
                |_, r| r.spec.as_mut().unwrap().session = CLUSTER.into(),
                "is for session 0190a6f0-0000-7000-8000-000000000001",
            ),
            (|_, r| r.spec.as_mut().unwrap().folder = "/etc".into(), "agent and launcher differ"),
            (
                |_, r| {
                    let identity = Identity::AgentUser(AgentUser::default());
                    r.spec.as_mut().unwrap().identity = Some(identity);
                },
                "as their users only",
            ),
            (|_, r| r.key_certificates = vec![String::new(); 65], "65 key certificates"),
        ];
        for (change, expected) in cases {
            let mut world = world();
            let mut asked = request(&world, &order("a", "games"), "games");
            change(&world, &mut asked);
            let refusal = check(&world.settings, &mut world.used, asked).unwrap_err();
            let text = refusal.to_string();
            assert!(text.contains(expected), "{text:?} has no {expected:?}");
        }
    }

    #[test]
    fn root_and_the_systems_users_are_refused_whoever_signed() {
        for (user, expected) in [
            ("root", "is the system's (user id 0)"),
            ("games", "is the system's (user id 5)"),
            ("nobody", "is the system's (user id 65534)"),
            ("no-such-user", "there is no user"),
        ] {
            let mut world = world();
            let asked = request(&world, &order("a", user), user);
            let refusal = check(&world.settings, &mut world.used, asked).unwrap_err();
            let text = refusal.to_string();
            assert!(text.contains(expected), "{text:?} has no {expected:?}");
        }
        let mut world = world();
        world.settings.lowest_uid = 1;
        let asked = request(&world, &order("a", "games"), "games");
        let refusal = check(&world.settings, &mut world.used, asked).unwrap_err();
        assert!(matches!(refusal, Refusal::NoLogin { .. }));
    }

    #[test]
    fn what_is_not_the_agents_to_choose_comes_from_root_and_an_order_works_once() {
        let mut world = world();
        // A user that every Debian has; its shell stops it, so give the check the one it needs.
        let user = std::fs::read_to_string("/etc/passwd").unwrap();
        let with_shell = user.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let shell = PathBuf::from(fields.get(6)?);
            let uid: u32 = fields[2].parse().ok()?;
            let bad = NO_LOGIN.iter().any(|none| shell.ends_with(none));
            (uid > 0 && uid < 65534 && !bad).then(|| fields[0].to_owned())
        });
        // Without one there is nobody whom this host would let in.
        let Some(user) = with_shell else { return };
        world.settings.lowest_uid = 1;
        let asked = request(&world, &order("a", &user), &user);
        let allowed = check(&world.settings, &mut world.used, asked.clone()).unwrap();
        assert_eq!(allowed.spec.display_server.unwrap().program, "/usr/bin/Xvnc");
        let expected = LoginUser { pam_service: "abide".into(), agent_gid: 2 };
        assert_eq!(allowed.spec.identity, Some(Identity::LoginUser(expected)));

        let again = check(&world.settings, &mut world.used, asked).unwrap_err();
        assert!(matches!(again, Refusal::Used(_)), "{again}");
    }
}
