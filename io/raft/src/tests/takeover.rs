//! A forced takeover: nothing acknowledged is lost, whoever asked is answered, and a kill leaves all of it
//! or nothing.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use super::trio::{Wires, has, role};
use super::*;
use crate::{Claim, NodeId, ProposeError, SnapshotEvery, TakeOverError};

struct Pair {
    leader: Raft<Table>,
    follower: Raft<Table>,
    wires: Wires,
    _folders: [TempDir; 2],
}

impl Pair {
    async fn start() -> Self {
        let wires = Wires::default();
        let ((first, one), (second, two)) = (wires.start_node().await, wires.start_node().await);
        let members = [&first, &second].map(|raft| (raft.node(), Peer::default()));
        first.form(members.into()).await.unwrap();
        let (a, b) = (serving(&first), serving(&second));
        let first_leads = tokio::select! { () = a => true, () = b => false };
        let (leader, follower) = if first_leads { (first, second) } else { (second, first) };
        Self { leader, follower, wires, _folders: [one, two] }
    }

    async fn stop(self) {
        self.leader.cut().await.unwrap();
        self.follower.cut().await.unwrap();
        self.wires.unplug_all();
    }
}

fn me() -> Peer {
    Peer { address: "me:1".into(), name: "me".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_alone_with_all_that_was_acknowledged() {
    let pair = Pair::start().await;
    for key in 0..50 {
        pair.leader.propose(put(key, "x")).await.unwrap();
    }
    let (old, fence) = (pair.follower.node(), pair.leader.command_fence().unwrap());
    pair.wires.cut(pair.leader.node());
    let began = Instant::now();
    let claim = pair.follower.next_claim(6);
    pair.follower.take_over(me(), claim, None).await.unwrap();
    pair.wires.plug_in(&pair.follower);
    assert_eq!(claim, Claim { generation: 7, claimant: pair.follower.node() });
    assert_ne!(pair.follower.node(), old, "another life");
    within(pair.follower.propose(put(99, "y"))).await.unwrap();
    let took = began.elapsed();
    println!("taken over, first write after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let table = pair.follower.read().await.unwrap();
    assert!((0..50).all(|key| table.rows.contains_key(&key)));
    assert!(pair.follower.command_fence().unwrap() > fence);
    let members = pair.follower.status().members;
    assert_eq!(members.voters, [BTreeSet::from([pair.follower.node()])]);
    assert_eq!(members.nodes[&pair.follower.node()], me());

    // The other one is refused when it is back, and leads nobody.
    pair.wires.heal(pair.leader.node());
    let lost = pair.leader.propose(put(100, "z")).await;
    assert!(lost.is_err(), "{lost:?}");
    assert!(!pair.follower.latest().rows.contains_key(&100));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_lost_its_follower_answers_those_who_wait_in_the_new_generation() {
    let pair = Pair::start().await;
    pair.leader.propose(put(1, "x")).await.unwrap();
    pair.wires.cut(pair.follower.node());
    let waiting: Vec<_> = (10..40)
        .map(|key| {
            let raft = pair.leader.clone();
            tokio::spawn(async move { raft.propose(put(key, "x")).await })
        })
        .collect();
    let reading = pair.leader.clone();
    let reading = tokio::spawn(async move { reading.read().await.map(|table| table.rows.len()) });
    role(&pair.leader, |now| !now.is_serving()).await;
    pair.leader.take_over(me(), pair.leader.next_claim(0), None).await.unwrap();
    for one in waiting {
        within(one).await.unwrap().unwrap();
    }
    within(reading).await.unwrap().unwrap();
    let table = pair.leader.read().await.unwrap();
    assert!((10..40).all(|key| table.rows.contains_key(&key)));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_generation_begins_with_is_applied_before_anything_else() {
    let pair = Pair::start().await;
    pair.leader.propose(put(1, "old")).await.unwrap();
    has(&pair.follower, 1).await;
    pair.wires.cut(pair.leader.node());
    let claim = pair.follower.next_claim(0);
    pair.follower.take_over(me(), claim, Some(put(1, "new"))).await.unwrap();
    let steps = within(pair.follower.propose(put(2, "x"))).await.unwrap();
    assert_eq!(steps, 3);
    assert_eq!(&*pair.follower.latest().rows[&1], b"new");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_survives_a_restart_snapshots_and_further_takeovers() {
    let folder = TempDir::new().unwrap();
    let every = SnapshotEvery { least: 5_000, most: 5_000 };
    let settings = Settings { snapshot_every: every, ..Settings::default() };
    let mut known = Vec::new();
    for generation in 1..6 {
        let raft = start_with(folder.path(), settings).await;
        let term = raft.leadership().borrow().term;
        let claim = raft.next_claim(0);
        raft.take_over(me(), claim, None).await.unwrap();
        let again = raft.take_over(me(), claim, None).await;
        assert!(matches!(again, Err(TakeOverError::NotHigher)), "{again:?}");
        assert_eq!(claim.generation, generation);
        serving(&raft).await;
        assert!(raft.leadership().borrow().term > term);
        for key in 0..20 {
            let key = generation * 100 + key;
            raft.propose(put(key, vec![1; 500])).await.unwrap();
            known.push(key);
        }
        raft.stop().await.unwrap();
        let again = start_with(folder.path(), settings).await;
        assert_eq!((again.claim(), again.node()), (claim, claim.claimant));
        let table = again.read().await.unwrap();
        assert!(known.iter().all(|key| table.rows.contains_key(key)));
        again.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_nobody_runs_on_tells_all_that_it_holds() {
    let folder = TempDir::new().unwrap();
    let every = SnapshotEvery { least: 5_000, most: 5_000 };
    let settings = Settings { snapshot_every: every, ..Settings::default() };
    let raft = start_with(folder.path(), settings).await;
    for key in 0..60 {
        raft.propose(put(key, vec![1; 500])).await.unwrap();
    }
    let table = raft.read().await.unwrap();
    let busy = crate::read_folder(Table::default(), folder.path(), CLUSTER);
    assert!(busy.is_err(), "somebody runs on it");
    raft.stop().await.unwrap();
    let read = crate::read_folder(Table::default(), folder.path(), CLUSTER).unwrap();
    assert_eq!(read, *table);
    let again = crate::read_folder(Table::default(), folder.path(), CLUSTER).unwrap();
    assert_eq!(again, *table, "reading changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_anything_can_take_over_too() {
    let wires = Wires::default();
    let (raft, _folder) = wires.start_node().await;
    assert!(raft.is_pristine());
    raft.take_over(me(), raft.next_claim(3), Some(put(7, "x"))).await.unwrap();
    assert_eq!(within(raft.propose(put(8, "x"))).await.unwrap(), 2);
    assert!(!raft.is_pristine());
    raft.stop().await.unwrap();
    wires.unplug_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_takes_on_the_claim_of_its_group_and_nobody_else_does() {
    let wires = Wires::default();
    let (raft, folder) = wires.start_node().await;
    let claim = Claim { generation: 4, claimant: NodeId(9) };
    raft.adopt_claim(claim).await.unwrap();
    assert_eq!(raft.claim(), claim);
    raft.stop().await.unwrap();
    let raft = wires.start_in(folder.path()).await;
    assert_eq!(raft.claim(), claim);
    raft.form([(raft.node(), Peer::default())].into()).await.unwrap();
    serving(&raft).await;
    raft.adopt_claim(claim).await.unwrap();
    let other = Claim { generation: 5, claimant: NodeId(9) };
    assert!(raft.adopt_claim(other).await.is_err());
    assert_eq!(raft.claim(), claim);
    raft.stop().await.unwrap();
    wires.unplug_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_lets_go_is_followed_by_the_other_whatever_their_ids() {
    let pair = Pair::start().await;
    pair.leader.propose(put(1, "x")).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8_u64 {
        let nodes = [pair.leader.clone(), pair.follower.clone()];
        writers.spawn(async move {
            let mut written = Vec::new();
            for key in (1000 + writer..).step_by(8) {
                let until = Instant::now() + DEADLINE;
                // Whoever leads takes it; while it is let go of, nobody may fail.
                while let Err(cause) = nodes[(key / 8 % 2) as usize].propose(put(key, "x")).await {
                    assert!(
                        matches!(cause, ProposeError::NotLeader { leader: Some(_) }),
                        "{cause}"
                    );
                    assert!(Instant::now() < until);
                    match nodes[(key / 8 % 2 + 1) as usize % 2].propose(put(key, "x")).await {
                        Ok(_) => break,
                        Err(ProposeError::NotLeader { leader: Some(_) }) => {}
                        Err(cause) => panic!("{cause}"),
                    }
                }
                written.push(key);
                if key > 1000 + 8 * 400 {
                    return written;
                }
            }
            written
        });
    }
    let (mut from, mut to) = (&pair.leader, &pair.follower);
    for round in 0..4 {
        let began = Instant::now();
        assert!(from.yield_lead(Duration::from_secs(5)).await, "round {round}");
        within(to.propose(put(round, "y"))).await.unwrap();
        println!("let go, first write after {:?}", began.elapsed());
        (from, to) = (to, from);
    }
    let written: Vec<_> = within(writers.join_all()).await.into_iter().flatten().collect();
    let table = from.read().await.unwrap();
    assert!(written.iter().all(|key| table.rows.contains_key(key)));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_has_stopped_takes_nothing_over() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    raft.stop().await.unwrap();
    assert!(raft.take_over(me(), raft.next_claim(0), None).await.is_err());
    assert!(matches!(raft.propose(put(1, "x")).await, Err(ProposeError::Stopping)));
}

/// Says in the child what folder to use.
const FOLDER: &str = "ABIDE_RAFT_TAKEOVER_FOLDER";
const ROUNDS: u32 = 24;

/// The child: says what it stands on, takes over and over again, and says that each time before and after.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_takes_over_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let raft = start(Path::new(&folder)).await;
    for key in 0.. {
        let generation = raft.claim().generation;
        raft.propose(put(generation * 1000 + key, "x")).await.unwrap();
        println!("acknowledged {}", generation * 1000 + key);
        println!("begins {}", generation + 1);
        let claim = raft.next_claim(0);
        raft.take_over(me(), claim, Some(put(0, "first"))).await.unwrap();
        println!("begun {} {}", claim.generation, claim.claimant);
    }
}

/// Every round kills at another moment after the word that a takeover begins: within the transaction, before
/// and after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_all_of_a_takeover_or_nothing_of_it() {
    use std::io::{BufRead, BufReader};
    let folder = TempDir::new().unwrap();
    let (mut acknowledged, mut outcomes) = (Vec::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::takeover::child_that_takes_over_until_it_is_killed"])
            .arg("--nocapture")
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let reader = tokio::task::spawn_blocking(move || {
            let (mut lines, mut begins) = (BufReader::new(output).lines(), 0);
            let mut said = Vec::new();
            while let Some(Ok(line)) = lines.next() {
                begins += u32::from(line.starts_with("begins"));
                said.push(line);
                if begins == 3 {
                    break;
                }
            }
            // Nothing signs that the moment has come: that is the point.
            std::thread::sleep(Duration::from_micros(u64::from(round) * 250));
            child.kill().unwrap();
            child.wait().unwrap();
            // The last line may be cut.
            let rest: Vec<_> = lines.map_while(Result::ok).collect();
            let whole = rest.len().saturating_sub(1);
            said.extend(rest.into_iter().take(whole));
            said
        });
        let said = within(reader).await.unwrap();
        let number = |line: &str, n: usize| line.split(' ').nth(n).unwrap().parse::<u64>().unwrap();
        let last = |word: &str| said.iter().rev().find(|line| line.starts_with(word)).unwrap();
        let (begins, begun) = (number(last("begins"), 1), number(last("begun"), 1));
        let done = said.iter().filter(|line| line.starts_with("acknowledged"));
        acknowledged.extend(done.map(|line| number(line, 1)));

        let raft = within(start(folder.path())).await;
        let claim = raft.claim();
        assert!(claim.generation >= begun && claim.generation <= begins + 1, "{claim:?} {said:?}");
        assert_eq!(claim.claimant, raft.node(), "both or neither");
        let members = raft.status().members;
        assert_eq!(members.voters, [BTreeSet::from([raft.node()])]);
        let table = raft.read().await.unwrap();
        for key in &acknowledged {
            assert!(table.rows.contains_key(key), "round {round}: {key} is lost");
        }
        outcomes.insert(claim.generation == begun);
        raft.stop().await.unwrap();
    }
    println!("{} acknowledged; ended before and after: {outcomes:?}", acknowledged.len());
}
