//! Three voters in one process, over a transport that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::fs::File;

use super::*;
use crate::{
    AppendAnswer, AppendRequest, Ballot, Claim, Hearing, Leadership, NodeId, ProposeError,
    ReadError, Refusal, SnapshotEvery, SnapshotHeader, Spread, Stamp, Timing, Transport,
    TransportError, VoteAnswer, VoteRequest,
};

#[derive(Clone, Default)]
pub(super) struct Wires(Arc<Mutex<Switch>>);

#[derive(Default)]
pub(super) struct Switch {
    nodes: BTreeMap<NodeId, Raft<Table>>,
    cut: BTreeSet<NodeId>,
    snapshots: usize,
}

impl Wires {
    pub(super) fn cut(&self, node: NodeId) {
        self.0.lock().unwrap().cut.insert(node);
    }

    pub(super) fn heal(&self, node: NodeId) {
        self.0.lock().unwrap().cut.remove(&node);
    }

    /// A node that waits to be taken in.
    pub(super) async fn start_node(&self) -> (Raft<Table>, TempDir) {
        let folder = TempDir::new().unwrap();
        (self.start_in(folder.path()).await, folder)
    }

    /// The node of this folder.
    pub(super) async fn start_in(&self, folder: &Path) -> Raft<Table> {
        let start = Start {
            folder: folder.to_owned(),
            cluster: CLUSTER,
            formation: Formation::Join,
            settings: Settings {
                snapshot_every: SnapshotEvery { least: 50_000, most: 50_000 },
                propose_timeout: Duration::from_secs(3),
                read_timeout: Duration::from_secs(1),
                ..Settings::default()
            },
            transport: Arc::new(self.clone()),
        };
        let raft = Raft::start(Table::default(), start).await.unwrap();
        self.plug_in(&raft);
        raft
    }

    /// The node is reached by the id that it has now.
    pub(super) fn plug_in(&self, raft: &Raft<Table>) {
        self.0.lock().unwrap().nodes.insert(raft.node(), raft.clone());
    }

    /// The wires hold the nodes, and the nodes the wires.
    pub(super) fn unplug_all(&self) {
        self.0.lock().unwrap().nodes.clear();
    }

    fn reach(&self, stamp: Stamp) -> Result<Raft<Table>, TransportError> {
        let switch = self.0.lock().unwrap();
        if switch.cut.contains(&stamp.from) || switch.cut.contains(&stamp.to) {
            return Err(unreachable(stamp, "the wire is cut"));
        }
        switch.nodes.get(&stamp.to).cloned().ok_or(TransportError::UnknownPeer(stamp.to))
    }
}

fn unreachable(
    stamp: Stamp,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TransportError {
    TransportError::Unreachable { peer: stamp.to, cause: cause.into() }
}

#[async_trait]
impl Transport for Wires {
    async fn append(
        &self,
        stamp: Stamp,
        _: &str,
        request: AppendRequest,
        _: Duration,
    ) -> Result<AppendAnswer, TransportError> {
        let node = self.reach(stamp)?;
        node.inbound().append(stamp, request).await.map_err(|cause| unreachable(stamp, cause))
    }

    async fn vote(
        &self,
        stamp: Stamp,
        _: &str,
        request: VoteRequest,
        _: Duration,
    ) -> Result<VoteAnswer, TransportError> {
        let node = self.reach(stamp)?;
        node.inbound().vote(stamp, request).await.map_err(|cause| unreachable(stamp, cause))
    }

    async fn snapshot(
        &self,
        stamp: Stamp,
        _: &str,
        ballot: Ballot,
        header: SnapshotHeader,
        file: File,
    ) -> Result<Ballot, TransportError> {
        let node = self.reach(stamp)?;
        self.0.lock().unwrap().snapshots += 1;
        let taken = node.inbound().snapshot(stamp, ballot, header, file).await;
        taken.map_err(|cause| unreachable(stamp, cause))
    }

    async fn hearing(&self, stamp: Stamp, _: &str, _: Duration) -> Result<Hearing, TransportError> {
        let node = self.reach(stamp)?;
        node.inbound().hearing(stamp).map_err(|cause| unreachable(stamp, cause))
    }

    async fn read_index(&self, stamp: Stamp, _: &str, _: Duration) -> Result<u64, TransportError> {
        let node = self.reach(stamp)?;
        node.inbound().read_index(stamp).await.map_err(|cause| unreachable(stamp, cause))
    }
}

struct Trio {
    nodes: Vec<Raft<Table>>,
    wires: Wires,
    _folders: Vec<TempDir>,
}

impl Trio {
    async fn start() -> Self {
        let wires = Wires::default();
        let (mut nodes, mut folders) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (raft, folder) = wires.start_node().await;
            nodes.push(raft);
            folders.push(folder);
        }
        let members = nodes.iter().map(|raft| (raft.node(), Peer::default())).collect();
        nodes[0].form(members).await.unwrap();
        Self { nodes, wires, _folders: folders }
    }

    async fn newcomer(&self) -> (Raft<Table>, TempDir) {
        self.wires.start_node().await
    }

    /// Waits until one of the nodes that are not cut off serves.
    async fn leader(&self) -> Raft<Table> {
        let cut = self.wires.0.lock().unwrap().cut.clone();
        let mut waiting = tokio::task::JoinSet::new();
        for raft in self.nodes.iter().filter(|raft| !cut.contains(&raft.node())).cloned() {
            waiting.spawn(async move {
                serving(&raft).await;
                raft
            });
        }
        waiting.join_next().await.unwrap().unwrap()
    }

    fn others(&self, than: &Raft<Table>) -> Vec<Raft<Table>> {
        self.nodes.iter().filter(|raft| raft.node() != than.node()).cloned().collect()
    }

    async fn stop(self) {
        for raft in &self.nodes {
            raft.stop().await.unwrap();
        }
        self.wires.unplug_all();
    }
}

