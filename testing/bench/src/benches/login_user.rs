//! A keeper that opens a PAM session and becomes the person: what it holds in memory, and how long its
//! start takes, beside one that runs as the agent does. The difference is PAM's own time.
//!
//! Needs root, and somebody's name; so it is measured only when a name is given.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use abide_cluster::{Binaries, Profile};
use abide_launch::{Found, KeeperEvent, KeeperLink, Launcher, clean_up, inspect};
use abide_model::SessionId;
use abide_wire::keeper::keeper_spec::Identity;
use abide_wire::keeper::{AgentUser, DisplayServer, KeeperSpec, LoginUser};
use anyhow::ensure;
use uuid::Uuid;

use super::Lab;
use crate::figure::{Figure, Goal, Sample, Unit};
use crate::program::{DEADLINE, GLANCE, pss};

/// In each round, by turns.
const STARTS: usize = 5;
const MIB: f64 = 1024.0 * 1024.0;
const AGENT_USER: &str = "agent-user";
/// Every Linux has it, with the modules of an ordinary login.
const SERVICE: &str = "login";

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let samples = match &lab.login_user {
        Some(user) => lab.runtime.block_on(measure(lab, user))?,
        None => std::array::from_fn(|_| {
            vec![Sample::missing("Abide", "as root, give --login-user NAME to measure it")]
        }),
    };
    let [memory, start] = samples;
    Ok(vec![
        Figure::of("keeper, PSS, stock PAM loaded", Unit::Mebibytes, memory)
            .goal(Goal::AtMost(3.0)),
        Figure::of("start of keeper and desktop", Unit::Milliseconds, start),
    ])
}

async fn measure(lab: &Lab, user: &str) -> anyhow::Result<[Vec<Sample>; 2]> {
    let launcher = Launcher::Direct { keeper: Binaries::beside_this_program()?.keeper };
    // Sockets need a short path, and the person a way to it.
    let folder = tempfile::Builder::new().prefix("abide-").tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let mut found = [[const { Vec::new() }; 2], [const { Vec::new() }; 2]];
    for _ in 0..lab.rounds * STARTS {
        for (is_login, found) in [true, false].into_iter().zip(&mut found) {
            let identity = identity(is_login, folder.path());
            let values = keep(&launcher, folder.path(), user, identity).await?;
            found.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
        }
    }
    let [[memory, start], [plain_memory, plain_start]] = found;
    let samples = |abide, plain| vec![Sample::new("Abide", abide), Sample::new(AGENT_USER, plain)];
    Ok([samples(memory, plain_memory), samples(start, plain_start)])
}

fn identity(is_login: bool, folder: &Path) -> Identity {
    let text = |name: &str| folder.join(name).display().to_string();
    if is_login {
        Identity::LoginUser(LoginUser { pam_service: SERVICE.to_owned(), agent_gid: 0 })
    } else {
        Identity::AgentUser(AgentUser { home: text("home"), runtime_dir: text("runtime") })
    }
}

/// Bytes in MiB; milliseconds until it runs.
async fn keep(
    launcher: &Launcher,
    folder: &Path,
    user: &str,
    identity: Identity,
) -> anyhow::Result<[f64; 2]> {
    let session = SessionId(Uuid::now_v7());
    let folder = folder.join(session.to_string());
    let spec = KeeperSpec {
        session: session.to_string(),
        user: user.to_owned(),
        folder: folder.display().to_string(),
        identity: Some(identity),
        command: Profile::plain().command,
        display_server: Some(DisplayServer {
            program: "/usr/bin/Xvnc".to_owned(),
            width: 1280,
            height: 800,
            depth: 24,
        }),
        grace_ms: 2_000,
        plain: true,
        ..KeeperSpec::default()
    };
    let began = Instant::now();
    let status = launcher.start("", &[], spec).await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    let memory = pss(status.pid);
    let (_, mut link) = KeeperLink::connect(&folder).await?;
    link.end("measured").await?;
    while !matches!(link.next().await, KeeperEvent::Ended(_) | KeeperEvent::Gone) {}
    // It says so just before it goes.
    let began = Instant::now();
    while matches!(inspect(&folder)?, Found::Alive) {
        ensure!(began.elapsed() < DEADLINE, "the keeper does not go");
        tokio::time::sleep(GLANCE).await;
    }
    clean_up(&folder, session).await?;
    Ok([memory? as f64 / MIB, took])
}
