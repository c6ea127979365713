//! The one task that gives and takes orders: looks at what is known, decides, and does it.

mod alone;

pub(crate) use alone::outbid;

use std::collections::BTreeSet;
use std::time::Duration;

use abide_pair::{
    Agents, Claim, Decision, Mine, Order, Peer, Proof, Stale, Standing, View, Why, decide,
};
use abide_raft::{NodeId, Role};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info};

use super::mark::Mark;
use super::{aside, greet, status};
use crate::broker::Broker;
use crate::ha::{Ask, Code, Order as Asked, Reply};
use crate::hub::Obeyed;

/// Between two looks at what is known.
const LOOK: Duration = Duration::from_millis(50);
/// A look that comes later says that this process stood still: then it heard nobody, whoever spoke.
const STOOD_STILL: Duration = Duration::from_millis(250);
/// What agents, and the peer, may take to answer before a takeover.
const EVIDENCE: Duration = Duration::from_millis(150);
/// The same for a peer that has just left a question without an answer.
const AGAIN: Duration = Duration::from_millis(50);
/// When that was.
const JUST: Duration = Duration::from_millis(700);
/// For how long somebody who was vouched for to be down must be silent first.
const VOUCHED: Duration = Duration::from_millis(200);
/// How long a read may take that shows that this node serves.
const SHOWN: Duration = Duration::from_millis(500);
/// How long another may take to lead instead.
const YIELD: Duration = Duration::from_secs(2);

const TOO_FEW: &str = "no quorum: fewer agents are heard than must be told under takeover = \"fenced\" that this node \
                       goes on alone; it does when they are. If they are gone, `abide ha activate --accept-stale` \
                       does without them";

/// Serves the orders, and goes on alone where that is right. Ends when the peer's claim, which it gives, is
/// the higher one.
pub(crate) async fn keep(broker: &Broker, asks: &mut mpsc::Receiver<Ask>) -> Claim {
    let mut leadership = broker.raft.leadership();
    let (back, mut unserved) = mpsc::unbounded_channel();
    let mut keeper = Keeper::new(broker.clone(), back);
    loop {
        tokio::select! {
            Some(ask) = asks.recv() => keeper.take(ask),
            Some(waiting) = unserved.recv() => keeper.waiting.push(waiting),
            () = broker.pair.news() => {}
            Ok(()) = leadership.changed() => {}
            () = sleep(LOOK), if broker.pair.settings().is_some() => {}
        }
        if broker.pair.settings().is_none() {
            continue;
        }
        if let Some(claim) = keeper.look().await {
            return claim;
        }
    }
}

struct Keeper {
    broker: Broker,
    /// For how long nobody has led whom a majority follows, as far as this process was awake.
    silent: Duration,
    looked: Instant,
    /// Somebody vouched then for it that the peer is down.
    vouched: Option<Instant>,
    /// Until then, data that may be stale are good enough.
    accepts_stale: Option<Instant>,
    /// See [`View::met`].
    met: bool,
    waiting: Vec<Waiting>,
    /// Takes those for whom it could not be shown that it serves. Unbounded; they were few before.
    back: mpsc::UnboundedSender<Waiting>,
    said: Option<Decision>,
    /// Raises the generation.
    raising: Option<JoinHandle<()>>,
}

/// Somebody who wants this node to serve.
struct Waiting {
    deadline: Instant,
    reply: oneshot::Sender<Reply>,
}

impl Keeper {
    fn new(broker: Broker, back: mpsc::UnboundedSender<Waiting>) -> Self {
        Self {
            broker,
            silent: Duration::ZERO,
            looked: Instant::now(),
            vouched: None,
            accepts_stale: None,
            met: false,
            waiting: Vec::new(),
            back,
            said: None,
            raising: None,
        }
    }

