//! A desktop host: its ledger, its daemon, its keepers.
//!
//! What is decided is decided by `core/session`. The ledger survives the daemon, the keepers too; a
//! reboot ends the keepers. What the daemon has not synced when it dies, nobody has seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abide_model::{BootId, EndReason, Fence, SessionId};
use abide_pair::Claim;
use abide_session::{
    Effect, Event, Evidence, FenceGate, Fenced, KeeperMark, Order, Phase, Row, Session,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::invariants;
use crate::names;
use crate::net::End;
use crate::world::World;

/// What a broker orders.
#[derive(Debug, Clone)]
pub enum Ordered {
    Start(Arc<str>),
    End(SessionId, Arc<str>),
    Cancel(SessionId),
    Forget(SessionId),
}

/// One command on one stream: of one life of a broker to one life of an agent.
#[derive(Debug, Clone)]
pub struct Command {
    pub broker: usize,
    pub broker_life: u64,
    pub agent_life: u64,
    pub number: u64,
    pub fence: Fence,
    pub order: Ordered,
}

/// The whole ledger, as the stream's greeting has it.
#[derive(Debug, Clone)]
pub struct Greeting {
    pub life: u64,
    pub number: u64,
    pub boot: BootId,
    pub fence: Fence,
    /// The highest claim that it was told of.
    pub view: Claim,
    pub rows: BTreeMap<SessionId, Row>,
}

/// A host.
#[derive(Default)]
pub struct Host(Mutex<State>);

#[derive(Default)]
pub struct State {
    /// Of the daemon.
    pub life: u64,
    pub boot: u64,
    mail: Option<UnboundedSender<Mail>>,
    /// Durable.
    pub fence: Fence,
    /// Durable: the highest claim that a leader told it of.
    pub view: Claim,
    /// Durable.
    pub rows: BTreeMap<SessionId, Row>,
    pub keepers: BTreeMap<SessionId, Keeper>,
    greetings: u64,
}

/// A keeper's process, and its record of the end.
#[derive(Debug, Clone)]
pub struct Keeper {
    pid: u32,
    pub is_ready: bool,
    pub ended: Option<EndReason>,
}

/// What a broker wants promised that goes on alone.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    pub next: Fence,
    pub known: Fence,
}

enum Mail {
    Command(Command),
    Fence(Option<Promise>, oneshot::Sender<(Fence, Claim)>),
    News(SessionId, Event),
}

impl Host {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a session's desktop is there now.
    pub fn lives(&self, session: SessionId) -> bool {
        self.state().keepers.get(&session).is_some_and(|keeper| keeper.ended.is_none())
    }

    /// Sends news to the daemon, if it is up.
    fn tell(&self, mail: Mail) {
        if let Some(to) = &self.state().mail {
            // A daemon that dies looks for itself when it is back.
            let _ = to.send(mail);
        }
    }

    /// The daemon dies, at once.
    pub fn crash(&self) {
        let mut state = self.state();
        state.life += 1;
        state.mail = None;
    }

    /// The host loses power: the desktops are gone, as they must be.
    pub fn reboot(&self) {
        self.crash();
        let mut state = self.state();
        state.boot += 1;
        state.keepers.clear();
    }

    /// Whether its daemon runs.
    pub fn is_up(&self) -> bool {
        self.state().mail.is_some()
    }

    fn is_alive(&self, life: u64) -> bool {
        self.state().life == life
    }
}

/// Starts the daemon, unless it is up.
pub fn start(world: &Arc<World>, agent: usize) {
    let host = &world.hosts[agent];
    if host.is_up() {
        return;
    }
    let (to, mail) = unbounded_channel();
    let daemon = {
        let mut state = host.state();
        state.life += 1;
        state.mail = Some(to);
        let boot = names::boot(agent, state.boot);
        let restored = |row: &Row| (row.session, Session::restored(row.clone()));
        Daemon {
            world: world.clone(),
            agent,
            life: state.life,
            boot,
            gate: FenceGate::at(state.fence),
            sessions: state.rows.values().map(restored).collect(),
            streams: BTreeMap::new(),
            turn: Turn::default(),
        }
    };
    tokio::spawn(greet(world.clone(), agent, daemon.life));
    tokio::spawn(daemon.run(mail));
}

/// A command arrives at a host.
pub fn deliver(world: &World, agent: usize, command: Command) {
    world.hosts[agent].tell(Mail::Command(command));
}

/// Whom a host obeys, and the highest claim that it was told of; once what it promises is durable.
pub async fn obeys(
    world: &World,
    agent: usize,
    promise: Option<Promise>,
) -> Option<(Fence, Claim)> {
    let (reply, told) = oneshot::channel();
    world.hosts[agent].tell(Mail::Fence(promise, reply));
    told.await.ok()
}

