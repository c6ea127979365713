//! Brings the table and the agents together, while this broker leads.
//!
//! Works from levels, not from events: whatever was missed, the next look finds it.
//! - What agents say goes into the table, where it says something new.
//! - What the table wants goes to the agents: reserved sessions are started, ending ones ended.
//! - Agents that nobody hears become unreachable.
//! - What is still on a drained agent at its deadline is ended, if its plan says so.
//!
//! What follows from what is decided in `core/reconcile`. Reservations are made and waited for in `desk`;
//! this starts nothing that is not committed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use abide_model::{
    AgentFacts, AgentId, BootId, Change, Fence, Reach, Session, SessionId, State, Table,
};
use abide_raft::ProposeError;
use abide_reconcile::{Heard, Listening, Recorded, Reservation, Wanted};
use abide_wire::agent::{self, LedgerRow, command};
use abide_wire::report_of;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::broker::Broker;
use crate::hearsay;
use crate::hub::{Order, Unread};
use crate::rebuild;
use crate::stream::chain;
use crate::timing;

/// How often silence is looked for.
const TICK: Duration = Duration::from_millis(200);
/// A reservation older than this that nobody waits for is cancelled, not started.
const STALE_RESERVATION_MS: u64 = 60_000;
/// Changes under way at once. They are batched below; more would only wait in memory.
const PROPOSALS: usize = 4096;
/// How often what agents keep is looked at anew while one of a pair is alone: what its table has forgotten
/// meanwhile, they need not keep either.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// How long a change that failed waits before it is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Runs until the engine stops.
pub async fn run(broker: Broker) {
    let mut changes = broker.raft.changes();
    let mut leadership = broker.raft.leadership();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let driver = Driver {
        broker: broker.clone(),
        slots: Arc::new(Semaphore::new(PROPOSALS)),
        busy: Arc::default(),
    };
    let mut leading: Option<(Fence, Instant)> = None;
    let mut last = broker.raft.latest();
    let mut alone = None;
    let mut listening = Listening::new(Instant::now());
    loop {
        let ticked = tokio::select! {
            changed = changes.changed() => if changed.is_err() { return } else { false },
            changed = leadership.changed() => if changed.is_err() { return } else { false },
            () = broker.hub.news() => false,
            _ = tick.tick() => true,
        };
        let Some(fence) = broker.fence() else {
            leading = None;
            continue;
        };
        let since = match leading {
            Some((known, since)) if known == fence => since,
            _ => {
                // Without the keys every start order would look forged.
                if broker.ready().await.is_err() {
                    continue;
                }
                info!(%fence, "Leading: all agents' reports are looked at anew");
                broker.hub.mark_all_unread();
                Instant::now()
            }
        };
        leading = Some((fence, since));
        driver.look_for_peer(&mut alone);
        let replica = broker.raft.latest();
        for (agent, unread) in broker.hub.take_unread() {
            driver.hear(&replica.0, &agent, unread, fence).await;
        }
        if !replica.0.has_same_log_outs(&last.0) {
            broker.hub.log_out(None, fence, &replica.0);
        }
        last = Arc::clone(&replica);
        for session in replica.0.unsettled() {
            driver.pursue(session, fence, since);
        }
        if ticked {
            listening.look(Instant::now(), leadership.borrow().is_serving());
            rebuild::note_reported(&broker, &replica.0).await;
            driver.look_for_silence(&replica.0, listening, since).await;
            driver.look_for_deadlines(&replica.0).await;
        }
    }
}

struct Driver {
    broker: Broker,
    slots: Arc<Semaphore>,
    /// Sessions about which a change is under way. One at a time: what an agent says of a session is
    /// taken in the order in which it says it.
    busy: Arc<Mutex<HashSet<SessionId>>>,
}

impl Driver {
    /// Takes what an agent said into the table.
    async fn hear(&self, table: &Table, agent: &AgentId, unread: Unread, fence: Fence) {
        if unread.greeted {
            let Some((greeting, rows)) = self.broker.hub.ledger(agent) else { return };
            rebuild::rise_above(&self.broker, table, agent, &greeting, fence).await;
            self.welcome(table, agent, &greeting.facts).await;
            self.broker.hub.log_out(Some(agent), fence, table);
            for (session, row) in &rows {
                self.hear_row(table, agent, *session, row, fence).await;
            }
            for session in table.sessions_on(agent).filter(|it| !rows.contains_key(&it.id)) {
                self.miss(session, &greeting.facts.boot).await;
            }
            return;
        }
        for session in unread.rows {
            if let Some(row) = self.broker.hub.row(agent, session) {
                self.hear_row(table, agent, session, &row, fence).await;
            }
        }
    }

