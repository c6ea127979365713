//! A small model of the broker's driver, without the wire. What it does is decided in `core/reconcile`, as the
//! broker's own is.

use std::sync::Arc;
use std::time::Duration;

use abide_broker::Replica;
use abide_model::{
    AgentFacts, AgentId, Change, Command, Fence, Joins, Outcome, Profile, Reach, Report, Session,
    SessionId, State, Table,
};
use abide_pair::Claim;
use abide_raft::{ProposeError, Raft};
use abide_reconcile::{Heard, Listening, Recorded, Reservation, Wanted};
use abide_session::{Phase, Row};
use tokio::time::Instant;

use crate::agent::{self, Greeting, Ordered};
use crate::names;
use crate::net::End;
use crate::pair;
use crate::world::World;

const TICK: Duration = Duration::from_millis(100);
/// For so long an agent may be silent.
pub const SILENCE: Duration = Duration::from_millis(2_200);

/// Runs until this life of the broker ends.
pub async fn run(world: Arc<World>, broker: usize, life: u64, raft: Raft<Replica>) {
    let driver = Driver { world: world.clone(), broker, life, raft };
    let mut leading: Option<(Fence, Instant)> = None;
    let mut listening = Listening::new(Instant::now());
    loop {
        tokio::time::sleep(TICK).await;
        if !driver.world.is_alive(broker, life) {
            return;
        }
        let Some(fence) = driver.fence() else {
            leading = None;
            continue;
        };
        if world.brokers[broker].state().rebuilds {
            driver.begin_rebuild().await;
            continue;
        }
        // A process that stood still goes on with the fence that it had in its hand.
        while let Some(until) = world.stalled(broker, life) {
            tokio::time::sleep_until(until).await;
        }
        if !world.is_alive(broker, life) {
            return;
        }
        let since = match leading {
            Some((known, since)) if known == fence => since,
            _ => {
                driver.world.trace.add(&format!("b{broker} leads under {fence}"));
                let mut state = driver.world.brokers[broker].state();
                state.links.values_mut().for_each(|link| link.unread = true);
                Instant::now()
            }
        };
        leading = Some((fence, since));
        listening.look(Instant::now(), driver.raft.leadership().borrow().is_serving());
        if world.pair.is_some() {
            let Fence { generation, claimant, .. } = fence;
            pair::tell_views(&world, broker, Claim { generation, claimant });
        }
        driver.look(fence, since, listening);
    }
}

/// An agent has obeyed a higher fence: risen above, where that may be done.
pub async fn fenced(world: &World, broker: usize, life: u64, highest: Fence) {
    if let Some(raft) = world.raft(broker).filter(|_| world.is_alive(broker, life)) {
        rise(world, broker, &raft, highest.generation).await;
    }
}

/// As the broker's own: a lone broker, or a table that was made anew.
async fn rise(world: &World, broker: usize, raft: &Raft<Replica>, seen: u64) {
    let table = raft.latest();
    if fence(raft).is_none_or(|fence| fence.generation > seen)
        // One of a pair that finds itself alone may not be: the other one's claim is not to be outbid.
        || !(is_alone(raft) && world.pair.is_none()) && table.0.rebuild().is_none()
    {
        return;
    }
    let raised = propose(world, broker, raft, Change::RaiseGeneration { to: seen + 1 }).await;
    world.trace.add(&format!("b{broker} rises above generation {seen}: {raised:?}"));
}

fn is_alone(raft: &Raft<Replica>) -> bool {
    raft.status().members.voters.iter().flatten().eq([&raft.node()])
}

/// What this broker's commands carry: no lower than what its table stands on.
fn fence(raft: &Raft<Replica>) -> Option<Fence> {
    let fence = raft.command_fence()?;
    let claim = (fence.claim.generation, fence.claim.claimant.0);
    let (generation, claimant) = claim.max((raft.latest().0.generation(), 0));
    Some(Fence { generation, claimant, term: fence.term, leader: fence.leader.0 })
}

struct Driver {
    world: Arc<World>,
    broker: usize,
    life: u64,
    raft: Raft<Replica>,
}

impl Driver {
    fn fence(&self) -> Option<Fence> {
        fence(&self.raft)
    }

