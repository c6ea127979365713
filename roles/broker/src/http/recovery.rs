//! A table that was lost: how far its making anew is, and what an administrator says to it.

use std::net::IpAddr;
use std::sync::Arc;

use abide_api::{
    ConfirmRequest, Confirmed, ExpectRequest, Problem, ProblemKind, Recovery, RecoveryAgent, Time,
};
use abide_auth::{AuditRecord, Decision, Verdict};
use abide_model::{Change, Table};
use axum::Json;
use axum::extract::State;

use super::App;
use super::caller::{Body, Caller};
use super::origin::From;
use crate::broker::Broker;
use crate::problem::Refused;
use crate::rebuild;

/// How far the rebuild is.
#[utoipa::path(get, tag = "cluster", path = "/api/v1/cluster/recovery",
    responses((status = 200, body = Recovery), (status = "4XX", body = Problem)))]
pub async fn show(State(app): State<App>, caller: Caller) -> Result<Json<Recovery>, Refused> {
    caller.admin()?;
    shown(&app.broker).await
}

async fn shown(broker: &Broker) -> Result<Json<Recovery>, Refused> {
    let table = broker.table().await?;
    recovery(broker, &table.0).map(Json)
}

/// Names agents that must have reported before sessions are placed again.
#[utoipa::path(post, tag = "cluster", path = "/api/v1/cluster/recovery/expect",
    request_body = ExpectRequest,
    responses((status = 200, body = Recovery), (status = "4XX", body = Problem)))]
pub async fn expect(
    State(app): State<App>,
    caller: Caller,
    From(from): From,
    Body(request): Body<ExpectRequest>,
) -> Result<Json<Recovery>, Refused> {
    let caller = admin(&app, caller, from, "recovery: expect")?;
    if request.agents.iter().any(|it| it.is_empty() || it.len() > 256) {
        return Err(ProblemKind::BadRequest.because("An agent's name has 1 to 256 bytes.").into());
    }
    waits(&app.broker).await?;
    let agents = request.agents.into_iter().map(Arc::from).collect();
    app.broker.propose(Change::ExpectAgents { agents }).await?;
    app.broker.audit.record(about(&caller, from, "recovery: expect"));
    shown(&app.broker).await
}

/// Sessions are placed again, whoever has not reported.
#[utoipa::path(post, tag = "cluster", path = "/api/v1/cluster/recovery/go",
    responses((status = 200, body = Recovery), (status = "4XX", body = Problem)))]
pub async fn go(
    State(app): State<App>,
    caller: Caller,
    From(from): From,
) -> Result<Json<Recovery>, Refused> {
    let caller = admin(&app, caller, from, "recovery: go")?;
    let by = caller.0.user.as_str().into();
    waits(&app.broker).await?;
    app.broker.propose(Change::PlaceAgain { by }).await?;
    app.broker.audit.record(about(&caller, from, "recovery: go"));
    shown(&app.broker).await
}

/// Takes in what an agent lists on orders that this cluster cannot check.
#[utoipa::path(post, tag = "cluster", path = "/api/v1/cluster/recovery/confirm",
    request_body = ConfirmRequest,
    responses((status = 200, body = Confirmed), (status = "4XX", body = Problem)))]
pub async fn confirm(
    State(app): State<App>,
    caller: Caller,
    From(from): From,
    Body(request): Body<ConfirmRequest>,
) -> Result<Json<Confirmed>, Refused> {
    let caller = admin(&app, caller, from, "recovery: confirm")?;
    let table = app.broker.table().await?;
    recovery(&app.broker, &table.0)?;
    let named =
        |it: &&Arc<abide_model::Agent>| it.id.as_str() == request.agent || it.name == request.agent;
    let agents: Vec<_> = table.0.agents().filter(named).collect();
    let [agent] = agents[..] else {
        let detail = match agents.len() {
            0 => "There is no such agent.",
            _ => "Several agents have that name: give its id.",
        };
        return Err(ProblemKind::NotFound.because(detail).into());
    };
    let sessions = rebuild::confirm(&app.broker, &agent.id).await?;
    let about = AuditRecord { agent: Some(&agent.id), ..about(&caller, from, "recovery: confirm") };
    app.broker.audit.record(about);
    Ok(Json(Confirmed { sessions }))
}

/// Only administrators; that another tried is recorded.
fn admin(app: &App, caller: Caller, from: IpAddr, what: &str) -> Result<Caller, Refused> {
    if !caller.is_admin() {
        let record = AuditRecord { verdict: Verdict::Refused, ..about(&caller, from, what) };
        app.broker.audit.record(record);
    }
    caller.admin()
}

/// That this was done.
fn about<'a>(caller: &'a Caller, from: IpAddr, what: &'a str) -> AuditRecord<'a> {
    AuditRecord {
        user: Some(caller.0.user.as_str()),
        address: Some(from),
        token: Some(caller.0.jti),
        reason: Some(what),
        ..AuditRecord::new(Decision::Administer, Verdict::Allowed)
    }
}

async fn waits(broker: &Broker) -> Result<(), Refused> {
    let table = broker.table().await?;
    recovery(broker, &table.0)?;
    if table.0.is_rebuilding() {
        return Ok(());
    }
    Err(ProblemKind::Conflict.because("Sessions are placed again already.").into())
}

fn recovery(broker: &Broker, table: &Table) -> Result<Recovery, Refused> {
    let none = || ProblemKind::NotFound.because("This cluster's table was never lost.");
    let rebuild = table.rebuild().ok_or_else(none)?;
    let agents = table.agents().map(|agent| RecoveryAgent {
        id: agent.id.to_string(),
        name: agent.name.clone(),
        reported: rebuild.reported.contains(&agent.id),
        sessions: agent.live,
        unverified: u32::try_from(rebuild::unverified(broker, table, &agent.id))
            .unwrap_or(u32::MAX),
    });
    Ok(Recovery {
        since: Time(rebuild.since),
        waiting: table.is_rebuilding(),
        placed_by: rebuild.placing.as_ref().map(|it| it.by.to_string()),
        expected: rebuild.expected.iter().map(ToString::to_string).collect(),
        missing: table.missing().iter().map(ToString::to_string).collect(),
        agents: agents.collect(),
    })
}
