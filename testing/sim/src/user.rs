//! People, and the broker's desk as they meet it: they start, look, end, and repeat what was not answered.

use std::sync::Arc;
use std::time::Duration;

use abide_broker::Replica;
use abide_model::{
    Change, EndReason, Grounds, IdempotencyKey, Outcome, Place, Reach, Session, SessionId, State,
    Table, UserName, Want,
};
use abide_pair::Claim;
use abide_placement::{Candidate, Hearing, choose};
use abide_policy::PressureLimits;
use abide_raft::Raft;
use abide_reconcile::{REPLACE_AFTER, Watch};
use tokio::time::{Instant, timeout};

use crate::agent;
use crate::driver::propose;
use crate::invariants::{acknowledged, claims, liveness};
use crate::names;
use crate::net::End;
use crate::world::{LIVENESS, World};

/// How many there are.
pub const USERS: usize = 4;
/// How long a person waits for one answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Works until all is healed, then once more: that start must be acknowledged.
pub async fn run(world: Arc<World>, number: usize) {
    let user: UserName = names::id(&format!("user{number}"));
    let mut round = 0;
    while !world.is_calm() {
        round += 1;
        tokio::time::sleep(world.chance.millis(50, 1_500)).await;
        let key = names::id(&format!("{user}-{round}"));
        let Some(session) = start(&world, &user, &key, |world| world.is_calm()).await else {
            break;
        };
        if world.chance.per_mille(300) {
            attach(&world, session);
        }
        tokio::time::sleep(world.chance.millis(0, 500)).await;
        acknowledged::look(&world, session).await;
        match world.chance.below(10) {
            0..4 => end(&world, session).await,
            4 => log_out(&world, session),
            5 => drop(start(&world, &user, &key, |world| world.is_calm()).await),
            _ => {}
        }
        acknowledged::look(&world, session).await;
    }
    let until = Instant::now() + LIVENESS;
    let key = names::id(&format!("{user}-last"));
    if start(&world, &user, &key, |_| Instant::now() >= until).await.is_none() {
        liveness::fail(
            &world,
            &format!("the start of {user} was not acknowledged after the healing"),
        );
    }
}

async fn start(
    world: &Arc<World>,
    user: &UserName,
    key: &IdempotencyKey,
    enough: impl Fn(&World) -> bool,
) -> Option<SessionId> {
    let want = if key.as_str().ends_with(['3', '6', '9']) {
        Want::Start
    } else {
        Want::ResumeOrStart { profile: None }
    };
    loop {
        let broker = any_broker(world);
        let found = at_broker(world, broker, |raft| desk(world, broker, raft, user, key, &want));
        if let Some((claim, Some(row))) = found.await {
            let session = row.id;
            world.trace.add(&format!("{user} has {key}: {}", names::short(session)));
            acknowledged::started(world, claim, user, key, &row);
            return Some(session);
        }
        if enough(world) {
            return None;
        }
        tokio::time::sleep(world.chance.millis(10, 300)).await;
    }
}