    /// The administrator has said which agents there are.
    async fn begin_rebuild(&self) {
        let agents = (0..self.world.hosts.len()).map(|agent| names::agent(agent).as_str().into());
        let expected = Change::ExpectAgents { agents: agents.collect() };
        for change in [Change::BeginRebuild, expected] {
            if propose(&self.world, self.broker, &self.raft, change).await.is_err() {
                return;
            }
        }
        let mut state = self.world.brokers[self.broker].state();
        state.rebuilds &= state.life != self.life;
        drop(state);
        self.world.trace.add(&format!("b{} makes the table anew", self.broker));
    }

    fn look(&self, fence: Fence, since: Instant, listening: Listening<Instant>) {
        let replica = self.raft.latest();
        let table = &replica.0;
        for agent in 0..self.world.hosts.len() {
            let link = self.world.brokers[self.broker].state().links.get(&agent).cloned();
            let Some(known) = table.agent(&names::agent(agent)) else {
                if link.is_some() {
                    self.admit(table, agent);
                }
                continue;
            };
            let heard = link.as_ref().map(|link| link.heard);
            if listening.is_silent(heard, since, SILENCE) && known.reach == Reach::Reachable {
                let at = self.world.clock(End::Broker(self.broker));
                let change = Change::AgentUnheard { agent: known.id.clone(), since: at };
                self.propose(None, change);
            }
            let is_heard = listening.is_heard(heard, SILENCE);
            let Some(link) = link.filter(|_| is_heard) else { continue };
            self.welcome(table, agent, &link.greeting);
            if link.unread {
                if link.greeting.fence > fence {
                    let (world, raft) = (self.world.clone(), self.raft.clone());
                    let (broker, seen) = (self.broker, link.greeting.fence.generation);
                    tokio::spawn(async move { rise(&world, broker, &raft, seen).await });
                }
                if let Some(link) = self.world.brokers[self.broker].state().links.get_mut(&agent) {
                    link.unread = false;
                }
                for row in link.greeting.rows.values() {
                    self.hear(table, agent, &link.greeting, row, fence);
                }
                let missing = table.sessions_on(&known.id);
                for session in missing.filter(|it| !link.greeting.rows.contains_key(&it.id)) {
                    if let Some(change) = abide_reconcile::miss(session, &link.greeting.boot) {
                        self.propose(Some(session.id), change);
                    }
                }
            }
        }
        for session in table.unsettled() {
            if matches!(session.state, State::Superseded { .. }) {
                self.world.history().superseded.insert(session.id);
            }
            self.pursue(session, fence);
        }
        self.note_reported(table);
    }

    fn admit(&self, table: &Table, agent: usize) {
        if table.rebuild().is_some() {
            let (agent, name) = (names::agent(agent), format!("a{agent}"));
            return self.propose(None, Change::RestoreAgent { agent, name });
        }
        let hash = [agent as u8; 32];
        let at = self.world.clock(End::Broker(self.broker));
        let (expires, joins) = (at.plus(3_600_000), Joins::Agent);
        self.propose(None, Change::AddJoinToken { hash, expires, joins });
        let name = format!("a{agent}");
        self.propose(None, Change::AdmitAgent { hash, agent: names::agent(agent), name });
    }

    fn welcome(&self, table: &Table, agent: usize, greeting: &Greeting) {
        let facts = Arc::new(AgentFacts {
            boot: greeting.boot.clone(),
            public_url: format!("https://a{agent}"),
            weight: 1,
            profiles: vec![Profile { name: names::id("xfce"), title: "Xfce".into() }],
            labels: std::collections::BTreeSet::new(),
            max_sessions: None,
        });
        if let Some(change) = abide_reconcile::welcome(table, &names::agent(agent), &facts) {
            self.propose(None, change);
        }
    }

    fn hear(&self, table: &Table, agent: usize, greeting: &Greeting, row: &Row, fence: Fence) {
        let Some(report) = report_of(row) else { return };
        let (id, boot) = (names::agent(agent), row.boot.clone());
        let recorded = match self.world.pair.is_some() && is_alone(&self.raft) {
            true => Recorded::Here,
            false => Recorded::Everywhere,
        };
        match abide_reconcile::hear(table, &id, row.session, report, boot, recorded) {
            Heard::Known | Heard::Foreign(_) => {}
            Heard::News(change) => self.propose(Some(row.session), change),
            Heard::Forget => {
                self.command(agent, greeting.life, fence, Ordered::Forget(row.session));
            }
            Heard::Unknown(state) => self.adopt(&id, row, state),
        }
    }