pub(super) async fn has(raft: &Raft<Table>, key: u64) {
    let mut changes = raft.changes();
    within(changes.wait_for(|_| raft.latest().rows.contains_key(&key))).await.unwrap();
}

pub(super) async fn role(raft: &Raft<Table>, wanted: impl Fn(&Leadership) -> bool) {
    within(raft.leadership().wait_for(|now| wanted(now))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_leader_is_replaced_stops_serving_and_comes_back_as_a_follower() {
    let trio = Trio::start().await;
    let old = trio.leader().await;
    old.propose(put(1, "x")).await.unwrap();
    for raft in &trio.nodes {
        has(raft, 1).await;
    }
    let old_fence = old.command_fence().unwrap();
    let status = old.status();
    assert_eq!(status.members.nodes.len(), 3);
    assert_eq!(status.lag.keys().len(), 3);

    let began = Instant::now();
    trio.wires.cut(old.node());
    let new = trio.leader().await;
    new.propose(put(2, "x")).await.unwrap();
    println!("first write after the cut: {:?}", began.elapsed());
    assert_ne!(new.node(), old.node());
    assert!(new.command_fence().unwrap() > old_fence);
    assert!(!new.serves_for().is_zero() && old.serves_for().is_zero(), "both would serve");

    role(&old, |now| now.role == Role::Unconfirmed).await;
    assert!(matches!(old.read().await, Err(ReadError::NoQuorum)));
    let lost = old.propose(put(3, "x")).await;
    assert!(matches!(lost, Err(ProposeError::Unknown)), "{lost:?}");

    trio.wires.heal(old.node());
    role(&old, |now| now.role == Role::Following).await;
    has(&old, 2).await;
    let refused = old.propose(put(4, "x")).await;
    let Err(ProposeError::NotLeader { leader: Some((leader, _)) }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(leader, new.node());
    assert!(!new.read().await.unwrap().rows.contains_key(&3));
    trio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_stores_nothing_that_it_cannot_read() {
    let trio = Trio::start().await;
    let leader = trio.leader().await;
    leader.propose(put(1, "x")).await.unwrap();
    let others = trio.others(&leader);
    for raft in &others {
        has(raft, 1).await;
    }
    let ends: Vec<_> = others.iter().map(|raft| raft.status().last).collect();
    let lost = leader.propose(put(2, NEWER)).await;
    assert!(matches!(lost, Err(ProposeError::Unknown)), "{lost:?}");
    for (raft, end) in others.iter().zip(ends) {
        assert_eq!(raft.status().last, end);
    }
    trio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_answers_are_lost_for_a_moment_waits_for_others() {
    let trio = Trio::start().await;
    let leader = trio.leader().await;
    leader.propose(put(1, "x")).await.unwrap();
    trio.wires.cut(leader.node());
    let mut reading = std::pin::pin!(leader.read());
    let early = tokio::time::timeout(Timing::LAN.heartbeat, &mut reading).await;
    assert!(early.is_err(), "it does not wait: {:?}", early.unwrap().err());
    trio.wires.heal(leader.node());
    assert!(reading.await.unwrap().rows.contains_key(&1));
    trio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_cut_off_deposes_nobody_and_is_brought_up_to_date() {
    let trio = Trio::start().await;
    let leader = trio.leader().await;
    leader.propose(put(0, "x")).await.unwrap();
    let follower = trio.others(&leader).remove(0);
    has(&follower, 0).await;
    let fence = leader.command_fence();

    trio.wires.cut(follower.node());
    // More than two snapshots' worth: the log no longer reaches back to the cut.
    for key in 1..300 {
        leader.propose(put(key, vec![1; 1000])).await.unwrap();
    }
    trio.wires.heal(follower.node());
    has(&follower, 299).await;
    assert_eq!(*follower.latest(), *leader.read().await.unwrap());
    assert!(trio.wires.0.lock().unwrap().snapshots > 0, "it was served from the log");

    trio.wires.cut(follower.node());
    role(&follower, |now| !now.is_serving()).await;
    leader.propose(put(300, "x")).await.unwrap();
    trio.wires.heal(follower.node());
    has(&follower, 300).await;
    assert_eq!(leader.command_fence(), fence, "it was deposed");
    trio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_is_replaced_while_requests_wait() {
    let trio = Trio::start().await;
    let old = trio.leader().await;
    old.propose(put(1, "x")).await.unwrap();
    let began = Instant::now();
    old.stop().await.unwrap();
    trio.wires.cut(old.node());
    let new = trio.leader().await;
    new.propose(put(2, "x")).await.unwrap();
    println!("first write after the stop began: {:?}", began.elapsed());
    trio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_another_cluster_life_or_claim_are_refused() {
    let trio = Trio::start().await;
    let leader = trio.leader().await;
    let right = Stamp {
        cluster: CLUSTER,
        claim: Claim::default(),
        from: trio.others(&leader)[0].node(),
        to: leader.node(),
    };
    let inbound = leader.inbound();
    assert!(inbound.hearing(right).unwrap().hears_leader);
    let other = Stamp { cluster: Uuid::nil(), ..right };
    assert!(matches!(inbound.hearing(other), Err(Refusal::OtherCluster(CLUSTER))));
    let earlier_life = Stamp { to: NodeId(3), ..right };
    assert!(matches!(inbound.hearing(earlier_life), Err(Refusal::NotMe(me)) if me == right.to));
    let claim = Claim { generation: 1, claimant: NodeId(3) };
    let refused = inbound.hearing(Stamp { claim, ..right });
    assert!(matches!(refused, Err(Refusal::OtherClaim(ours)) if ours == right.claim));
    trio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_reads_what_was_acknowledged_before() {
    let trio = Trio::start().await;
    let leader = trio.leader().await;
    for key in 0..50 {
        leader.propose(put(key, "x")).await.unwrap();
        for follower in trio.others(&leader) {
            assert!(follower.read().await.unwrap().rows.contains_key(&key), "{key}");
        }
    }
    trio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_on_a_follower_outlives_the_leader() {
    let trio = Trio::start().await;
    let old = trio.leader().await;
    old.propose(put(1, "x")).await.unwrap();
    let follower = trio.others(&old).remove(0);
    trio.wires.cut(old.node());
    assert!(within(follower.read()).await.unwrap().rows.contains_key(&1));
    let refused = within(old.read()).await;
    assert!(refused.is_err(), "a leader that was cut off has answered");
    trio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_life_of_a_voter_replaces_the_earlier_one() {
    let trio = Trio::start().await;
    let leader = trio.leader().await;
    for key in 0..200 {
        leader.propose(put(key, vec![1; 1000])).await.unwrap();
    }
    let dead = trio.others(&leader).remove(0);
    trio.wires.cut(dead.node());

    let (again, _folder) = trio.newcomer().await;
    let refused = leader.set_voters([leader.node(), again.node()].into()).await;
    assert!(refused.is_err(), "a voter that has no log");
    leader.add_learner(again.node(), Peer::default()).await.unwrap();
    leader.caught_up(again.node(), DEADLINE).await.unwrap();
    let mut voters: BTreeSet<_> = trio.nodes.iter().map(Raft::node).collect();
    voters.remove(&dead.node());
    voters.insert(again.node());
    leader.set_voters(voters.clone()).await.unwrap();
    assert_eq!(leader.status().members.voters, [voters]);
    assert!(!leader.status().members.nodes.contains_key(&dead.node()));

    // The earlier life may come back: it belongs no more, and disturbs nobody.
    let fence = leader.command_fence();
    trio.wires.heal(dead.node());
    leader.propose(put(1000, "x")).await.unwrap();
    has(&again, 1000).await;
    assert_eq!(leader.command_fence(), fence);
    again.stop().await.unwrap();
    trio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_and_what_it_writes_are_counted() {
    let trio = Trio::start().await;
    let old = trio.leader().await;
    old.propose(put(1, "x")).await.unwrap();
    for raft in &trio.nodes {
        has(raft, 1).await;
    }
    let heard: BTreeSet<_> = trio.others(&old).iter().map(Raft::node).collect();
    let trips = || old.meters().round_trips().into_keys().collect::<BTreeSet<_>>();
    within(async {
        while trips() != heard {
            tokio::task::yield_now().await;
        }
    })
    .await;

    trio.wires.cut(old.node());
    let new = trio.leader().await;
    for key in 2..5 {
        new.propose(put(key, "x")).await.unwrap();
    }
    let meters = new.meters();
    let counts = |spread: &Spread| spread.ranges().map(|(_, count)| count).sum::<u64>();
    assert_eq!((counts(meters.gaps()), counts(old.meters().gaps())), (1, 0), "nobody led before");
    let gap = Duration::from_nanos(meters.gaps().sum());
    assert!(gap >= new.timing().lease, "it stood after {gap:?} already");
    assert!(meters.elections_started() >= 1);
    assert_eq!(meters.elections_won(), 1);
    assert!(meters.leader_changes() >= 2, "the old leader, then this one");
    assert_eq!(counts(meters.commits()), 3);
    assert_eq!((counts(meters.batches()), meters.batches().sum()), (3, 3), "one at a time");
    assert!(counts(meters.syncs()) >= 3 && meters.syncs().sum() > 0);
    trio.stop().await;
}