/// The desk's way from a start to a session that runs; `None` if another try is needed.
async fn desk(
    world: &World,
    broker: usize,
    raft: Raft<Replica>,
    user: &UserName,
    key: &IdempotencyKey,
    want: &Want,
) -> Option<Arc<Session>> {
    let replica = raft.read().await.ok()?;
    let mut session = match replica.0.started_by(user, key, want).ok()? {
        Some(session) => session,
        None => match replica.0.resumable(user, want) {
            Some(session) => session.id,
            None => {
                let change = Change::Reserve {
                    place: place(world, broker, &replica.0, user)?,
                    user: user.clone(),
                    profile: names::id("xfce"),
                    pool: None,
                    key: key.clone(),
                    want: want.clone(),
                };
                match propose(world, broker, &raft, change).await.ok()? {
                    Outcome::Reserved(session) | Outcome::Existing(session) => session,
                    _ => return None,
                }
            }
        },
    };
    let (began, mut watch) = (Instant::now(), Watch::default());
    loop {
        let table = raft.latest();
        session = table.0.successor(session);
        let row = table.0.session(session)?.clone();
        let now = world.clock(End::Broker(broker));
        let silent = watch.unreachable_for(&table.0, &row, now, began.elapsed());
        match (&row.state, silent) {
            (State::Running, None) => return Some(row),
            (State::Reserved | State::Starting, Some(silent)) if silent >= REPLACE_AFTER => {
                if let Some(place) = place(world, broker, &table.0, user) {
                    let grounds = Grounds::Unheard;
                    let change = Change::Supersede { old: session, place, grounds };
                    let outcome = propose(world, broker, &raft, change).await.ok()?;
                    if matches!(outcome, Outcome::Reserved(_)) {
                        world.history().superseded.insert(session);
                    }
                }
            }
            (State::Reserved | State::Starting, _) => {}
            // Its end is the answer.
            _ => return Some(row),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn place(world: &World, broker: usize, table: &Table, user: &UserName) -> Option<Place> {
    let of_user = |agent: &abide_model::Agent| {
        let sessions = table.sessions_of(user);
        sessions.filter(|it| it.state.is_live() && it.agent == agent.id).count() as u32
    };
    let candidates: Vec<_> = table
        .agents()
        .map(|agent| Candidate {
            agent: &agent.id,
            weight: 1,
            sessions: agent.live,
            of_user: of_user(agent),
            most: None,
            hearing: match agent.reach {
                Reach::Reachable => Hearing::Heard,
                Reach::Unreachable { .. } => Hearing::Unreachable,
            },
            is_drained: agent.drain.is_some(),
            in_pool: true,
            offers_profile: agent.facts.is_some(),
            missing: &[],
            failed: agent.failed_at.map(|at| Duration::from_millis(table.now().since(at))),
            load: None,
        })
        .collect();
    let taken = choose(&candidates, &PressureLimits::default())?;
    Some(Place {
        session: world.session_id(broker),
        agent: candidates[taken].agent.clone(),
        view_key: names::id(&format!("{:032x}", world.chance.number())),
    })
}

async fn end(world: &Arc<World>, session: SessionId) {
    world.history().asked.insert(session);
    for _ in 0..5 {
        let broker = any_broker(world);
        let change = Change::End { session, by: "its user".into() };
        let ended = at_broker(world, broker, |raft| async move {
            let outcome = propose(world, broker, &raft, change).await.ok()?;
            matches!(outcome, Outcome::Done | Outcome::Unchanged).then_some(())
        });
        if let Some((claim, Some(()))) = ended.await {
            world.trace.add(&format!("the end of {} is acknowledged", names::short(session)));
            world.history().ended.entry(session).or_default().insert(claim);
            return;
        }
        tokio::time::sleep(world.chance.millis(10, 300)).await;
    }
}

/// The desktop ends by itself.
fn log_out(world: &World, session: SessionId) {
    let agent = world.history().launched.get(&session).copied();
    if let Some(agent) = agent {
        agent::end_keeper(world, agent, session, EndReason::LoggedOut);
    }
}

fn attach(world: &World, session: SessionId) {
    let agent = world.history().launched.get(&session).copied();
    if let Some(agent) = agent {
        agent::attach(world, agent, session);
    }
}

/// Any of them.
pub fn any_broker(world: &World) -> usize {
    world.chance.below(world.brokers.len() as u64) as usize
}

/// Does work at a broker; `None` if the question or the answer was lost, or the broker died. Gives the claim
/// that it stood on when it answered.
pub async fn at_broker<F: Future>(
    world: &World,
    broker: usize,
    work: impl FnOnce(Raft<Replica>) -> F,
) -> Option<(Claim, F::Output)> {
    let losses = world.history().losses;
    world.carry(End::User, End::Broker(broker)).await?;
    let (raft, life) = {
        let state = world.brokers[broker].state();
        // Nothing is served from a table that is not even known to be lost.
        let serves = state.raft.clone().filter(|_| !state.rebuilds);
        (serves?, state.life)
    };
    let done = timeout(PATIENCE, work(raft.clone())).await.ok()?;
    if !world.is_alive(broker, life) {
        return None;
    }
    let claim = claims::of(world, broker, &raft);
    world.carry(End::Broker(broker), End::User).await?;
    // What was true of a lost table is not promised any more.
    (world.history().losses == losses).then_some((claim, done))
}