/// A viewer is let in.
pub fn attach(world: &World, agent: usize, session: SessionId) {
    world.hosts[agent].tell(Mail::News(session, Event::ViewerAttached));
}

/// A desktop ends by itself, or is ended.
pub fn end_keeper(world: &World, agent: usize, session: SessionId, reason: EndReason) {
    let host = &world.hosts[agent];
    if !host.lives(session) {
        return;
    }
    world.trace.add(&format!("a{agent} keeper of {} ends: {reason}", names::short(session)));
    invariants::unasked_end::keeper_ends(world, agent, session, &reason);
    if let Some(keeper) = host.state().keepers.get_mut(&session) {
        keeper.ended = Some(reason.clone());
    }
    let at = world.clock(End::Agent(agent));
    host.tell(Mail::News(session, Event::KeeperEnded { at, reason }));
}

/// Tells every broker all there is, again and again.
async fn greet(world: Arc<World>, agent: usize, life: u64) {
    while world.hosts[agent].is_alive(life) {
        let greeting = {
            let mut state = world.hosts[agent].state();
            state.greetings += 1;
            let boot = names::boot(agent, state.boot);
            let (fence, view, rows) = (state.fence, state.view, state.rows.clone());
            Greeting { life, number: state.greetings, boot, fence, view, rows }
        };
        for broker in 0..world.brokers.len() {
            let (world, greeting) = (world.clone(), greeting.clone());
            tokio::spawn(async move {
                if world.carry(End::Agent(agent), End::Broker(broker)).await.is_some() {
                    world.brokers[broker].hear(agent, greeting);
                }
            });
        }
        tokio::time::sleep(world.chance.millis(150, 350)).await;
    }
}

struct Daemon {
    world: Arc<World>,
    agent: usize,
    life: u64,
    boot: BootId,
    gate: FenceGate,
    sessions: BTreeMap<SessionId, Session>,
    /// The last command of each broker's stream.
    streams: BTreeMap<(usize, u64), u64>,
    turn: Turn,
}

#[derive(Default)]
struct Turn {
    fence: Option<Fence>,
    rows: Vec<(SessionId, Option<Row>)>,
    obeyed: Vec<Fence>,
    asked: Vec<oneshot::Sender<(Fence, Claim)>>,
    refused: Vec<(usize, u64, Fence)>,
    launches: Vec<(SessionId, Claim)>,
    ends: Vec<(SessionId, Arc<str>)>,
}

impl Daemon {
    async fn run(mut self, mut mail: UnboundedReceiver<Mail>) {
        self.adopt();
        loop {
            if !self.settle().await {
                return;
            }
            match mail.recv().await {
                Some(mail) => self.take(mail),
                None => return,
            }
            while let Ok(more) = mail.try_recv() {
                self.take(more);
            }
        }
    }

    /// What became of the sessions while no daemon was there.
    fn adopt(&mut self) {
        let at = self.world.clock(End::Agent(self.agent));
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        for id in ids {
            let row = self.sessions[&id].row().clone();
            if row.phase.is_over() {
                continue;
            }
            let keeper = self.host().state().keepers.get(&id).cloned();
            let event = match keeper {
                _ if row.boot != self.boot => {
                    let evidence = Evidence::OtherBoot { now: self.boot.clone() };
                    Event::KeeperGone { at, evidence }
                }
                Some(Keeper { ended: Some(reason), .. }) => Event::KeeperEnded { at, reason },
                Some(Keeper { is_ready: true, pid, .. }) => {
                    Event::KeeperStarted(KeeperMark { pid, start_ticks: 1 })
                }
                // It tells when it is ready.
                Some(_) => continue,
                None => Event::KeeperGone { at, evidence: Evidence::LockFree },
            };
            self.step(id, event);
        }
    }

    fn take(&mut self, mail: Mail) {
        let command = match mail {
            Mail::News(session, event) => {
                if self.sessions.contains_key(&session) {
                    self.step(session, event);
                }
                return;
            }
            Mail::Fence(promise, reply) => {
                let promised = promise.and_then(|it| self.gate.promise(it.next, it.known));
                self.turn.fence = promised.or(self.turn.fence);
                self.turn.asked.push(reply);
                return;
            }
            Mail::Command(command) => command,
        };
        let stream = self.streams.entry((command.broker, command.broker_life)).or_default();
        // A stream neither repeats nor overtakes itself, and ends with the daemon.
        if command.agent_life != self.life || command.number <= *stream {
            return;
        }
        *stream = command.number;
        match self.gate.pass(command.fence) {
            Fenced::Refused { highest } => {
                self.turn.refused.push((command.broker, command.broker_life, highest));
                return;
            }
            Fenced::Raised(fence) => self.turn.fence = Some(fence),
            Fenced::Same => {}
        }
        self.turn.obeyed.push(command.fence);
        let Fence { generation, claimant, .. } = command.fence;
        let (session, event) = match command.order {
            Ordered::Start(text) => match self.world.ring.verify_order(&text) {
                Ok(order) if order.agent == names::agent(self.agent) => {
                    let session = order.session;
                    let (user, profile) = (order.user, order.profile);
                    let order =
                        Order { text, user, profile, pool: order.pool, view_key: order.view_key };
                    (session, Event::StartOrdered(order))
                }
                _ => return,
            },
            Ordered::End(session, by) => (session, Event::EndOrdered { by }),
            Ordered::Cancel(session) => (session, Event::CancelOrdered),
            Ordered::Forget(session) => (session, Event::ForgetOrdered),
        };
        self.step_on(Claim { generation, claimant }, session, event);
    }