    fn take(&mut self, Ask { order, deadline, reply }: Ask) {
        let broker = self.broker.clone();
        let has_pair = broker.pair.settings().is_some();
        match order {
            Asked::Status => {
                let view = self.view(broker.hub.askable());
                drop(reply.send(status::reply(&broker, &view)));
            }
            Asked::Aside => {
                tokio::spawn(async move {
                    // Whoever asked may have gone.
                    let _ = reply.send(aside::list(&broker).await);
                });
            }
            Asked::Activate { .. } | Asked::Release { .. } if !has_pair => {
                let text = "this broker is none of a pair: broker.toml has no [pair]";
                let _ = reply.send(Reply::new(Code::Failed, text));
            }
            Asked::Activate { peer_is_down, accept_stale, .. } => {
                info!(peer_is_down, accept_stale, "The cluster manager wants this node to serve");
                broker.pair.change(|record| {
                    record.set_ordered(true);
                    record.proof_seen |= peer_is_down;
                });
                // It may be the one that has to do something for it.
                broker.pair.hurry();
                if peer_is_down {
                    self.vouched = Some(Instant::now());
                }
                if accept_stale {
                    self.accepts_stale = Some(deadline);
                }
                self.waiting.push(Waiting { deadline, reply });
            }
            Asked::Release { .. } => {
                info!("The cluster manager wants this node to serve no more");
                broker.pair.change(|record| record.set_ordered(false));
                (self.vouched, self.accepts_stale) = (None, None);
                self.answer(&Reply::new(Code::NoQuorum, "released while it was being activated"));
                tokio::spawn(async move {
                    let _ = reply.send(release(&broker, deadline).await);
                });
            }
        }
    }

    /// Does what is to be done now; gives a claim that is higher than this node's.
    async fn look(&mut self) -> Option<Claim> {
        self.listen();
        let mut told = self.broker.hub.askable();
        let mut decision = decide(&self.view(told));
        if let Decision::Force(_) = decision {
            told = self.ask().await;
            decision = decide(&self.view(told));
        }
        self.say(decision);
        match decision {
            Decision::Rejoin(claim) => return Some(claim),
            Decision::Force(_) => self.force(told).await,
            Decision::Serve | Decision::Follow => self.serve(),
            Decision::Refuse(stale) => self.refuse(stale),
            Decision::Unproven => self.answer(&Reply::new(
                Code::Unproven,
                "the peer does not answer, and nobody has proven that it is down: takeover = \"fenced\". \
                 If it is, say so: abide ha activate --peer-is-down",
            )),
            Decision::Wait(_) => {}
        }
        self.give_up(decision);
        None
    }

    /// What is known may be a second old; before that step everybody is asked. Gives how many agents answered.
    async fn ask(&self) -> usize {
        let (pair, peers, raft) = (&self.broker.pair, &self.broker.peers, &self.broker.raft);
        let just_missed = pair.told().missed.is_some_and(|missed| missed.elapsed() < JUST);
        let within = if just_missed { AGAIN } else { EVIDENCE };
        let (_, told) = tokio::join!(
            greet::ask(pair, peers, raft, within),
            self.broker.hub.ask_fences(EVIDENCE)
        );
        told
    }

    /// Counts for how long nobody leads.
    fn listen(&mut self) {
        let awake = self.looked.elapsed().min(STOOD_STILL);
        self.looked = Instant::now();
        let fresh = self.broker.raft.timing().heartbeat * 2;
        match self.last_word() {
            Some(age) if age < fresh => {
                self.silent = Duration::ZERO;
            }
            word if self.silent.is_zero() => {
                self.silent = word.unwrap_or(awake).min(STOOD_STILL).max(awake);
                self.broker.pair.hurry();
            }
            _ => {
                self.silent += awake;
                if !self.broker.pair.told().answers() {
                    self.broker.pair.hurry();
                }
            }
        }
        self.meet();
    }

    /// Notes whether the peer has answered as the one that it is in these data.
    fn meet(&mut self) {
        let Some(peer) = self.broker.pair.told().answered else { return };
        let raft = &self.broker.raft;
        let voters = raft.status().members.voters;
        let votes = voters.iter().flatten().any(|voter| voter.0 == peer.node);
        self.met |= votes && peer.claim() == Mark::here(raft).claim();
    }

