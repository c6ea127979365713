//! Taking an agent out of service, and back into it.

use std::net::IpAddr;
use std::sync::Arc;

use abide_api::{AtDeadline, DrainReply, DrainRequest, Problem, ProblemKind};
use abide_auth::{AuditRecord, Decision, Verdict};
use abide_model::{self as model, Agent, AgentId, Change, Outcome, Table};
use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use super::App;
use super::caller::{Body, Caller};
use super::origin::From;
use crate::draining;
use crate::problem::Refused;
use crate::view;

/// A year: whoever wants longer wants no deadline.
const LONGEST_S: u32 = 365 * 24 * 60 * 60;
/// Characters.
const LONGEST_MESSAGE: usize = 2_000;

/// Takes an agent out of service: it takes no new sessions, those that are there go on, and their people come
/// and go as ever. At the deadline what is left is ended, if `then` says so. Refused where the other agents
/// could not take its load, unless forced. An agent that is drained already gets the new plan, whatever
/// its load.
#[utoipa::path(put, tag = "cluster", path = "/api/v1/agents/{id}/drain", request_body = DrainRequest,
    params(("id" = String, Path, description = "the agent's id")),
    responses((status = 200, body = DrainReply), (status = "4XX", body = Problem),
        (status = "5XX", body = Problem)))]
pub async fn begin(
    State(app): State<App>,
    caller: Caller,
    From(from): From,
    Path(id): Path<String>,
    Body(request): Body<DrainRequest>,
) -> Result<Json<DrainReply>, Refused> {
    let caller = caller.admin()?;
    let id = agent_id(&id)?;
    let done = drain(&app, &caller, &id, request).await;
    record(&app, &caller, from, &id, "drain", done.is_ok());
    done.map(Json)
}

/// Puts an agent back into service.
#[utoipa::path(delete, tag = "cluster", path = "/api/v1/agents/{id}/drain",
    params(("id" = String, Path, description = "the agent's id")),
    responses((status = 204), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    From(from): From,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let caller = caller.admin()?;
    let id = agent_id(&id)?;
    let done = commit(&app, Change::Drain { agent: id.clone(), plan: None }).await;
    record(&app, &caller, from, &id, "undrain", done.is_ok());
    done?;
    // What the leader has committed is to be seen here too.
    app.broker.table().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn drain(
    app: &App,
    caller: &Caller,
    id: &AgentId,
    request: DrainRequest,
) -> Result<DrainReply, Refused> {
    let DrainRequest { deadline_s, message, then, force } = request;
    let message = message.unwrap_or_default();
    check_plan(deadline_s, message.trim(), then)?;
    let replica = app.broker.table().await?;
    let agent = agent(&replica.0, id)?;
    let check = draining::check(&replica.0, &app.broker.policy(), agent);
    if !check.fits && !force && agent.drain.is_none() {
        return Err(ProblemKind::NoRoomElsewhere.because(check.why).into());
    }
    let now = app.broker.clock.certain().await;
    let plan = Arc::new(model::Drain {
        by: caller.0.user.as_str().into(),
        since: agent.drain.as_ref().map_or(now, |earlier| earlier.since),
        deadline: deadline_s.map(|seconds| now.plus(u64::from(seconds) * 1000)),
        message: message.trim().into(),
        then: match then {
            AtDeadline::Keep => model::AtDeadline::Keep,
            AtDeadline::End => model::AtDeadline::End,
        },
    });
    let drain = view::drain(&plan);
    commit(app, Change::Drain { agent: id.clone(), plan: Some(plan) }).await?;
    // What the leader has committed is to be seen here too.
    app.broker.table().await?;
    Ok(DrainReply { drain, check })
}

async fn commit(app: &App, change: Change) -> Result<(), Refused> {
    match app.broker.propose(change).await? {
        Outcome::Refused(model::Refusal::UnknownAgent) => Err(no_such_agent()),
        Outcome::Refused(refusal) => Err(ProblemKind::Conflict.because(refusal.to_string()).into()),
        _ => Ok(()),
    }
}

fn check_plan(deadline_s: Option<u32>, message: &str, then: AtDeadline) -> Result<(), Problem> {
    let bad = |detail: String| Err(ProblemKind::BadRequest.because(detail));
    if deadline_s.is_some_and(|it| !(1..=LONGEST_S).contains(&it)) {
        return bad(format!("deadline_s must be between 1 and {LONGEST_S}."));
    }
    if then == AtDeadline::End && deadline_s.is_none() {
        return bad("To end what is left needs a deadline: deadline_s.".to_owned());
    }
    if message.chars().count() > LONGEST_MESSAGE {
        return bad(format!("The message may have {LONGEST_MESSAGE} characters."));
    }
    if message.chars().any(|it| it.is_control() && it != '\n') {
        return bad("The message must be plain text.".to_owned());
    }
    Ok(())
}

fn agent<'a>(table: &'a Table, id: &AgentId) -> Result<&'a Agent, Refused> {
    table.agent(id).map(|it| &**it).ok_or_else(no_such_agent)
}

fn no_such_agent() -> Refused {
    ProblemKind::NotFound.because("There is no such agent.").into()
}

fn agent_id(text: &str) -> Result<AgentId, Refused> {
    text.parse().map_err(|cause: model::InvalidId| {
        ProblemKind::BadRequest.because(cause.to_string()).into()
    })
}

fn record(app: &App, caller: &Caller, from: IpAddr, agent: &AgentId, what: &str, allowed: bool) {
    let verdict = if allowed { Verdict::Allowed } else { Verdict::Refused };
    app.broker.audit.record(AuditRecord {
        user: Some(caller.0.user.as_str()),
        address: Some(from),
        agent: Some(agent),
        token: Some(caller.0.jti),
        reason: Some(what),
        ..AuditRecord::new(Decision::Administer, verdict)
    });
}
