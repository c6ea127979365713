//! A small model of the broker's driver, without the wire. What it does is decided in `core/reconcile`, as the
//! broker's own is.

use std::sync::Arc;
use std::time::Duration;

use abide_broker::Replica;
use abide_model::{
    AgentFacts, AgentId, Change, Command, Fence, Joins, Outcome, Profile, Reach, Report, Session,
    SessionId, State, Table,
};
use abide_raft::{Claim, ProposeError, Raft};
use abide_reconcile::{Heard, Reservation, Wanted};
use abide_session::{Phase, Row};
use tokio::time::Instant;

use crate::agent::{self, Greeting, Ordered};
use crate::names;
use crate::net::End;
use crate::world::World;

const TICK: Duration = Duration::from_millis(100);
const SILENCE: Duration = Duration::from_millis(2_200);

/// Runs until this life of the broker ends.
pub async fn run(world: Arc<World>, broker: usize, life: u64, raft: Raft<Replica>) {
    let driver = Driver { world, broker, life, raft };
    let mut leading: Option<(Fence, Instant)> = None;
    loop {
        tokio::time::sleep(TICK).await;
        if !driver.world.is_alive(broker, life) {
            return;
        }
        let Some(fence) = driver.fence() else {
            leading = None;
            continue;
        };
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
        driver.look(fence, since);
    }
}

/// An agent has obeyed a higher fence: risen above, if nobody else votes.
pub async fn fenced(world: &World, broker: usize, life: u64, highest: Fence) {
    let raft = world.raft(broker).filter(|_| world.is_alive(broker, life));
    if let Some(raft) = raft {
        let seen = Claim { generation: highest.generation, claimant: highest.claimant.into() };
        let raised = raft.raise_claim(seen).await.is_ok();
        world.trace.add(&format!("b{broker} is told of {highest}; raised: {raised}"));
    }
}

struct Driver {
    world: Arc<World>,
    broker: usize,
    life: u64,
    raft: Raft<Replica>,
}

impl Driver {
    fn fence(&self) -> Option<Fence> {
        self.raft.command_fence().map(|fence| Fence {
            generation: fence.claim.generation,
            claimant: fence.claim.claimant.0,
            term: fence.term,
            leader: fence.leader.0,
        })
    }

    fn look(&self, fence: Fence, since: Instant) {
        let replica = self.raft.latest();
        let table = &replica.0;
        for agent in 0..self.world.hosts.len() {
            let link = self.world.brokers[self.broker].state().links.get(&agent).cloned();
            let Some(known) = table.agent(&names::agent(agent)) else {
                self.admit(agent);
                continue;
            };
            let heard = link.as_ref().map_or(since, |link| link.heard.max(since));
            let is_silent = heard.elapsed() > SILENCE;
            if is_silent && known.reach == Reach::Reachable {
                let at = self.world.clock(End::Broker(self.broker));
                let change = Change::AgentUnheard { agent: known.id.clone(), since: at };
                self.propose(None, change);
            }
            let Some(link) = link.filter(|_| !is_silent) else { continue };
            self.welcome(table, agent, &link.greeting);
            if link.unread {
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
        self.recovered(table);
    }

    fn admit(&self, agent: usize) {
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
        });
        if let Some(change) = abide_reconcile::welcome(table, &names::agent(agent), &facts) {
            self.propose(None, change);
        }
    }

    fn hear(&self, table: &Table, agent: usize, greeting: &Greeting, row: &Row, fence: Fence) {
        let Some(report) = report_of(row) else { return };
        let (id, boot) = (names::agent(agent), row.boot.clone());
        match abide_reconcile::hear(table, &id, row.session, report, boot) {
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

    /// Serves people again once all that agents have is in the table.
    fn recovered(&self, table: &Table) {
        let mut state = self.world.brokers[self.broker].state();
        let all = state.links.len() == self.world.hosts.len();
        let rows = state.links.values().flat_map(|link| link.greeting.rows.values());
        let mut open = rows.filter(|row| !row.phase.is_over());
        if all && open.all(|row| table.session(row.session).is_some()) {
            state.recovering = false;
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
