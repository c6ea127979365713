//! How an agent's load was in the last hour.

use abide_api::{AgentHistory, HistoryQuery, Problem, ProblemKind};
use abide_model::AgentId;
use axum::Json;
use axum::extract::{Path, State};

use super::App;
use super::caller::{Caller, Query};
use crate::load_history::{EVERY, KEPT};
use crate::problem::Refused;

/// An agent's load, as the broker that answers has heard it.
#[utoipa::path(get, tag = "cluster", path = "/api/v1/agents/{id}/history",
    params(("id" = String, Path, description = "the agent's id"), HistoryQuery),
    responses((status = 200, body = AgentHistory), (status = "4XX", body = Problem)))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<AgentHistory>, Refused> {
    caller.admin()?;
    let none = || Refused::from(ProblemKind::NotFound.because("There is no such agent."));
    let agent: AgentId = id.parse().map_err(|_| none())?;
    app.broker.raft.latest().0.agent(&agent).ok_or_else(none)?;
    let every_s = u32::try_from(EVERY.as_secs()).unwrap_or(u32::MAX);
    let most = query.minutes.map_or(KEPT, |minutes| minutes as usize * 60 / every_s as usize);
    Ok(Json(AgentHistory {
        samples: app.broker.load_history.of(&agent, most),
        agent: agent.to_string(),
        answered_by: app.broker.id.to_string(),
        every_s,
    }))
}