    /// How long ago a majority, or a leader, was heard.
    fn last_word(&self) -> Option<Duration> {
        let raft = &self.broker.raft;
        let role = raft.leadership().borrow().role;
        match role {
            Role::Serving | Role::Unconfirmed => raft.quorum_age(),
            Role::Following => Some(raft.status().leader_heard),
            Role::Elected | Role::Stopped => None,
        }
    }

    /// Of the agents so many have told whom they obey.
    fn view(&self, told: usize) -> View {
        let broker = &self.broker;
        let (pair, raft) = (&broker.pair, &broker.raft);
        let (status, record) = (raft.status(), pair.record());
        let (me, now) = (raft.node(), Instant::now());
        let voters: BTreeSet<NodeId> = status.members.voters.iter().flatten().copied().collect();
        let mine = Mine {
            claim: broker.claim(),
            term: status.last.map_or(0, |last| last.term),
            pristine: raft.is_pristine(),
            // While one set replaces another the new one counts: whoever is to leave may miss what follows.
            votes: status.members.voters.last().is_some_and(|set| set.contains(&me)),
            retired: record.retired == Some(Mark::here(raft)),
        };
        let accepts = self.accepts_stale.is_some_and(|until| now < until);
        let order = record.is_ordered().then_some(Order { accept_stale: accepts });
        let policy = pair.settings().map_or(status::NO_PAIR, |settings| settings.policy);
        let standing = self.standing(mine.votes);
        // They are many, and matter only to a node that may have to go on alone.
        let agents = match standing {
            Standing::Alone { .. } => {
                let known = broker.raft.latest().0.agents().count();
                let own = record.intended.map(Mark::claim);
                Agents { known, told, ..agents(&broker.hub.fences(), own) }
            }
            Standing::Leads | Standing::Follows | Standing::Learns => Agents::default(),
        };
        View {
            policy,
            order,
            standing,
            mine,
            peer: self.peer(mine, &voters),
            agents,
            met: self.met,
        }
    }

    fn standing(&self, votes: bool) -> Standing {
        let raft = &self.broker.raft;
        let now = raft.leadership().borrow().clone();
        let lease = raft.timing().lease;
        let hears = now.role == Role::Following
            && now.leader.is_some()
            && raft.status().leader_heard < lease;
        match now.role {
            Role::Serving => Standing::Leads,
            _ if hears && votes => Standing::Follows,
            _ if hears => Standing::Learns,
            _ => Standing::Alone { silent: self.silent },
        }
    }

    fn peer(&self, mine: Mine, voters: &BTreeSet<NodeId>) -> Peer {
        let broker = &self.broker;
        let (told, record) = (broker.pair.told(), broker.pair.record());
        let mut others = voters.iter().filter(|voter| **voter != broker.raft.node());
        let votes = |node: u64| voters.contains(&NodeId(node));
        let claim = broker.raft.claim();
        let answers = told.answers();
        let retired = record.peer_retired.is_some_and(|it| {
            (it.generation, it.claimant) == (claim.generation, claim.claimant.0) && votes(it.node)
        });
        let other_life = answers
            && others.next().is_some()
            && told.greeting.is_some_and(|it| !votes(it.node))
            && told.claim() <= Some(mine.claim);
        let leans = other_life && told.greeting.is_some_and(|it| it.ordered);
        let proof = match () {
            () if retired => Some(Proof::Retired),
            () if other_life => Some(Proof::AnotherLife),
            () if self.is_vouched_for() => Some(Proof::Vouched),
            () => None,
        };
        Peer { claim: told.claim(), answers, proof, leans }
    }

    /// Whether somebody vouched for it that the peer is down, and nothing was heard of it since.
    fn is_vouched_for(&self) -> bool {
        let Some(vouched) = self.vouched else { return false };
        let word = self.last_word().and_then(|age| Instant::now().checked_sub(age));
        let told = self.broker.pair.told().at.map(Instant::from_std);
        let heard = [word, told].into_iter().flatten().max();
        heard.is_none_or(|heard| heard < vouched && heard.elapsed() >= VOUCHED)
    }