    async fn hear_row(
        &self,
        table: &Table,
        agent: &AgentId,
        session: SessionId,
        row: &LedgerRow,
        fence: Fence,
    ) {
        let (report, boot) = match (report_of(row), row.boot_id.parse::<BootId>()) {
            (Ok(report), Ok(boot)) => (report, boot),
            (Err(cause), _) => {
                return warn!(%agent, %session, cause = chain(&cause), "Report not understood");
            }
            (_, Err(cause)) => {
                return warn!(%agent, %session, cause = chain(&cause), "Report not understood");
            }
        };
        let recorded = match self.is_half() {
            true => Recorded::Here,
            false => Recorded::Everywhere,
        };
        match abide_reconcile::hear(table, agent, session, report, boot.clone(), recorded) {
            Heard::Known => {}
            Heard::News(change) => self.propose(agent, Some(session), change).await,
            Heard::Forget => self.forget(agent, session, fence),
            Heard::Foreign(owner) => {
                warn!(%agent, %session, %owner, "Agent reports another's session");
            }
            Heard::Unknown(state) => self.hear_unknown(agent, session, row, state, boot).await,
        }
    }

    /// Whether this is one of a pair, and alone.
    fn is_half(&self) -> bool {
        self.broker.settings.pair.is_some() && self.broker.is_alone()
    }

    /// Has agents forget what they kept for the other one of a pair, once that is back. `alone` is when that
    /// was looked for last, if it was away.
    fn look_for_peer(&self, alone: &mut Option<Instant>) {
        let is_half = self.is_half();
        if alone.is_some_and(|looked| !is_half || looked.elapsed() >= KEPT) {
            self.broker.hub.mark_all_unread();
            *alone = None;
        }
        if is_half {
            alone.get_or_insert_with(Instant::now);
        }
    }

    /// A session's end is in every table: its agent need not keep it.
    fn forget(&self, agent: &AgentId, session: SessionId, fence: Fence) {
        let forget = command::Command::Forget(agent::Forget { session: session.to_string() });
        self.broker.hub.command(agent, session, Order::Forget, fence, forget);
    }

    /// An agent has a session that the table does not: adopted if a broker of this cluster ordered it.
    async fn hear_unknown(
        &self,
        agent: &AgentId,
        session: SessionId,
        row: &LedgerRow,
        state: State,
        boot: BootId,
    ) {
        let order = self.broker.verifier.ring().verify_order(&row.start_order);
        match order.map(|order| abide_reconcile::adopted(order, agent, session, boot, state)) {
            Ok(Some(adopted)) => {
                info!(%agent, %session, user = %adopted.user, "Adopting a session");
                self.propose(agent, Some(session), Change::Adopt(Arc::new(adopted))).await;
            }
            Ok(None) => warn!(%agent, %session, "A session's start order is for another"),
            Err(cause) => {
                let cause = chain(&cause);
                warn!(%agent, %session, cause, "A session's start order is not good");
            }
        }
    }

    /// An agent does not list a session that the table has there.
    async fn miss(&self, session: &Session, now: &BootId) {
        let Some(change) = abide_reconcile::miss(session, now) else { return };
        if matches!(change, Change::Unlisted { .. }) {
            warn!(session = %session.id, agent = %session.agent,
                "An agent does not list a session that it should have");
        }
        self.propose(&session.agent, None, change).await;
    }

    /// Tells a session's agent what the table wants, once a link.
    fn pursue(&self, session: &Session, fence: Fence, leading_since: Instant) {
        let hub = &self.broker.hub;
        let is_told = hub.is_pending(&session.agent, session.id, Order::Start);
        if session.state == State::Reserved && is_told {
            return;
        }
        let row = hub.row(&session.agent, session.id);
        // One that is not understood was complained of when it came.
        let Ok(listed) = row.as_ref().map(report_of).transpose() else { return };
        let reservation = match self.is_stale(session, leading_since) {
            true => Reservation::Stale,
            false => Reservation::Wanted,
        };
        let text = session.id.to_string();
        let (order, command) = match abide_reconcile::pursue(session, listed.as_ref(), reservation)
        {
            None => return,
            Some(Wanted::Start) => {
                let order = self.broker.issuer.order(&abide_reconcile::start_order(session));
                (Order::Start, command::Command::Start(agent::Start { order }))
            }
            Some(Wanted::Cancel) => {
                (Order::Cancel, command::Command::Cancel(agent::Cancel { session: text }))
            }
            Some(Wanted::End { by }) => {
                let by = by.to_string();
                (Order::End, command::Command::End(agent::End { session: text, by }))
            }
        };
        hub.command(&session.agent, session.id, order, fence, command);
    }

