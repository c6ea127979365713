//! What people ask for: a session, the way back into one, its end.
//!
//! ```text
//! start ─▶ resumable? ─▶ place ─▶ commit the reservation ─▶ wait until it runs ─▶ ticket
//!              │           ▲                                  ▲   │ its agent is silent for 3 s
//!              │           └──────── supersede ◀──────────────────┘ or obeys a higher claim
//!              └─ yes ─▶ commit that the key stands for it ───┘
//! ```
//! The desk commits and waits. It commands no agent: the driver does, from the table.

use std::sync::Arc;
use std::time::Instant;

use abide_api::{Connect, ProblemKind, SessionReply, Time, UnreachableProblem};
use abide_auth::TicketGrant;
use abide_model::{
    AgentId, Change, IdempotencyKey, Outcome, ProfileName, Refusal, Session, SessionId, State,
    Table, UserName, Want,
};
use abide_raft::ProposeError;
use abide_reconcile::{REPLACE_AFTER, Watch};
use abide_ticket::ViewMode;

use crate::broker::{Broker, PATIENCE};
use crate::problem::Refused;
use crate::view;

/// A start, as a person asks for it.
#[derive(Debug)]
pub struct Asked {
    /// Who.
    pub user: UserName,
    /// The groups that the login named.
    pub groups: Vec<String>,
    /// Which kind of desktop.
    pub profile: Option<ProfileName>,
    /// Whether the newest session will do.
    pub resume: bool,
    /// So that a repeat is known as one.
    pub key: IdempotencyKey,
}

impl Asked {
    /// For the table.
    pub fn want(&self) -> Want {
        match self.resume {
            true => Want::ResumeOrStart { profile: self.profile.clone() },
            false => Want::Start,
        }
    }
}

/// Gives the person a session that runs, and the way in.
///
/// # Errors
/// The problem, for the person.
pub async fn start(broker: &Broker, asked: Asked) -> Result<SessionReply, Refused> {
    let want = asked.want();
    let deadline = Instant::now() + PATIENCE;
    let table = broker.table().await?;
    let session = match table.0.started_by(&asked.user, &asked.key, &want) {
        Ok(Some(session)) => session,
        Ok(None) => match table.0.resumable(&asked.user, &want) {
            Some(session) => resume(broker, &asked, session.id, deadline).await?,
            None => return begin(broker, &asked, deadline).await,
        },
        Err(refusal) => return Err(refused(refusal)),
    };
    let (session, table) = wait_until_running(broker, session, deadline).await?;
    Ok(way_in(broker, &table, &session))
}

/// A session that was not there before; how long its start takes is counted.
async fn begin(broker: &Broker, asked: &Asked, deadline: Instant) -> Result<SessionReply, Refused> {
    let asked_at = Instant::now();
    let session = reserve(broker, asked).await?;
    broker.times.reserved(asked_at.elapsed());
    let reserved_at = Instant::now();
    let (session, table) = wait_until_running(broker, session, deadline).await?;
    broker.times.started(reserved_at.elapsed());
    Ok(way_in(broker, &table, &session))
}

/// Has the key stand for a session that is there: a repeat gets the same one, or its end, though it may
/// have ended meanwhile. One durable write for each new key; a repeat is a read.
async fn resume(
    broker: &Broker,
    asked: &Asked,
    session: SessionId,
    deadline: Instant,
) -> Result<SessionId, Refused> {
    loop {
        let (user, key, want) = (asked.user.clone(), asked.key.clone(), asked.want());
        return match broker.propose(Change::Resume { session, user, key, want }).await {
            Ok(Outcome::Existing(session) | Outcome::Reserved(session)) => Ok(session),
            // It ended since it was found: as if it had not been.
            Ok(Outcome::Refused(Refusal::Ended | Refusal::UnknownSession)) => {
                reserve(broker, asked).await
            }
            Ok(Outcome::Refused(refusal)) => Err(refused(refusal)),
            // A full disk keeps nobody from what is there: better without the key than not at all.
            Ok(Outcome::Done | Outcome::Unchanged) | Err(ProposeError::DiskFull { .. }) => {
                Ok(session)
            }
            // The leader went meanwhile. Twice is once.
            Err(ProposeError::Unknown) if Instant::now() < deadline => continue,
            Err(cause) => Err(cause.into()),
        };
    }
}