    /// A quorum is there again: an earlier farewell does not count any more, nor what this node was about to
    /// begin.
    fn serve(&mut self) {
        let record = self.broker.pair.record();
        if let Some(intended) = record.intended {
            self.give_up_claim(intended.claim());
        }
        let broker = &self.broker;
        if record.retired.is_some() {
            broker.pair.change(|record| record.retired = None);
        }
        for waiting in self.waiting.drain(..) {
            let (broker, back) = (broker.clone(), self.back.clone());
            tokio::spawn(async move {
                // Whoever asked may have gone; and so may the loop that takes it back.
                match timeout(SHOWN, broker.table()).await {
                    Ok(Ok(_)) => {
                        let answer = Reply::new(Code::Serves, status::serves(&broker));
                        let _ = waiting.reply.send(answer);
                    }
                    Ok(Err(_)) | Err(_) => drop(back.send(waiting)),
                }
            });
        }
    }

    fn refuse(&mut self, stale: Stale) {
        if !self.broker.pair.record().is_ordered() {
            // The order is the peer's, and so is the answer.
            return;
        }
        error!(%stale, "Not serving: these data may be stale");
        self.broker.pair.change(|record| record.set_ordered(false));
        if stale == Stale::NoVoter && self.broker.pair.told().answers() {
            let text = "stale: this node does not vote, and its peer, from which it would learn, answers but \
                        does not lead. `abide ha status` on the peer says why";
            return self.answer(&Reply::new(Code::Stale, text));
        }
        let text = format!(
            "stale: {stale}. Start the peer, and this one catches up by itself; if the peer is lost for \
             good, `abide ha activate --accept-stale` goes on without what only it knew"
        );
        self.answer(&Reply::new(Code::Stale, text));
    }

    /// Answers whoever has waited for long enough.
    fn give_up(&mut self, decision: Decision) {
        let now = Instant::now();
        let reply = match decision {
            Decision::Wait(Why::Learning) => {
                Reply::new(Code::Learner, "learner: this node has not caught up in time")
            }
            Decision::Wait(Why::Agents) => Reply::new(Code::NoQuorum, TOO_FEW),
            _ => late(),
        };
        for Waiting { reply: to, .. } in self.waiting.extract_if(.., |it| it.deadline <= now) {
            let _ = to.send(reply.clone());
        }
    }

    fn answer(&mut self, reply: &Reply) {
        for waiting in self.waiting.drain(..) {
            let _ = waiting.reply.send(reply.clone());
        }
    }

    /// Says what was decided, once.
    fn say(&mut self, decision: Decision) {
        if self.said != Some(decision) {
            info!(?decision, "What this node of a pair does now");
            self.said = Some(decision);
        }
    }
}

fn late() -> Reply {
    Reply::new(Code::NoQuorum, "no quorum: it could not serve in time, and goes on trying")
}

/// What they have told, but for what they promised to this node itself.
fn agents(told: &[Obeyed], own: Option<Claim>) -> Agents {
    let of_fence =
        |it: &Obeyed| Claim { generation: it.fence.generation, claimant: it.fence.claimant };
    let of_view =
        |it: &Obeyed| Claim { generation: it.version.generation, claimant: it.version.claimant };
    let claims = told.iter().flat_map(|it| [of_fence(it), of_view(it)]);
    let claim = claims.filter(|claim| Some(*claim) != own).max().unwrap_or_default();
    let terms = told.iter().filter(|it| of_fence(it) == claim).map(|it| it.fence.term);
    Agents { claim, term: terms.max().unwrap_or(0), ..Agents::default() }
}

/// Stops leading, if another can.
async fn release(broker: &Broker, deadline: Instant) -> Reply {
    let now = broker.raft.leadership().borrow().role;
    let leads = matches!(now, Role::Serving | Role::Elected | Role::Unconfirmed);
    let others = broker.raft.status().members.voters.iter().flatten().count() > 1;
    let within = YIELD.min(deadline.saturating_duration_since(Instant::now()));
    if leads && others && !broker.raft.yield_lead(within).await {
        return Reply::new(
            Code::Serves,
            "released: it does not serve by order any more; no other broker leads yet",
        );
    }
    Reply::new(Code::Serves, "released: it does not serve by order any more")
}
