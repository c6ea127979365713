//! The cluster's configuration: seeing it, checking a text, taking another into force.

use std::net::IpAddr;

use abide_api::{
    Config, ConfigCheck, ConfigCheckRequest, ConfigHistory, ConfigRequest, ConfigSummary, Problem,
    ProblemKind, Time,
};
use abide_auth::{AuditRecord, Decision, Verdict};
use abide_model::ConfigVersion;
use axum::Json;
use axum::extract::{Path, State};

use super::App;
use super::caller::{Body, Caller};
use super::origin::From;
use crate::broker::Broker;
use crate::policy::{self, Wanted};
use crate::problem::Refused;

/// The configuration in force.
#[utoipa::path(get, tag = "config", path = "/api/v1/config",
    responses((status = 200, body = Config), (status = "4XX", body = Problem)))]
pub async fn show(State(app): State<App>, caller: Caller) -> Result<Json<Config>, Refused> {
    caller.admin()?;
    let table = app.broker.table().await?;
    Ok(Json(told(&app.broker, table.0.config())))
}

/// A version that is kept.
#[utoipa::path(get, tag = "config", path = "/api/v1/config/{version}",
    params(("version" = u64, Path, description = "its number")),
    responses((status = 200, body = Config), (status = "4XX", body = Problem)))]
pub async fn version(
    State(app): State<App>,
    caller: Caller,
    Path(version): Path<String>,
) -> Result<Json<Config>, Refused> {
    caller.admin()?;
    let number = version.parse::<u64>().map_err(|_| {
        let detail = format!("A version is a number, {version:?} is none.");
        Refused::from(ProblemKind::BadRequest.because(detail))
    })?;
    let table = app.broker.table().await?;
    let found = table.0.config_version(number).ok_or_else(|| {
        let detail = format!("There is no version {number}, or it is not kept any more.");
        Refused::from(ProblemKind::NotFound.because(detail))
    })?;
    Ok(Json(told(&app.broker, found)))
}

/// The versions that are kept, the one in force first.
#[utoipa::path(get, tag = "config", path = "/api/v1/config/history",
    responses((status = 200, body = ConfigHistory), (status = "4XX", body = Problem)))]
pub async fn history(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<ConfigHistory>, Refused> {
    caller.admin()?;
    let table = app.broker.table().await?;
    let versions = table.0.config_history().rev().map(|it| ConfigSummary {
        version: it.number,
        at: Time(it.at),
        by: it.by.to_string(),
        note: some(&it.note),
    });
    Ok(Json(ConfigHistory { versions: versions.collect() }))
}

/// What is wrong with a text; nothing is changed.
#[utoipa::path(post, tag = "config", path = "/api/v1/config/check",
    request_body = ConfigCheckRequest,
    responses((status = 200, body = ConfigCheck), (status = "4XX", body = Problem)))]
pub async fn check(
    State(_): State<App>,
    caller: Caller,
    Body(request): Body<ConfigCheckRequest>,
) -> Result<Json<ConfigCheck>, Refused> {
    caller.admin()?;
    Ok(Json(ConfigCheck { problems: policy::problems_of(&request.text) }))
}

/// Takes another configuration into force, if none was taken since the version that it goes out from. All
/// that is wrong with it stands in the problem's detail, a line each. A repeat changes nothing.
#[utoipa::path(put, tag = "config", path = "/api/v1/config", request_body = ConfigRequest,
    responses((status = 200, body = Config), (status = "4XX", body = Problem),
        (status = "5XX", body = Problem)))]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    From(from): From,
    Body(request): Body<ConfigRequest>,
) -> Result<Json<Config>, Refused> {
    let caller = caller.admin()?;
    let ConfigRequest { base, text, note } = request;
    let by = caller.0.user.as_str().into();
    let note = note.unwrap_or_default().into();
    let done = app.broker.configure(&Wanted { base, text: text.into(), by, note }).await;
    record(&app, &caller, from, base, done.is_ok());
    done?;
    // What the leader has committed is to be seen here too.
    let table = app.broker.table().await?;
    let taken = table.0.config_version(base.saturating_add(1)).unwrap_or(table.0.config());
    Ok(Json(told(&app.broker, taken)))
}

fn told(broker: &Broker, version: &ConfigVersion) -> Config {
    let ConfigVersion { number, text, at, by, note } = version;
    let problem = match broker.raft.latest().0.config().number == *number {
        true => broker.policy_problem().map(|it| it.to_string()),
        false => None,
    };
    Config {
        version: *number,
        text: text.to_string(),
        at: (*number > 0).then_some(Time(*at)),
        by: some(by),
        note: some(note),
        problem,
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn record(app: &App, caller: &Caller, from: IpAddr, base: u64, allowed: bool) {
    let reason = format!("configuration {}", base.saturating_add(1));
    let verdict = if allowed { Verdict::Allowed } else { Verdict::Refused };
    app.broker.audit.record(AuditRecord {
        user: Some(caller.0.user.as_str()),
        address: Some(from),
        token: Some(caller.0.jti),
        reason: Some(&reason),
        ..AuditRecord::new(Decision::Administer, verdict)
    });
}
