//! Sessions: seeing, starting, finding, ending.

use std::net::IpAddr;

use abide_api::{
    IDEMPOTENCY_KEY, Problem, ProblemKind, SessionReply, SessionStatus, Sessions, SessionsQuery,
    StartRequest, UnreachableProblem, Want,
};
use abide_auth::{AuditRecord, Decision, Verdict};
use abide_model::{SessionId, UserName};
use axum::Json;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};

use super::App;
use super::caller::{Asker, Body, Caller, Query};
use super::origin::From;
use crate::broker::Broker;
use crate::desk::{self, Asked};
use crate::listing::{Misunderstood, Question};
use crate::problem::Refused;
use crate::view;

/// One's own sessions; for administrators everybody's, and those that no broker ordered. All of them, or
/// those that are asked for.
#[utoipa::path(get, tag = "sessions", path = "/api/v1/sessions", params(SessionsQuery),
    responses((status = 200, body = Sessions), (status = "4XX", body = Problem)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<SessionsQuery>,
) -> Result<Json<Sessions>, Refused> {
    let bad =
        |cause: Misunderstood| Refused::from(ProblemKind::BadRequest.because(format!("{cause}.")));
    let question = Question::new(query).map_err(bad)?;
    let replica = app.broker.table().await?;
    // A large table takes longer to look through than a request should hold up others.
    let look = move || view::sessions(&app.broker, &replica.0, caller.seen(), &question);
    let found = tokio::task::spawn_blocking(look).await;
    let found =
        found.map_err(|cause| Refused::from(ProblemKind::Internal.because(cause.to_string())))?;
    found.map(Json).map_err(bad)
}

/// Gives a session that runs, and the way in.
#[utoipa::path(post, tag = "sessions", path = "/api/v1/sessions", request_body = StartRequest,
    params(("Idempotency-Key" = String, Header, description = "the same for each try of one start")),
    responses((status = 200, body = SessionReply), (status = 409, body = UnreachableProblem),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub async fn start(
    State(app): State<App>,
    caller: Caller,
    From(from): From,
    headers: HeaderMap,
    Body(request): Body<StartRequest>,
) -> Result<Json<SessionReply>, Refused> {
    let bad = |detail: String| Refused::from(ProblemKind::BadRequest.because(detail));
    let key = headers.get(IDEMPOTENCY_KEY).ok_or_else(|| {
        bad("The header Idempotency-Key is required: the same for each try of one start.".into())
    })?;
    let key = key.to_str().unwrap_or_default().parse();
    let profile = request.profile.map(|profile| profile.parse()).transpose();
    let asked = Asked {
        user: caller.0.user.clone(),
        groups: caller.0.groups.clone(),
        profile: profile.map_err(|cause: abide_model::InvalidId| bad(cause.to_string()))?,
        resume: request.want == Want::ResumeOrStart,
        key: key.map_err(|cause: abide_model::InvalidId| bad(cause.to_string()))?,
    };
    let begun = std::time::Instant::now();
    let reply = desk::start(&app.broker, asked).await;
    app.metrics.start(begun.elapsed(), reply.is_ok());
    let session = reply.as_ref().ok().and_then(|it| it.session.id.parse().ok());
    record(&app, &caller, from, Decision::Start, session, reply.is_ok());
    reply.map(Json)
}

/// The way back into a session.
#[utoipa::path(post, tag = "sessions", path = "/api/v1/sessions/{id}/connect",
    params(("id" = String, Path, description = "UUID")),
    responses((status = 200, body = SessionReply), (status = "4XX", body = Problem)))]
pub async fn connect(
    State(app): State<App>,
    caller: Caller,
    From(from): From,
    Path(id): Path<String>,
) -> Result<Json<SessionReply>, Refused> {
    let (begun, id) = (std::time::Instant::now(), session_id(&id)?);
    let reply = desk::connect(&app.broker, &caller.0.user, id).await;
    app.metrics.connect(begun.elapsed(), reply.is_ok());
    record(&app, &caller, from, Decision::Ticket, Some(id), reply.is_ok());
    reply.map(Json)
}

/// Ends a session.
#[utoipa::path(delete, tag = "sessions", path = "/api/v1/sessions/{id}",
    params(("id" = String, Path, description = "UUID")),
    responses((status = 202), (status = "4XX", body = Problem)))]
pub async fn end(
    State(app): State<App>,
    caller: Caller,
    From(from): From,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    act(&app, &caller, from, &id, Decision::End, desk::end).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Stops tracking an unreachable session.
#[utoipa::path(post, tag = "sessions", path = "/api/v1/sessions/{id}/abandon",
    params(("id" = String, Path, description = "UUID")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn abandon(
    State(app): State<App>,
    caller: Caller,
    From(from): From,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    act(&app, &caller, from, &id, Decision::Abandon, desk::abandon).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What became of a session; also for viewer pages, which come from agents' origins.
#[utoipa::path(get, tag = "sessions", path = "/api/v1/sessions/{id}/status",
    params(("id" = String, Path, description = "UUID")),
    responses((status = 200, body = SessionStatus), (status = "4XX", body = Problem)))]
pub async fn status(
    State(app): State<App>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<SessionStatus>, Refused> {
    let id = session_id(&id)?;
    let replica = app.broker.table().await?;
    let row = replica.0.session(id).filter(|row| match &asker {
        Asker::Viewer(session) => *session == id,
        Asker::Person(caller) => caller.is_admin() || caller.0.user == row.user,
    });
    let none = || Refused::from(ProblemKind::NotFound.because("There is no such session."));
    let status = view::status(&replica.0, row.ok_or_else(none)?);
    Ok(Json(status))
}

fn record(
    app: &App,
    caller: &Caller,
    from: IpAddr,
    decision: Decision,
    session: Option<SessionId>,
    allowed: bool,
) {
    let verdict = if allowed { Verdict::Allowed } else { Verdict::Refused };
    app.broker.audit.record(AuditRecord {
        user: Some(caller.0.user.as_str()),
        address: Some(from),
        session,
        token: Some(caller.0.jti),
        ..AuditRecord::new(decision, verdict)
    });
}

/// Does this to a session, if the person may, and records that.
async fn act(
    app: &App,
    caller: &Caller,
    from: IpAddr,
    id: &str,
    what: Decision,
    how: impl AsyncFnOnce(&Broker, SessionId, &UserName) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let session = allowed(app, caller, session_id(id)?).await?;
    let done = how(&app.broker, session, &caller.0.user).await;
    record(app, caller, from, what, Some(session), done.is_ok());
    done
}

/// A session that this person may end: one's own, or any for administrators.
async fn allowed(app: &App, caller: &Caller, id: SessionId) -> Result<SessionId, Refused> {
    let replica = app.broker.table().await?;
    if caller.is_admin() && replica.0.session(id).is_some() {
        return Ok(id);
    }
    desk::own(&replica.0, &caller.0.user, id).map(|row| row.id)
}

fn session_id(text: &str) -> Result<SessionId, Refused> {
    text.parse().map_err(|cause: abide_model::InvalidId| {
        ProblemKind::BadRequest.because(cause.to_string()).into()
    })
}
