//! The cluster as a whole, and what monitors ask.

use abide_api::{
    self as api, Agents, Cluster, JoinRole, JoinToken, JoinTokenRequest, Problem, ProblemKind,
    Profiles, Time,
};
use abide_model::{Change, Joins, Profile};
use abide_tls::NodeRole;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::App;
use super::caller::{Body, Caller};
use crate::problem::Refused;
use crate::{rivals, timing, view};

const HOUR_S: u32 = 60 * 60;
const WEEK_S: u32 = 7 * 24 * HOUR_S;

/// All agents.
#[utoipa::path(get, tag = "cluster", path = "/api/v1/agents",
    responses((status = 200, body = Agents), (status = "4XX", body = Problem)))]
pub async fn agents(State(app): State<App>, caller: Caller) -> Result<Json<Agents>, Refused> {
    caller.admin()?;
    let replica = app.broker.table().await?;
    let (table, hub) = (&replica.0, &app.broker.hub);
    let policy = app.broker.policy();
    let agents = table.agents().map(|agent| view::agent(table, hub, &policy, agent));
    let mut agents: Vec<_> = agents.collect();
    agents.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(Json(Agents { agents }))
}

/// The kinds of desktop that one is offered, the default first.
#[utoipa::path(get, tag = "cluster", path = "/api/v1/profiles",
    responses((status = 200, body = Profiles), (status = "4XX", body = Problem)))]
pub async fn profiles(State(app): State<App>, caller: Caller) -> Result<Json<Profiles>, Refused> {
    let (replica, policy) = (app.broker.raft.latest(), app.broker.policy());
    let Ok(pool) = policy.pool_of(&caller.0.user, &caller.0.groups) else {
        return Ok(Json(Profiles { profiles: Vec::new() }));
    };
    let profiles = app.broker.placing.profiles(&replica.0, &policy, pool);
    let profile =
        |it: &Profile| api::Profile { name: it.name.to_string(), title: it.title.clone() };
    Ok(Json(Profiles { profiles: profiles.iter().map(profile).collect() }))
}

/// The brokers. Needs no login: clients learn from it where else to ask.
#[utoipa::path(get, tag = "cluster", path = "/api/v1/cluster", responses((status = 200, body = Cluster)))]
pub async fn cluster(State(app): State<App>) -> Json<Cluster> {
    let broker = &app.broker;
    let (group, clock) = (broker.group(), broker.clock.standing());
    let spoken = broker.spoken();
    let mut brokers = group.brokers(&broker.raft.latest().0);
    for row in &mut brokers {
        let Ok(id) = row.id.parse() else { continue };
        row.clock_offset_ms = match id == broker.id {
            true => Some(clock.offset_ms),
            false => broker.clock.offset_of(&id),
        };
        row.wire = spoken.brokers.get(&id).and_then(|said| Some((*said)?.newest.0));
    }
    let cluster = Cluster {
        cluster: broker.identity.cluster().to_string(),
        answered_by: broker.id.to_string(),
        leader: group.leading_broker(),
        brokers,
        generation: broker.generation(),
        term: broker.raft.leadership().borrow().term,
        voters: group.voters(),
        can_lose: group.can_lose(),
        clock_problem: clock.problem(),
        wire: Some(spoken.table.0),
        wire_problem: broker.wire_problem(&spoken),
        notice: broker.policy().notice.as_ref().map(ToString::to_string),
        elections_started: Some(broker.raft.meters().elections_started()),
        elections_won: Some(broker.raft.meters().elections_won()),
    };
    Json(cluster)
}

/// Makes a one-time token for a machine to join with.
#[utoipa::path(post, tag = "cluster", path = "/api/v1/cluster/tokens", request_body = JoinTokenRequest,
    responses((status = 200, body = JoinToken), (status = "4XX", body = Problem)))]
pub async fn join_token(
    State(app): State<App>,
    caller: Caller,
    Body(request): Body<JoinTokenRequest>,
) -> Result<Json<JoinToken>, Refused> {
    caller.admin()?;
    let seconds = request.valid_for_s.unwrap_or(HOUR_S);
    if !(1..=WEEK_S).contains(&seconds) {
        let detail = format!("valid_for_s must be between 1 and {WEEK_S}.");
        return Err(ProblemKind::BadRequest.because(detail).into());
    }
    let (role, joins) = match request.role {
        JoinRole::Agent => (NodeRole::Agent, Joins::Agent),
        JoinRole::Broker => (NodeRole::Broker, Joins::Broker),
    };
    let identity = &app.broker.identity;
    let expires = app.broker.clock.certain().await.plus(u64::from(seconds) * 1000);
    let token = abide_tls::JoinToken::generate(
        identity.cluster(),
        identity.ca_fingerprint(),
        role,
        expires,
    );
    app.broker.propose(Change::AddJoinToken { hash: token.hash(), expires, joins }).await?;
    Ok(Json(JoinToken { token: token.to_text().to_string(), expires_at: Time(expires) }))
}

/// Lets a broker go for good: it takes part no more, and nothing that it signs is believed.
#[utoipa::path(delete, tag = "cluster", path = "/api/v1/cluster/brokers/{id}",
    params(("id" = String, Path, description = "the broker's id")),
    responses((status = 204), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub async fn remove_broker(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    caller.admin()?;
    let broker = id.parse().map_err(|cause: abide_model::InvalidId| {
        Refused::from(ProblemKind::BadRequest.because(cause.to_string()))
    })?;
    app.broker.remove_broker(&broker).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The process lives.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// A login would work now.
pub async fn readyz(State(app): State<App>) -> Response {
    if let Some(generation) = app.broker.rivals.met() {
        return not_ready(&rivals::told(generation));
    }
    let ready = async {
        app.broker.ready().await?;
        app.broker.clock.certain().await;
        app.broker.table().await
    };
    let within = timing::ready(app.broker.settings.timing);
    match tokio::time::timeout(within, ready).await {
        Ok(Ok(_)) => {
            let problem = app.broker.clock.standing().problem();
            let warning = problem.map_or_else(String::new, |it| format!("warning: {it}\n"));
            format!("ready\n{warning}").into_response()
        }
        Ok(Err(cause)) => not_ready(&cause.to_string()),
        Err(_) => not_ready(&format!("no answer within {within:?}")),
    }
}

fn not_ready(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
}

/// For Prometheus.
pub async fn metrics(State(app): State<App>) -> Response {
    let body = app.metrics.render(&app.broker);
    ([(header::CONTENT_TYPE, abide_telemetry::METRICS_CONTENT_TYPE)], body).into_response()
}