    /// Whether a reservation was made for somebody who is gone. While its request waits here it is not
    /// stale, and whoever leads anew gives clients time to repeat theirs.
    fn is_stale(&self, session: &Session, leading_since: Instant) -> bool {
        self.broker.clock.now().since(session.created_at) > STALE_RESERVATION_MS
            && leading_since.elapsed() > Duration::from_millis(STALE_RESERVATION_MS)
            && !self.broker.waiting.is_waited_for(session.id)
    }

    /// Writes down that an agent is heard, and what it says of itself.
    async fn welcome(&self, table: &Table, agent: &AgentId, facts: &Arc<AgentFacts>) {
        if let Some(change) = abide_reconcile::welcome(table, agent, facts) {
            self.propose(agent, None, change).await;
        }
    }

    /// Agents that were silent for too long, to every broker, are unreachable; each has its time from when
    /// this broker began to listen. One that speaks again on the same link is reachable again.
    async fn look_for_silence(
        &self,
        table: &Table,
        listening: Listening<Instant>,
        leading_since: Instant,
    ) {
        let most = timing::silences(self.broker.settings.timing).unreachable;
        for agent in table.agents() {
            let heard = hearsay::last_heard(&self.broker, &agent.id);
            let last = heard.map(|heard| heard.instant);
            let is_silent = listening.is_silent(last, leading_since, most);
            match (agent.reach, self.broker.hub.greeting(&agent.id)) {
                (Reach::Reachable, _) if is_silent => {
                    let since = heard.map_or_else(|| self.broker.clock.now(), |heard| heard.at);
                    warn!(agent = %agent.id, name = agent.name, "Agent is unreachable");
                    let change = Change::AgentUnheard { agent: agent.id.clone(), since };
                    self.propose(&agent.id, None, change).await;
                }
                (Reach::Unreachable { .. }, Some(greeting)) if listening.is_heard(last, most) => {
                    self.welcome(table, &agent.id, &greeting.facts).await;
                }
                _ => {}
            }
        }
    }

    /// Ends what its agent's drain no longer gives time. In the table, so a deadline that passed while nobody
    /// led is found by whoever leads next.
    async fn look_for_deadlines(&self, table: &Table) {
        for (agent, session, change) in abide_reconcile::overdue(table, self.broker.clock.now()) {
            self.propose(&agent.id, Some(session), change).await;
        }
    }

    /// Commits in the background, as the leader alone: what one that was away makes of what it heard is
    /// not for its successor. What fails is looked at again, if it is about one session.
    async fn propose(&self, agent: &AgentId, session: Option<SessionId>, change: Change) {
        // One that is busy is marked as unread when that is done, and looked at then.
        if session.is_some_and(|session| !lock(&self.busy).insert(session)) {
            return;
        }
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
        let (broker, agent, busy) = (self.broker.clone(), agent.clone(), Arc::clone(&self.busy));
        tokio::spawn(async move {
            let outcome = broker.commit(change).await;
            drop(slot);
            if let Some(session) = session {
                lock(&busy).remove(&session);
            }
            match (outcome, session) {
                (Ok(_), Some(session)) => {
                    // What the agent may forget shows on the next look.
                    broker.hub.mark_unread(&agent, session);
                }
                (Ok(_), None) => {}
                (Err(ProposeError::NotLeader { .. } | ProposeError::Stopping), _) => {}
                (Err(cause), session) => {
                    warn!(%agent, cause = chain(&cause), "A report could not be committed");
                    tokio::time::sleep(AGAIN).await;
                    match session {
                        Some(session) => broker.hub.mark_unread(&agent, session),
                        None => broker.hub.mark_agent_unread(&agent),
                    }
                }
            }
        });
    }
}

fn lock(busy: &Mutex<HashSet<SessionId>>) -> MutexGuard<'_, HashSet<SessionId>> {
    // One entry is added or removed at a time.
    busy.lock().unwrap_or_else(PoisonError::into_inner)
}
