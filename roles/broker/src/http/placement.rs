//! Where a start would go, and why.

use abide_api::{Placement, PlacementAgent, Problem, ProblemKind, Time};
use abide_model::{
    AgentId, IdempotencyKey, ProfileName, SessionId, Table, Timestamp, UserName, Want,
};
use abide_policy::Pool;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use crate::broker::Broker;
use crate::placing::{Counts, Explanation, Line, Wish};
use crate::problem::Refused;
use crate::reservation::{self, default_profile, pool_of, unplaced};
use crate::view;

/// Whose start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Oneself if absent.
    user: Option<String>,
    /// Of this user, between commas.
    groups: Option<String>,
    /// The default one if absent.
    profile: Option<String>,
}

/// Where a start would go now, and of each agent why. Of others for administrators; their groups must be
/// named, since only a login knows them.
#[utoipa::path(get, tag = "cluster", path = "/api/v1/placement",
    params(("user" = Option<String>, Query, description = "whose start; oneself if absent"),
        ("groups" = Option<String>, Query, description = "the user's groups, between commas"),
        ("profile" = Option<String>, Query, description = "the kind of desktop; the default if absent")),
    responses((status = 200, body = Placement), (status = "4XX", body = Problem)))]
pub async fn explain(
    State(app): State<App>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Placement>, Refused> {
    let bad = |detail: String| Refused::from(ProblemKind::BadRequest.because(detail));
    let Query(asked) = asked.map_err(|cause| bad(cause.body_text()))?;
    let invalid = |cause: abide_model::InvalidId| bad(cause.to_string());
    let user: Option<UserName> = asked.user.map(|it| it.parse()).transpose().map_err(invalid)?;
    let is_self = user.as_ref().is_none_or(|user| *user == caller.0.user);
    let groups = match asked.groups {
        Some(groups) => {
            Some(groups.split(',').filter(|it| !it.is_empty()).map(Into::into).collect())
        }
        None => is_self.then(|| caller.0.groups.clone()),
    };
    let profile = asked.profile.map(|it| it.parse()).transpose().map_err(invalid)?;
    if !caller.is_admin() && (!is_self || groups.as_ref() != Some(&caller.0.groups)) {
        let detail = "Only administrators may ask for others, or for other groups.";
        return Err(ProblemKind::Forbidden.because(detail).into());
    }
    let user = user.unwrap_or_else(|| caller.0.user.clone());
    app.broker.table().await?;
    explained(&app.broker, &user, &groups.unwrap_or_default(), profile).map(Json)
}

fn explained(
    broker: &Broker,
    user: &UserName,
    groups: &[String],
    profile: Option<ProfileName>,
) -> Result<Placement, Refused> {
    let (replica, policy) = (broker.raft.latest(), broker.policy());
    let table = &replica.0;
    let refused = |why: Refused, pool: Option<&Pool>, profile: Option<ProfileName>| {
        let Refused::Problem(problem) = why else { return Err(why) };
        Ok(Placement {
            user: user.to_string(),
            profile: profile.map(|it| it.to_string()),
            pool: pool.map(|it| it.name.to_string()),
            taken: None,
            refusal: problem.detail.or(Some(problem.title)),
            agents: Vec::new(),
        })
    };
    let pool = match pool_of(&policy, user, groups) {
        Ok(pool) => pool,
        Err(why) => return refused(why, None, profile),
    };
    let named = profile.map_or_else(|| default_profile(broker, table, &policy, pool), Ok);
    let profile = match named {
        Ok(profile) => profile,
        Err(why) => return refused(why, pool, None),
    };
    let wish = Wish {
        session: SessionId(Uuid::nil()),
        user,
        pool,
        profile: &profile,
        key: &no_key(),
        counts: Counts::OneMore(&Want::Start),
    };
    let view = reservation::view(broker, &policy);
    let explanation = broker.placing.explain(|| broker.raft.latest(), &wish, &view);
    let Explanation { taken, too_many, lines } = explanation;
    let why_not = too_many.or_else(|| {
        let verdicts = || lines.iter().map(|line| line.verdict.clone()).collect();
        taken.is_none().then(|| crate::placing::Unplaced::NoAgent(verdicts()))
    });
    let mut placement = match why_not {
        Some(why) => refused(unplaced(why, &profile, pool), pool, Some(profile.clone()))?,
        None => Placement {
            user: user.to_string(),
            profile: Some(profile.to_string()),
            pool: pool.map(|it| it.name.to_string()),
            taken: taken.as_ref().map(AgentId::to_string),
            refusal: None,
            agents: Vec::new(),
        },
    };
    let place = |line: &Line| (taken.as_ref() != Some(&line.agent.id), !line.verdict.is_able());
    let mut lines = lines;
    lines.sort_by_cached_key(|it| (place(it), it.agent.name.clone(), it.agent.id.clone()));
    placement.agents = lines.iter().map(|line| agent(table, view.now, line)).collect();
    Ok(placement)
}

fn agent(table: &Table, now: Timestamp, line: &Line) -> PlacementAgent {
    let Line { agent, weight, sessions, most, told, verdict } = line;
    // Those on their way into the table are reservations too.
    let begun = agent.live.saturating_sub(view::reserved_on(table, &agent.id)).min(*sessions);
    let percent = |hundredths: u32| f64::from(hundredths) / 100.0;
    PlacementAgent {
        id: agent.id.to_string(),
        name: agent.name.clone(),
        verdict: verdict.word().to_owned(),
        why: verdict.to_string(),
        sessions: begun,
        reserved: sessions - begun,
        max_sessions: *most,
        weight: *weight,
        load: f64::from(*sessions) / f64::from((*weight).max(1)),
        load_age_ms: told.map(|told| now.since(told.at)),
        cpu_pressure: told.map(|told| percent(told.cpu_pressure)),
        memory_pressure: told.map(|told| percent(told.memory_pressure)),
        memory_left: told.and_then(|told| told.memory_left).map(percent),
        failed_at: agent.failed_at.map(Time),
    }
}

/// Of a start that nobody made.
fn no_key() -> IdempotencyKey {
    "explain".parse().unwrap_or_else(|_| unreachable!("it is a key"))
}
