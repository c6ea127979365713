use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_model::testing::{self, BEGIN, HOUR};
use abide_model::{
    AgentFacts, Change, Command, Joins, Outcome, Part, Place, Profile, State, Table, Want,
};
use abide_raft::{Formation, Machine, NoPeers, Peer, Raft, Settings, Start};
use abide_wire::table;
use proptest::prelude::*;
use prost::Message;
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Replica;

proptest! {
    #[test]
    fn a_table_comes_back_from_its_snapshot(commands in testing::commands(60)) {
        let replica = joined(commands);
        let restored = Replica::restore(&mut frozen(&replica).as_slice()).unwrap();
        prop_assert_eq!(restored.0, replica.0);
    }

    #[test]
    fn a_snapshot_that_is_cut_anywhere_is_refused(
        commands in testing::commands(20),
        at: prop::sample::Index,
    ) {
        let bytes = frozen(&joined(commands));
        prop_assert!(Replica::restore(&mut &bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_damaged_snapshot_is_refused_or_read_but_never_a_panic(
        commands in testing::commands(20),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut bytes = frozen(&joined(commands));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Replica::restore(&mut bytes.as_slice());
    }
}

/// A table with an agent that is heard, after these commands.
fn joined(commands: Vec<Command>) -> Replica {
    let mut replica = Replica::default();
    for command in join().into_iter().chain(commands) {
        replica.apply(command);
    }
    replica
}

fn join() -> [Command; 3] {
    let (hash, agent) = ([9; 32], testing::agent(0));
    let facts = AgentFacts {
        boot: testing::id("b1"),
        public_url: "https://host".into(),
        weight: 1,
        profiles: vec![Profile { name: testing::id("gnome"), title: "GNOME".into() }],
        labels: [testing::id("gpu")].into(),
        max_sessions: Some(40),
    };
    [
        Change::AddJoinToken { hash, expires: BEGIN.plus(HOUR), joins: Joins::Agent },
        Change::AdmitAgent { hash, agent: agent.clone(), name: "host".into() },
        Change::AgentHeard { agent, facts: Arc::new(facts) },
    ]
    .map(|change| Command { at: BEGIN, change })
}

fn frozen(replica: &Replica) -> Vec<u8> {
    let mut bytes = Vec::new();
    replica.freeze(&mut bytes).unwrap();
    bytes
}

fn restore_error(bytes: &[u8]) -> String {
    let cause = Replica::restore(&mut &*bytes).unwrap_err().0;
    cause.to_string()
}

fn part(part: table::part::Part) -> Vec<u8> {
    table::Part { part: Some(part) }.encode_length_delimited_to_vec()
}

#[test]
fn a_snapshot_that_lacks_a_part_in_its_middle_is_refused() {
    let replica = joined(vec![]);
    let parts: Vec<_> = replica.0.parts().collect();
    let last = part(table::part::Part::Last(table::Last { parts: parts.len() as u64 }));
    let lacking = |without: usize| {
        let kept = parts.iter().enumerate().filter(|(at, _)| *at != without);
        let mut bytes: Vec<u8> = kept.flat_map(|(_, it)| part(it.into())).collect();
        bytes.extend(&last);
        bytes
    };
    assert!(Replica::restore(&mut lacking(usize::MAX).as_slice()).is_ok());
    let expected = format!("it has {} parts instead of {}", parts.len() - 1, parts.len());
    for without in 0..parts.len() {
        assert_eq!(restore_error(&lacking(without)), expected);
    }
}

#[test]
fn a_part_of_a_newer_version_or_an_absurd_length_is_refused() {
    let unknown = table::Part { part: None }.encode_length_delimited_to_vec();
    assert_eq!(restore_error(&unknown), "a part this version knows is missing");
    assert_eq!(restore_error(&[0xff, 0xff, 0xff, 0x7f, 0]), "a part of 268435455 bytes");
    assert!(Replica::restore(&mut [0xff; 20].as_slice()).is_err());
    let row = Part::Now(BEGIN);
    assert!(Replica::restore(&mut part((&row).into()).as_slice()).is_err(), "it has no end");
}

#[test]
fn only_what_begins_something_new_is_refused_on_a_full_disk() {
    let command = |change| Command { at: BEGIN, change };
    let session = testing::session(1);
    assert!(!Replica::is_essential(&reserve(1)));
    assert!(join()[..2].iter().all(|it| !Replica::is_essential(it)));
    for change in [
        Change::End { session, by: "ada".into() },
        Change::RevokeToken { jti: [0; 16], until: BEGIN },
        Change::Unlisted { session },
    ] {
        assert!(Replica::is_essential(&command(change)));
    }
}

/// Somebody's start of a session of their own.
fn reserve(number: u64) -> Command {
    let place = Place {
        session: testing::session(number),
        agent: testing::agent(0),
        view_key: testing::id(&format!("{number:032x}")),
    };
    let (user, key) = (format!("user{number}"), Uuid::from_u128(number.into()).to_string());
    let change = Change::Reserve {
        place,
        user: testing::id(&user),
        profile: testing::id("gnome"),
        pool: None,
        key: testing::id(&key),
        want: Want::ResumeOrStart { profile: None },
    };
    Command { at: BEGIN, change }
}

async fn start(folder: &Path) -> Raft<Replica> {
    let start = Start {
        folder: folder.to_owned(),
        cluster: Uuid::from_u128(1),
        formation: Formation::Alone(Peer { address: "broker:9000".into(), ..Peer::default() }),
        settings: Settings::default(),
        transport: Arc::new(NoPeers),
    };
    Raft::start(Replica::default(), start).await.unwrap()
}

/// Sessions in the folder that is restarted.
const SESSIONS: u64 = 100_000;

/// The promise is a second for what is shipped; an unoptimised build gets more.
const BOUND: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_a_hundred_thousand_sessions_is_back_in_a_moment() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    for command in join() {
        raft.propose(command).await.unwrap();
    }
    let mut tasks = JoinSet::new();
    for task in 0..500 {
        let raft = raft.clone();
        tasks.spawn(async move {
            for number in (task..SESSIONS).step_by(500) {
                let outcome = raft.propose(reserve(number)).await.unwrap();
                assert_eq!(outcome, Outcome::Reserved(testing::session(number)));
            }
        });
    }
    tasks.join_all().await;
    let before = raft.read().await.unwrap();
    raft.stop().await.unwrap();
    drop(raft);

    let began = Instant::now();
    let again = start(folder.path()).await;
    let table = again.read().await.unwrap();
    let took = began.elapsed();
    println!("{SESSIONS} sessions: served {took:?} after the start");
    assert!(took < BOUND, "{took:?}");
    same(&table.0, &before.0);
    again.stop().await.unwrap();
}

fn same(table: &Table, before: &Table) {
    assert_eq!(table.sessions().count(), SESSIONS as usize);
    assert!(table.sessions().all(|row| row.state == State::Reserved));
    // Not assert_eq: nobody could read what it prints.
    assert!(table == before, "the table came back as another");
}
