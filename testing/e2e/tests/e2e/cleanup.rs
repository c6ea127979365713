//! What is left of a session after its end: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use abide_api::{Session, SessionState};
use abide_cluster::{Keeper, Profile};
use abide_e2e::processes::{self, Process};
use abide_e2e::wait::until;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{World, look, patch_in, scene, scene_of};

/// A program that leaves its parent, its process group and its session twice over, and does not go
/// when it is asked to.
const STUBBORN: &str = "(setsid sh -c 'trap \"\" TERM HUP INT; \
     (setsid sh -c \"while :; do sleep 1; done\" &) ; while :; do sleep 1; done' &) ; \
     exec sleep infinity";
/// The same without its session's mark.
const DISGUISED: &str = "(setsid env -i sh -c 'trap \"\" TERM HUP INT; \
     (setsid sh -c \"while :; do sleep 1; done\" &) ; while :; do sleep 1; done' &) ; \
     exec sleep infinity";

/// Everything that one session has on its host.
struct Traces {
    processes: BTreeSet<Process>,
    files: Vec<PathBuf>,
}

impl Traces {
    fn of(world: &World, session: &Session) -> (Self, Keeper) {
        let agent = &world.cluster.agents()[world.agent_of(session)];
        let keeper = agent.keeper(&session.id).unwrap();
        let mut processes = processes::of_session(&session.id);
        processes.extend(processes::below(keeper.pid));
        let pids = [keeper.pid, keeper.display_server_pid, keeper.command_pid];
        processes.extend(pids.map(|pid| processes::read(pid).unwrap()));
        let environments = processes.iter().map(Process::environment);
        let cookies: BTreeSet<_> =
            environments.filter_map(|mut it| it.remove("XAUTHORITY")).map(PathBuf::from).collect();
        assert!(!cookies.is_empty(), "no program has a cookie");
        let folder = agent.run_dir().join(&session.id);
        let mut files = vec![
            folder.clone(),
            folder.join("x/rfb.sock"),
            PathBuf::from(format!("/tmp/.X11-unix/X{}", keeper.display)),
        ];
        files.extend(cookies);
        for file in &files {
            assert!(file.exists(), "{} is not there while the session runs", file.display());
        }
        files.push(PathBuf::from(format!("/tmp/.X{}-lock", keeper.display)));
        let groups = cgroups_of(&session.id);
        println!("{} processes, cgroups: {groups:?}", processes.len());
        files.extend(groups);
        (Self { processes, files }, keeper)
    }

    async fn until_gone(&self) {
        until("every process of the session is gone", async || {
            let living: Vec<_> = self.processes.iter().filter(|it| it.lives()).collect();
            living.is_empty().then_some(())
        })
        .await
        .unwrap_or_else(|late| {
            let living: Vec<_> = self.processes.iter().filter(|it| it.lives()).collect();
            panic!("{late}: {living:#?}")
        });
        until("every file of the session is gone", async || {
            self.files.iter().all(|it| !it.exists()).then_some(())
        })
        .await
        .unwrap_or_else(|late| {
            let left: Vec<_> = self.files.iter().filter(|it| it.exists()).collect();
            panic!("{late}: {left:#?}")
        });
    }
}

/// The cgroups that bear the session's id.
fn cgroups_of(session: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|it| it.is_dir()) {
                let path = entry.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if name.contains(session) { found.push(path) } else { left.push(path) }
            }
        }
    }
    found
}

async fn session_of(world: &World) -> (Session, Traces, Keeper) {
    let session = world.person("ada").await.open().await.session;
    let keeper = world.cluster.agents()[0].keeper(&session.id).unwrap();
    // The program that ignores SIGTERM, and the one that it has forked away.
    until("the stubborn ones run", async || {
        let all = processes::below(keeper.pid);
        let is = |begins: &str| {
            all.iter().any(|it| it.command.iter().any(|word| word.starts_with(begins)))
        };
        (is("trap") && is("while")).then_some(())
    })
    .await
    .unwrap();
    let (traces, keeper) = Traces::of(world, &session);
    (session, traces, keeper)
}

#[tokio::test]
async fn an_ended_session_leaves_nothing_however_stubborn_its_programs() {
    for program in [STUBBORN, DISGUISED] {
        let profile = Profile::new("stubborn", &["sh", "-c", program]);
        let world = World::start(1, profile).await;
        let (session, traces, _) = session_of(&world).await;
        world.admin.end(&session.id).await.unwrap();
        traces.until_gone().await;
        let ended = |it: &Session| it.state == SessionState::Ended;
        let (told, _) = world.until_told(&session.id, "the session has ended", ended).await;
        assert_eq!(told.reason.as_deref(), Some("ended by admin"));
        assert_eq!(world.cluster.agents()[0].session_folders(), Vec::<String>::new());
        assert!(processes::of_session(&session.id).is_empty());
    }
}

#[tokio::test]
async fn a_killed_keepers_session_leaves_nothing_and_is_said_to_be_over() {
    let profile = Profile::new("stubborn", &["sh", "-c", STUBBORN]);
    let world = World::start(1, profile).await;
    let (session, traces, keeper) = session_of(&world).await;
    let pid = Pid::from_raw(keeper.pid.cast_signed()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    traces.until_gone().await;
    let over = |it: &Session| matches!(it.state, SessionState::Ended | SessionState::Lost);
    let (told, _) = world.until_told(&session.id, "the session is over", over).await;
    let reason = told.reason.unwrap();
    assert!(reason.contains(&format!("process {}", keeper.pid)), "{reason}");
    assert!(processes::of_session(&session.id).is_empty());
}

#[tokio::test]
async fn two_desktops_of_one_person_live_side_by_side() {
    let world = World::start(1, scene()).await;
    let ada = world.person("ada").await;
    let (one, other) = (ada.another().await, ada.another().await);
    let (one_x, other_x) = (scene_of(&one.session.id).await, scene_of(&other.session.id).await);
    let agent = &world.cluster.agents()[0];
    let (one_keeper, other_keeper) =
        (agent.keeper(&one.session.id).unwrap(), agent.keeper(&other.session.id).unwrap());
    assert_ne!(one_keeper.display, other_keeper.display);

    // What is typed into one is seen in it alone.
    let mut viewer = look(&one).await;
    let untouched = patch_in(&other_x.screen().unwrap());
    viewer.press('k'.into()).await.unwrap();
    let typed = abide_e2e::scene::colour_of('k'.into());
    let wanted = |it: &abide_e2e::image::Image| patch_in(it) == typed;
    until("one shows the key", async || wanted(&one_x.screen().unwrap()).then_some(()))
        .await
        .unwrap();
    assert_eq!(patch_in(&other_x.screen().unwrap()), untouched);

    // The end of one is no business of the other.
    let (traces, _) = Traces::of(&world, &one.session);
    ada.api.end(&one.session.id).await.unwrap();
    traces.until_gone().await;
    assert_eq!(viewer.closed().await.unwrap(), abide_api::CLOSE_ENDED);
    assert_eq!(agent.keeper(&other.session.id).unwrap(), other_keeper);
    assert!(Path::new(&format!("/tmp/.X11-unix/X{}", other_keeper.display)).exists());
    look(&other).await.longest_gap(10).await.unwrap();
}