async fn reserve(broker: &Broker, asked: &Asked) -> Result<SessionId, Refused> {
    let session = broker.reserve(asked).await?;
    // What the leader has committed is to be seen here too.
    broker.table().await?;
    Ok(session)
}

/// The way back into a session of one's own, also when its agent cannot be heard: the client may reach
/// what brokers cannot.
///
/// # Errors
/// The problem, for the person.
pub async fn connect(
    broker: &Broker,
    user: &UserName,
    session: SessionId,
) -> Result<SessionReply, Refused> {
    let deadline = Instant::now() + PATIENCE;
    let table = broker.table().await?;
    let row = own(&table.0, user, session)?;
    if row.state == State::Running {
        return Ok(way_in(broker, &table.0, row));
    }
    let (row, table) = wait_until_running(broker, row.id, deadline).await?;
    Ok(way_in(broker, &table, &row))
}

/// Ends a session of one's own; done when the end is committed, not when the desktop is gone.
///
/// # Errors
/// The problem, for the person.
pub async fn end(broker: &Broker, session: SessionId, by: &UserName) -> Result<(), Refused> {
    let by = by.as_str().into();
    match broker.propose(Change::End { session, by }).await? {
        Outcome::Refused(refusal) => Err(refused(refusal)),
        _ => Ok(()),
    }
}

/// Stops tracking a session that cannot be reached.
///
/// # Errors
/// The problem, for the person.
pub async fn abandon(broker: &Broker, session: SessionId, by: &UserName) -> Result<(), Refused> {
    let by = by.as_str().into();
    match broker.propose(Change::Abandon { session, by }).await? {
        Outcome::Refused(refusal) => Err(refused(refusal)),
        _ => Ok(()),
    }
}

/// A session that belongs to this user. One of somebody else's is as good as none.
///
/// # Errors
/// There is none.
pub fn own<'a>(
    table: &'a Table,
    user: &UserName,
    session: SessionId,
) -> Result<&'a Arc<Session>, Refused> {
    let row = table.session(table.successor(session));
    row.filter(|row| row.user == *user)
        .ok_or_else(|| ProblemKind::NotFound.because("You have no such session.").into())
}

/// A fresh ticket for a session's own user, and where to bring it.
fn way_in(broker: &Broker, table: &Table, session: &Session) -> SessionReply {
    let grant = TicketGrant {
        session: session.id,
        agent: session.agent.clone(),
        user: session.user.clone(),
        mode: ViewMode::Control,
    };
    let (ticket, claims) = broker.issuer.ticket(grant, broker.clock.now());
    let facts = table.agent(&session.agent).and_then(|agent| agent.facts.as_deref());
    let base = facts.map_or("", |facts| facts.public_url.trim_end_matches('/'));
    let viewer_url = format!("{base}/s/{}/{}", session.id, session.view_key);
    SessionReply {
        session: view::session(table, &broker.hub, session),
        connect: Connect {
            ticket,
            rfb_url: format!("{}/rfb", viewer_url.replacen("http", "ws", 1)),
            viewer_url,
            redeem_url: format!("{base}/api/v1/redeem"),
            expires_at: Time(claims.expires_at),
        },
    }
}