    fn adopt(&self, agent: &AgentId, row: &Row, state: State) {
        let order = row.order.as_ref().and_then(|it| self.world.ring.verify_order(&it.text).ok());
        let adopted = order.and_then(|order| {
            abide_reconcile::adopted(order, agent, row.session, row.boot.clone(), state)
        });
        if let Some(adopted) = adopted {
            self.propose(Some(row.session), Change::Adopt(Arc::new(adopted)));
        }
    }

    fn pursue(&self, session: &Session, fence: Fence) {
        let Some(agent) = self.world.agent_of(&session.agent) else { return };
        let link = self.world.brokers[self.broker].state().links.get(&agent).cloned();
        let Some(Greeting { life, rows, .. }) = link.map(|link| link.greeting) else { return };
        let listed = rows.get(&session.id).and_then(report_of);
        // No run lasts long enough for a stale one.
        let wanted = abide_reconcile::pursue(session, listed.as_ref(), Reservation::Wanted);
        let order = match wanted {
            None => return,
            Some(Wanted::Start) => Ordered::Start(self.order(session)),
            Some(Wanted::Cancel) => Ordered::Cancel(session.id),
            Some(Wanted::End { by }) => Ordered::End(session.id, by),
        };
        self.command(agent, life, fence, order);
    }

    fn order(&self, session: &Session) -> Arc<str> {
        let order = abide_reconcile::start_order(session);
        self.world.keys[self.broker].sign(names::CLUSTER, &order).into()
    }

    fn command(&self, agent: usize, agent_life: u64, fence: Fence, order: Ordered) {
        let number = {
            let mut state = self.world.brokers[self.broker].state();
            state.commands += 1;
            state.commands
        };
        let (broker, broker_life) = (self.broker, self.life);
        let command = agent::Command { broker, broker_life, agent_life, number, fence, order };
        let copies = 1 + u32::from(self.world.chance.per_mille(self.world.doubled()));
        for _ in 0..copies {
            let (world, command) = (self.world.clone(), command.clone());
            tokio::spawn(async move {
                if world.carry(End::Broker(broker), End::Agent(agent)).await.is_some() {
                    agent::deliver(&world, agent, command);
                }
            });
        }
    }

    /// Notes the agents all of whose sessions are in the table that is made anew.
    fn note_reported(&self, table: &Table) {
        let Some(rebuild) = table.rebuild() else { return };
        let links = self.world.brokers[self.broker].state().links.clone();
        for (agent, link) in links {
            let agent = names::agent(agent);
            let mut open = link.greeting.rows.values().filter(|row| !row.phase.is_over());
            let is_new = table.agent(&agent).is_some() && !rebuild.reported.contains(&agent);
            if is_new && open.all(|row| table.session(row.session).is_some()) {
                self.propose(None, Change::AgentRebuilt { agent });
            }
        }
    }

    /// Commits in the background; one change at a time about each session.
    fn propose(&self, session: Option<SessionId>, change: Change) {
        let mut state = self.world.brokers[self.broker].state();
        if session.is_some_and(|session| !state.busy.insert(session)) {
            return;
        }
        drop(state);
        let (world, raft) = (self.world.clone(), self.raft.clone());
        let (broker, life) = (self.broker, self.life);
        tokio::spawn(async move {
            // What failed is looked at again with the next greeting.
            let _ = propose(&world, broker, &raft, change).await;
            let mut state = world.brokers[broker].state();
            if let Some(session) = session.filter(|_| state.life == life) {
                state.busy.remove(&session);
            }
        });
    }
}

/// Commits a change at this moment of the broker's clock.
pub async fn propose(
    world: &World,
    broker: usize,
    raft: &Raft<Replica>,
    change: Change,
) -> Result<Outcome, ProposeError> {
    raft.propose(Command { at: world.clock(End::Broker(broker)), change }).await
}

fn report_of(row: &Row) -> Option<Report> {
    Some(match &row.phase {
        Phase::New => return None,
        Phase::Starting => Report::Starting,
        Phase::Running => Report::Running { ever_attached: row.ever_attached },
        Phase::Ending { .. } => Report::Ending,
        Phase::Ended { reason, .. } => Report::Ended { reason: reason.clone() },
        Phase::Cancelled => Report::Cancelled,
    })
}
