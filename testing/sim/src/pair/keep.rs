//! The one task that gives and takes orders, as the broker's own: looks at what is known, decides, and does it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use abide_broker::Replica;
use abide_pair::{
    Agents, Claim, Decision, Mine, Order, Peer, Policy, Proof, Standing, View, decide,
};
use abide_raft::{NodeId, Raft, Role};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Asked, Mark, evidence, greet};
use crate::broker::{self, peer};
use crate::invariants::claims;
use crate::world::World;

/// Between two looks at what is known.
const LOOK: Duration = Duration::from_millis(50);
/// A look that comes later says that this process stood still.
const STOOD_STILL: Duration = Duration::from_millis(250);
/// What agents, and the peer, may take to answer before a takeover.
const EVIDENCE: Duration = Duration::from_millis(150);
/// For how long somebody who was vouched for to be down must be silent first.
const VOUCHED: Duration = Duration::from_millis(200);
/// How long another may take to lead instead.
const YIELD: Duration = Duration::from_secs(2);

/// The cluster manager says something to its broker; whether one is there.
pub fn order(world: &World, broker: usize, asked: Asked) -> bool {
    world.trace.add(&format!("the manager says {asked:?} to b{broker}"));
    let mut state = world.brokers[broker].state();
    let is_up = state.raft.is_some();
    if is_up {
        state.pair.asks.push(asked);
        (state.pair.decided, state.pair.refused) = (None, false);
    } else if asked == Asked::Release {
        state.pair.drop_order();
    }
    is_up
}

/// Runs until this life of the broker ends, or gives way to a higher claim.
pub async fn run(world: Arc<World>, broker: usize, life: u64, raft: Raft<Replica>, policy: Policy) {
    let mut keeper = Keeper {
        world: world.clone(),
        broker,
        life,
        raft,
        policy,
        silent: Duration::ZERO,
        looked: Instant::now(),
        vouched: None,
        met: false,
    };
    loop {
        sleep(LOOK).await;
        while let Some(until) = world.stalled(broker, life) {
            sleep_until(until).await;
        }
        if !keeper.goes_on() {
            return;
        }
        if let Some(claim) = keeper.look().await {
            if keeper.goes_on() {
                world.trace.add(&format!("b{broker} gives way to {claim:?}"));
                give_way(&world, broker, life).await;
            }
            return;
        }
    }
}

/// Cuts the engine off, sets the data aside, and starts all of the broker anew.
async fn give_way(world: &Arc<World>, broker: usize, life: u64) {
    world.brokers[broker].crash();
    sleep(world.sync_time(broker)).await;
    // It may have died meanwhile, and found out by itself at its start.
    if world.brokers[broker].state().life == life + 1 {
        set_aside(world, broker);
        broker::start(world, broker).await;
    }
}

/// Keeps what the disk holds aside: the node is another one from here on.
pub fn set_aside(world: &World, broker: usize) {
    world.trace.add(&format!("b{broker} sets its data aside"));
    let number = world.chance.number();
    world.brokers[broker].set_aside(number);
}

struct Keeper {
    world: Arc<World>,
    broker: usize,
    life: u64,
    raft: Raft<Replica>,
    policy: Policy,
    /// For how long nobody has led whom a majority follows, as far as this process was awake.
    silent: Duration,
    looked: Instant,
    /// Somebody vouched then for it that the peer is down.
    vouched: Option<Instant>,
    /// The peer was heard, or a leader was.
    met: bool,
}

impl Keeper {
    fn goes_on(&self) -> bool {
        self.world.is_alive(self.broker, self.life)
            && !self.world.brokers[self.broker].state().pair.leaves
    }

    async fn look(&mut self) -> Option<Claim> {
        self.take();
        self.listen();
        let mut decision = decide(&self.view());
        if let Decision::Force(_) = decision {
            // What is known may be a second old; before that step everybody is asked.
            tokio::join!(
                greet::ask(&self.world, self.broker, self.life, &self.raft, EVIDENCE),
                evidence::ask(&self.world, self.broker, self.life, EVIDENCE)
            );
            if !self.goes_on() {
                return None;
            }
            decision = decide(&self.view());
        }
        self.world.brokers[self.broker].state().pair.decided = Some(decision);
        match decision {
            Decision::Rejoin(claim) => return Some(claim),
            Decision::Force(_) => self.force(decision).await,
            Decision::Serve | Decision::Follow => {
                self.world.brokers[self.broker].state().pair.record.retired = None;
            }
            Decision::Refuse(stale) => {
                self.world.trace.add(&format!("b{} refuses: {stale:?}", self.broker));
                let mut state = self.world.brokers[self.broker].state();
                state.pair.drop_order();
                state.pair.refused = true;
            }
            Decision::Unproven | Decision::Wait(_) => {}
        }
        None
    }

    fn take(&mut self) {
        let mut state = self.world.brokers[self.broker].state();
        for asked in std::mem::take(&mut state.pair.asks) {
            match asked {
                Asked::Activate { peer_is_down } => {
                    state.pair.record.ordered_in = Some(state.pair.run);
                    if peer_is_down {
                        self.vouched = Some(Instant::now());
                    }
                }
                Asked::Release => {
                    state.pair.drop_order();
                    self.vouched = None;
                    let raft = self.raft.clone();
                    tokio::spawn(async move { release(&raft).await });
                }
            }
        }
    }