/// Waits until a session runs. Follows it to another agent where its own cannot be heard before it
/// began.
async fn wait_until_running(
    broker: &Broker,
    mut session: SessionId,
    deadline: Instant,
) -> Result<(Arc<Session>, Table), Refused> {
    let mut changes = broker.raft.changes();
    let mut wait = broker.waiting.wait_for(session);
    let (began, mut watch) = (Instant::now(), Watch::default());
    let mut is_confirmed = false;
    loop {
        changes.borrow_and_update();
        let table = broker.raft.latest();
        session = table.0.successor(session);
        if session != wait.session() {
            wait = broker.waiting.wait_for(session);
        }
        let Some(row) = table.0.session(session).cloned() else {
            return Err(ProblemKind::NotFound.because("The session is not there any more.").into());
        };
        let now = broker.clock.now();
        let unreachable_for = watch.unreachable_for(&table.0, &row, now, began.elapsed());
        match (&row.state, unreachable_for) {
            (State::Running, None) => return Ok((row, table.0.clone())),
            (State::Running | State::Ending { .. }, Some(_)) if is_confirmed => {
                return Err(unreachable(broker, &table.0, &row));
            }
            (State::Running | State::Ending { .. }, Some(_)) => {
                // This broker's table may be older than what the leader knows.
                broker.table().await?;
                is_confirmed = true;
                continue;
            }
            (State::Reserved | State::Starting, Some(silent))
                if silent >= REPLACE_AFTER && broker.supersede(row.id).await? =>
            {
                broker.table().await?;
                continue;
            }
            (State::Reserved, None)
                if refuses(broker, &row.agent) && broker.supersede(row.id).await? =>
            {
                broker.table().await?;
                continue;
            }
            (State::Ending { .. }, None) => {
                return Err(ProblemKind::Conflict.because("The session is being ended.").into());
            }
            (State::Ended { reason, .. }, _) => {
                let kind = match reason {
                    abide_model::EndReason::NeverStarted { .. } => ProblemKind::StartFailed,
                    _ => ProblemKind::SessionEnded,
                };
                return Err(kind.because(reason.to_string()).into());
            }
            _ => {}
        }
        if Instant::now() >= deadline {
            let detail = "Its host is still starting it. Try again: the same request goes on.";
            return Err(ProblemKind::Unavailable.because(detail).into());
        }
        let next = deadline.min(Instant::now() + REPLACE_AFTER / 6);
        // The time-out is for what no change announces: that an agent stays silent.
        let _ = tokio::time::timeout_at(next.into(), changes.changed()).await;
    }
}

/// Whether an agent obeys a higher claim than this broker's, as far as it has told.
pub fn refuses(broker: &Broker, agent: &AgentId) -> bool {
    broker.fence().is_some_and(|fence| broker.hub.refuses(agent, fence))
}

fn unreachable(broker: &Broker, table: &Table, row: &Session) -> Refused {
    let session = view::session(table, &broker.hub, row);
    let since = session.unreachable_since.map(|it| it.to_string()).unwrap_or_default();
    let detail = format!(
        "Its host has not been heard since {since}. You can wait, try to connect all the same, \
         start another session, or give this one up."
    );
    let problem = ProblemKind::SessionUnreachable.because(detail);
    Refused::Unreachable(Box::new(UnreachableProblem { problem, session }))
}

/// What a person is told of a refusal.
pub fn refused(refusal: Refusal) -> Refused {
    let kind = match refusal {
        Refusal::UnknownSession => ProblemKind::NotFound,
        Refusal::KeyReused => ProblemKind::KeyReused,
        Refusal::Ended => ProblemKind::SessionEnded,
        Refusal::StillReachable => {
            let detail = "The session can be reached: end it instead.";
            return ProblemKind::Conflict.because(detail).into();
        }
        Refusal::Rebuilding => ProblemKind::Rebuilding,
        Refusal::AgentUnreachable | Refusal::AgentDrained | Refusal::UnknownAgent => {
            ProblemKind::NoAgent
        }
        Refusal::WrongAgent
        | Refusal::NotReserved
        | Refusal::JoinToken
        | Refusal::ConfigChanged
        | Refusal::UnknownBroker
        | Refusal::LastBroker => ProblemKind::Conflict,
    };
    kind.because(refusal.to_string()).into()
}
