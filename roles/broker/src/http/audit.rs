//! What this broker has written down of its decisions. Each broker has its own log: whoever wants the
//! cluster's asks all of them.

use abide_api::{AuditPage, AuditQuery, AuditRecord, Problem, ProblemKind};
use abide_auth::{AuditPlace, AuditWish};
use axum::Json;
use axum::extract::State;

use super::App;
use super::caller::{Caller, Query};
use crate::problem::Refused;

const LIMIT: usize = 100;
const MOST: usize = 1000;

/// A piece of the answering broker's audit log, newest first.
#[utoipa::path(get, tag = "cluster", path = "/api/v1/audit", params(AuditQuery),
    responses((status = 200, body = AuditPage), (status = "4XX", body = Problem)))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditPage>, Refused> {
    caller.admin()?;
    let before = query.before.as_deref().map(str::parse::<AuditPlace>).transpose();
    let before = before.map_err(|_| {
        Refused::from(ProblemKind::BadRequest.because("`before` is no place in an audit log."))
    })?;
    let wish = AuditWish { before, limit: query.limit.unwrap_or(LIMIT).clamp(1, MOST) };
    let log = app.broker.audit.clone();
    let search = query.search.as_deref().unwrap_or_default().trim().to_lowercase();
    // The disk may stand still, and a search may have much to read.
    let read = move || {
        log.read(&wish, |line: &str| {
            let found = search.is_empty() || line.to_lowercase().contains(&search);
            let record = found.then(|| serde_json::from_str::<AuditRecord>(line).ok()).flatten()?;
            let is = |wanted: &Option<String>, it: Option<&str>| {
                wanted.is_none() || wanted.as_deref() == it
            };
            let fits = is(&query.user, record.user.as_deref())
                && is(&query.decision, Some(&record.decision))
                && is(&query.verdict, Some(&record.verdict));
            fits.then_some(record)
        })
    };
    let found = tokio::task::spawn_blocking(read).await;
    let found = found
        .map_err(|cause| Refused::from(ProblemKind::Internal.because(cause.to_string())))?
        .map_err(|cause| {
            let detail = format!("The audit log cannot be read: {cause}.");
            Refused::from(ProblemKind::Internal.because(detail))
        })?;
    let records = found
        .records
        .into_iter()
        .map(|(place, record)| AuditRecord { id: place.to_string(), ..record });
    Ok(Json(AuditPage {
        broker: app.broker.id.to_string(),
        records: records.collect(),
        before: found.before.map(|place| place.to_string()),
    }))
}
