//! The one task that gives and takes orders, as the broker's own: looks at what is known, decides, and does it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use abide_broker::Replica;
use abide_model::{Change, Fence};
use abide_pair::{
    Agents, Claim, Decision, Mine, Order, Peer, Policy, Proof, Standing, View, decide,
};
use abide_raft::{NodeId, Raft, Role};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Asked, Mark, evidence, greet};
use crate::broker::{self, peer};
use crate::driver::propose;
use crate::invariants::claims;
use crate::net::End;
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
        raising: None,
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
    /// See [`View::met`].
    met: bool,
    /// Raises the generation.
    raising: Option<JoinHandle<()>>,
}

impl Keeper {
    fn goes_on(&self) -> bool {
        self.world.is_alive(self.broker, self.life)
            && !self.world.brokers[self.broker].state().pair.leaves
    }

    async fn look(&mut self) -> Option<Claim> {
        self.take();
        self.listen();
        let mut told = evidence::heard(&self.world, self.broker).len();
        let mut decision = decide(&self.view(told));
        if let Decision::Force(_) = decision {
            // What is known may be a second old; before that step everybody is asked.
            ((), told) = tokio::join!(
                greet::ask(&self.world, self.broker, self.life, &self.raft, EVIDENCE),
                evidence::ask(&self.world, self.broker, self.life, EVIDENCE)
            );
            if !self.goes_on() {
                return None;
            }
            decision = decide(&self.view(told));
        }
        self.world.brokers[self.broker].state().pair.decided = Some(decision);
        match decision {
            Decision::Rejoin(claim) => return Some(claim),
            Decision::Force(_) => self.force(told).await,
            Decision::Serve | Decision::Follow => self.serve(decision),
            // The order is the peer's, and so is the answer.
            Decision::Refuse(_) if !self.world.brokers[self.broker].state().pair.is_ordered() => {}
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
            }
            word if self.silent.is_zero() => {
                self.silent = word.unwrap_or(awake).min(STOOD_STILL).max(awake);
            }
            _ => self.silent += awake,
        }
        self.meet();
    }

    /// Notes whether the peer has answered as the one that it is in these data.
    fn meet(&mut self) {
        let told = self.world.brokers[self.broker].state().pair.told;
        let Some(peer) = told.answered else { return };
        let voters = self.raft.status().members.voters;
        let votes = voters.iter().flatten().any(|voter| voter.0 == peer.node);
        self.met |= votes && peer.claim == super::claim(&self.raft);
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

    fn view(&self, told: usize) -> View {
        let raft = &self.raft;
        let status = raft.status();
        let voters: BTreeSet<NodeId> = status.members.voters.iter().flatten().copied().collect();
        let (record, is_ordered) = {
            let state = self.world.brokers[self.broker].state();
            (state.pair.record, state.pair.is_ordered())
        };
        let mine = Mine {
            claim: self.stands_on(),
            term: status.last.map_or(0, |last| last.term),
            pristine: raft.is_pristine(),
            votes: status.members.voters.last().is_some_and(|set| set.contains(&raft.node())),
            retired: record.retired == Some(Mark::here(raft)),
        };
        let standing = self.standing(mine.votes);
        let agents = match standing {
            Standing::Alone { .. } => {
                evidence::agents(&self.world, self.broker, raft, told, record.intended)
            }
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
        let leans = another_life && told.greeting.is_some_and(|it| it.ordered);
        let proof = match () {
            () if retired => Some(Proof::Retired),
            () if another_life => Some(Proof::AnotherLife),
            () if self.is_vouched_for() => Some(Proof::Vouched),
            () => None,
        };
        Peer { claim, answers, proof, leans }
    }

    /// Whether somebody vouched for it that the peer is down, and nothing was heard of it since.
    fn is_vouched_for(&self) -> bool {
        let Some(vouched) = self.vouched else { return false };
        let word = self.last_word().and_then(|age| Instant::now().checked_sub(age));
        let told = self.world.brokers[self.broker].state().pair.told.at;
        let heard = [word, told].into_iter().flatten().max();
        heard.is_none_or(|heard| heard < vouched && heard.elapsed() >= VOUCHED)
    }

    /// Goes on alone, unless somebody was heard meanwhile who speaks against it, or too few agents promise to
    /// obey what begins.
    async fn force(&mut self, told: usize) {
        let world = self.world.clone();
        let view = self.view(told);
        world.brokers[self.broker].state().pair.going_on = view.promises() > 0;
        let view = self.view(told);
        if let Decision::Force(forced) = decide(&view) {
            let claim = self.next_claim(&view);
            if self.is_promised(claim, &view).await && self.goes_on() {
                world.trace.add(&format!("b{} goes on alone: {forced:?}", self.broker));
                self.take_over(claim).await;
            }
        }
        let mut state = world.brokers[self.broker].state();
        state.pair.going_on &= state.life != self.life;
    }

    fn next_claim(&self, view: &View) -> Claim {
        let known = [Some(view.mine.claim), view.peer.claim, Some(view.agents.claim)];
        let above = known.iter().flatten().map(|claim| claim.generation).max().unwrap_or(0);
        let intended = self.world.brokers[self.broker].state().pair.record.intended;
        intended.filter(|claim| claim.generation > above).unwrap_or_else(|| {
            let claim = self.raft.next_claim(above);
            Claim { generation: claim.generation, claimant: claim.claimant.0 }
        })
    }

    async fn is_promised(&self, claim: Claim, view: &View) -> bool {
        let (world, enough) = (&self.world, view.promises());
        if enough == 0 {
            return true;
        }
        world.brokers[self.broker].state().pair.record.intended = Some(claim);
        let Mine { claim: Claim { generation, claimant }, term, .. } = view.mine;
        let known = Fence { generation, claimant, term, leader: u64::MAX };
        let (broker, life) = (self.broker, self.life);
        let promised = evidence::have_promised(world, broker, life, claim, known, EVIDENCE).await;
        world
            .trace
            .add(&format!("{promised} agents promise {claim:?} to b{broker}: {enough} must"));
        promised >= enough
    }

    async fn take_over(&mut self, claim: Claim) {
        let (world, broker) = (&self.world, self.broker);
        let Claim { generation, claimant } = claim;
        let claim = abide_raft::Claim { generation, claimant: NodeId(claimant) };
        match self.raft.take_over(peer(broker), claim, None).await {
            Ok(()) if self.goes_on() => {
                claims::of(world, broker, &self.raft);
                let mut state = world.brokers[broker].state();
                state.node = self.raft.node();
                let record = &mut state.pair.record;
                (record.retired, record.peer_retired) = (None, None);
                record.intended = None;
                self.silent = Duration::ZERO;
            }
            Err(cause) if self.goes_on() => {
                panic!("the takeover of b{broker} failed: {cause:?}");
            }
            // It died on the way.
            Ok(()) | Err(_) => {}
        }
    }

    /// There is a quorum: a farewell does not count any more, nor what this node was about to begin.
    fn serve(&mut self, decision: Decision) {
        let intended = {
            let mut state = self.world.brokers[self.broker].state();
            state.pair.record.retired = None;
            state.pair.record.intended
        };
        let Some(intended) = intended else { return };
        if self.stands_on() >= intended {
            self.world.brokers[self.broker].state().pair.record.intended = None;
        } else if self.raising.as_ref().is_none_or(JoinHandle::is_finished) {
            let (world, broker) = (self.world.clone(), self.broker);
            let leads = decision == Decision::Serve;
            let to = intended.generation + 1;
            self.raising = Some(tokio::spawn(raise(world, broker, leads, to)));
        }
    }

    /// The claim of all that the data know.
    fn stands_on(&self) -> Claim {
        let known = Claim { generation: self.raft.latest().0.generation(), claimant: 0 };
        super::claim(&self.raft).max(known)
    }
}

/// Goes above a claim that did not come about: at the leader, whoever of the two that is.
async fn raise(world: Arc<World>, broker: usize, leads: bool, to: u64) {
    let leader = if leads { broker } else { 1 - broker };
    let came = leads || world.carry(End::Broker(broker), End::Broker(leader)).await.is_some();
    if let Some(raft) = world.raft(leader).filter(|_| came) {
        let raised = propose(&world, leader, &raft, Change::RaiseGeneration { to }).await;
        world.trace.add(&format!("b{leader} goes above a takeover in vain, to {to}: {raised:?}"));
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