    fn step(&mut self, id: SessionId, event: Event) {
        let fence = self.gate.highest();
        let on = Claim { generation: fence.generation, claimant: fence.claimant };
        self.step_on(on, id, event);
    }

    /// On the claim of whoever ordered it.
    fn step_on(&mut self, on: Claim, id: SessionId, event: Event) {
        let boot = self.boot.clone();
        let session = self.sessions.entry(id).or_insert_with(|| Session::new(id, boot));
        let mut out = Vec::new();
        // A refusal changes nothing; the next greeting says where the session stands.
        let _ = session.step(event, &mut out);
        let row = session.row().clone();
        for effect in out {
            match effect {
                Effect::WriteRow => self.turn.rows.push((id, Some(row.clone()))),
                Effect::DeleteRow => self.turn.rows.push((id, None)),
                Effect::Launch => self.turn.launches.push((id, on)),
                Effect::EndKeeper { by } => self.turn.ends.push((id, by)),
                Effect::Report | Effect::CleanUp | Effect::CloseViewers(_) => {}
            }
        }
        if row.phase == Phase::New {
            self.sessions.remove(&id);
        }
    }

    /// Makes the turn durable, then does the rest of it. False if the daemon died meanwhile.
    async fn settle(&mut self) -> bool {
        let turn = std::mem::take(&mut self.turn);
        if turn.fence.is_some() || !turn.rows.is_empty() {
            tokio::time::sleep(self.world.chance.millis(0, 15)).await;
        }
        if !self.host().is_alive(self.life) {
            return false;
        }
        {
            let mut state = self.world.hosts[self.agent].state();
            state.fence = turn.fence.unwrap_or(state.fence);
            for (id, row) in turn.rows {
                match row {
                    Some(row) => drop(state.rows.insert(id, row)),
                    None => {
                        state.rows.remove(&id);
                        state.keepers.remove(&id);
                        self.sessions.remove(&id);
                    }
                }
            }
        }
        for reply in turn.asked {
            let view = self.host().state().view;
            // Whoever asked may have gone.
            let _ = reply.send((self.gate.highest(), view));
        }
        for fence in turn.obeyed {
            invariants::fence::obeyed(&self.world, self.agent, fence);
        }
        for (broker, life, highest) in turn.refused {
            let world = self.world.clone();
            let from = End::Agent(self.agent);
            tokio::spawn(async move {
                if world.carry(from, End::Broker(broker)).await.is_some() {
                    crate::driver::fenced(&world, broker, life, highest).await;
                }
            });
        }
        turn.launches.into_iter().for_each(|(id, on)| self.launch(id, on));
        for (id, by) in turn.ends {
            let (world, agent) = (self.world.clone(), self.agent);
            tokio::spawn(async move {
                tokio::time::sleep(world.chance.millis(1, 300)).await;
                end_keeper(&world, agent, id, EndReason::Asked { by });
            });
        }
        true
    }

    fn launch(&self, id: SessionId, on: Claim) {
        let (world, agent) = (self.world.clone(), self.agent);
        invariants::double::launched(&world, agent, id, on);
        let pid = self.world.chance.below(1 << 20) as u32 + 2;
        let keeper = Keeper { pid, is_ready: false, ended: None };
        self.host().state().keepers.insert(id, keeper);
        let boot = self.host().state().boot;
        tokio::spawn(async move {
            tokio::time::sleep(world.chance.millis(20, 600)).await;
            let host = &world.hosts[agent];
            if let Some(keeper) = host.state().keepers.get_mut(&id) {
                keeper.is_ready = true;
            }
            if host.state().boot == boot && host.lives(id) {
                world.trace.add(&format!("a{agent} keeper of {} runs", names::short(id)));
                let mark = KeeperMark { pid, start_ticks: 1 };
                host.tell(Mail::News(id, Event::KeeperStarted(mark)));
            }
        });
    }

    fn host(&self) -> &Host {
        &self.world.hosts[self.agent]
    }
}