    /// Counts for how long nobody leads.
    fn listen(&mut self) {
        let awake = self.looked.elapsed().min(STOOD_STILL);
        self.looked = Instant::now();
        let fresh = self.raft.timing().heartbeat * 2;
        match self.last_word() {
            Some(age) if age < fresh => {
                self.silent = Duration::ZERO;
                self.met = true;
            }
            word if self.silent.is_zero() => {
                self.silent = word.unwrap_or(awake).min(STOOD_STILL).max(awake);
            }
            _ => self.silent += awake,
        }
        self.met |= self.world.brokers[self.broker].state().pair.told.at.is_some();
    }

    /// How long ago a majority, or a leader, was heard.
    fn last_word(&self) -> Option<Duration> {
        let role = self.raft.leadership().borrow().role;
        match role {
            Role::Serving | Role::Unconfirmed => self.raft.quorum_age(),
            Role::Following => Some(self.raft.status().leader_heard),
            Role::Elected | Role::Stopped => None,
        }
    }

    fn view(&self) -> View {
        let raft = &self.raft;
        let status = raft.status();
        let voters: BTreeSet<NodeId> = status.members.voters.iter().flatten().copied().collect();
        let (record, is_ordered) = {
            let state = self.world.brokers[self.broker].state();
            (state.pair.record, state.pair.is_ordered())
        };
        let claim = super::claim(raft);
        let known = Claim { generation: raft.latest().0.generation(), claimant: 0 };
        let mine = Mine {
            claim: claim.max(known),
            term: status.last.map_or(0, |last| last.term),
            pristine: raft.is_pristine(),
            votes: status.members.voters.last().is_some_and(|set| set.contains(&raft.node())),
            retired: record.retired == Some(Mark::here(raft)),
        };
        let standing = self.standing(mine.votes);
        let agents = match standing {
            Standing::Alone { .. } => evidence::agents(&self.world, self.broker, raft),
            Standing::Leads | Standing::Follows | Standing::Learns => Agents::default(),
        };
        View {
            policy: self.policy,
            order: is_ordered.then_some(Order { accept_stale: false }),
            standing,
            mine,
            peer: self.peer(mine, &voters, record.peer_retired),
            agents,
            met: self.met,
        }
    }

    fn standing(&self, votes: bool) -> Standing {
        let now = self.raft.leadership().borrow().clone();
        let hears = now.role == Role::Following
            && now.leader.is_some()
            && self.raft.status().leader_heard < self.raft.timing().lease;
        match now.role {
            Role::Serving => Standing::Leads,
            _ if hears && votes => Standing::Follows,
            _ if hears => Standing::Learns,
            _ => Standing::Alone { silent: self.silent },
        }
    }

    fn peer(&self, mine: Mine, voters: &BTreeSet<NodeId>, retired: Option<Mark>) -> Peer {
        let told = self.world.brokers[self.broker].state().pair.told;
        let votes = |node: u64| voters.contains(&NodeId(node));
        let answers = told.answers();
        let claim = told.greeting.map(|it| it.mark.claim);
        let here = super::claim(&self.raft);
        let retired = retired.is_some_and(|it| it.claim == here && votes(it.node));
        let another_life = answers
            && voters.iter().any(|voter| *voter != self.raft.node())
            && told.greeting.is_some_and(|it| !votes(it.mark.node))
            && claim <= Some(mine.claim);
        let proof = match () {
            () if retired => Some(Proof::Retired),
            () if another_life => Some(Proof::AnotherLife),
            () if self.is_vouched_for() => Some(Proof::Vouched),
            () => None,
        };
        Peer { claim, answers, proof }
    }

    /// Whether somebody vouched for it that the peer is down, and nothing was heard of it since.
    fn is_vouched_for(&self) -> bool {
        let Some(vouched) = self.vouched else { return false };
        let word = self.last_word().and_then(|age| Instant::now().checked_sub(age));
        let told = self.world.brokers[self.broker].state().pair.told.at;
        let heard = [word, told].into_iter().flatten().max();
        heard.is_none_or(|heard| heard < vouched && heard.elapsed() >= VOUCHED)
    }

    async fn force(&mut self, decision: Decision) {
        let (world, broker, view) = (&self.world, self.broker, self.view());
        let known = [Some(view.mine.claim), view.peer.claim, Some(view.agents.claim)];
        let above = known.iter().flatten().map(|claim| claim.generation).max().unwrap_or(0);
        world.trace.add(&format!("b{broker} goes on alone: {decision:?}"));
        match self.raft.take_over(peer(broker), above, None).await {
            Ok(_) if self.goes_on() => {
                claims::of(world, broker, &self.raft);
                let mut state = world.brokers[broker].state();
                state.node = self.raft.node();
                let record = &mut state.pair.record;
                (record.retired, record.peer_retired) = (None, None);
                self.silent = Duration::ZERO;
            }
            Err(cause) if self.goes_on() => {
                panic!("the takeover of b{broker} failed: {cause:?}");
            }
            // It died on the way.
            Ok(_) | Err(_) => {}
        }
    }
}

/// Stops leading, if another can.
async fn release(raft: &Raft<Replica>) {
    let now = raft.leadership().borrow().role;
    let leads = matches!(now, Role::Serving | Role::Elected | Role::Unconfirmed);
    if leads && raft.status().members.voters.iter().flatten().count() > 1 {
        raft.yield_lead(YIELD).await;
    }
}
