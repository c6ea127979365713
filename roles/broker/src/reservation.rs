//! Promising a session: who gets it where, committed. For the leader alone, which knows of all that are on
//! their way.

use std::sync::Arc;

use abide_api::ProblemKind;
use abide_model::{
    AgentId, Change, Grounds, Outcome, Place, ProfileName, Refusal, SessionId, Table, UserName,
    ViewKey,
};
use abide_placement::Verdict;
use abide_policy::{ClusterConfig, NoPool, Pool};
use abide_raft::ProposeError;
use tracing::info;
use uuid::Uuid;

use crate::broker::Broker;
use crate::desk::{Asked, refused, refuses};
use crate::hearsay;
use crate::placing::{Counts, Sign, Unplaced, View, Wish};
use crate::problem::Refused;
use crate::rebuild;

/// Chooses an agent and commits the reservation.
///
/// # Errors
/// The problem, for the person; or this broker does not lead.
pub async fn reserve_here(broker: &Broker, asked: &Asked) -> Result<SessionId, Refused> {
    match reserve_by_latest(broker, asked).await {
        Err(Refused::NotLeader) => Err(Refused::NotLeader),
        Err(_) => {
            // A leader that was away may not know yet that another leads, and what that one knows.
            broker.table().await?;
            if !broker.raft.leadership().borrow().is_serving() {
                return Err(Refused::NotLeader);
            }
            reserve_by_latest(broker, asked).await
        }
        reserved => reserved,
    }
}

async fn reserve_by_latest(broker: &Broker, asked: &Asked) -> Result<SessionId, Refused> {
    let want = asked.want();
    let table = broker.raft.latest();
    if let Some(session) = table.0.started_by(&asked.user, &asked.key, &want).map_err(refused)? {
        return Ok(session);
    }
    if table.0.is_rebuilding() {
        return Err(rebuild::refused(&table.0));
    }
    let policy = broker.policy();
    let pool = pool_of(&policy, &asked.user, &asked.groups)?;
    let profile = match &asked.profile {
        Some(profile) => profile.clone(),
        None => default_profile(broker, &table.0, &policy, pool)?,
    };
    // Another try only when the agent was lost, or drained, between the choice and the commit.
    for _ in 0..3 {
        let session = SessionId(Uuid::now_v7());
        let wish = Wish {
            session,
            user: &asked.user,
            pool,
            profile: &profile,
            key: &asked.key,
            counts: Counts::OneMore(&want),
        };
        let placed = broker.placing.place(|| broker.raft.latest(), &wish, &view(broker, &policy));
        let placed = placed.map_err(|why| unplaced(why, &profile, pool))?;
        let change = Change::Reserve {
            place: new_place(session, placed.agent.clone()),
            user: asked.user.clone(),
            profile: profile.clone(),
            pool: pool.map(|it| it.name.clone()),
            key: asked.key.clone(),
            want: want.clone(),
        };
        match broker.commit(change).await? {
            Outcome::Reserved(session) => {
                info!(%session, user = %asked.user, agent = %placed.agent, "Session reserved");
                return Ok(session);
            }
            Outcome::Existing(session) => return Ok(session),
            Outcome::Refused(
                Refusal::AgentUnreachable | Refusal::AgentDrained | Refusal::UnknownAgent,
            ) => {}
            Outcome::Refused(refusal) => return Err(refused(refusal)),
            Outcome::Done | Outcome::Unchanged => break,
        }
    }
    Err(ProblemKind::NoAgent.bare().into())
}

/// Reserves another session instead of one whose agent will not start it; false if that cannot be done
/// now. No other agent may be there: then this one is waited for on.
///
/// # Errors
/// The problem, for the person; or this broker does not lead.
pub async fn supersede_here(broker: &Broker, old: SessionId) -> Result<bool, Refused> {
    let table = broker.raft.latest();
    if table.0.successor(old) != old {
        // Another try of the same start was first.
        return Ok(true);
    }
    let Some(old) = table.0.session(old).cloned() else { return Ok(false) };
    let policy = broker.policy();
    // What was offered to the person when they asked.
    let pool = old.pool.as_ref().map(|it| policy.pool(it));
    let Ok(pool) = pool.map(|it| it.ok_or(NoPool)).transpose() else { return Ok(false) };
    let session = SessionId(Uuid::now_v7());
    let grounds = match refuses(broker, &old.agent) {
        true => Grounds::Disobeyed,
        false => Grounds::Unheard,
    };
    let wish = Wish {
        session,
        user: &old.user,
        pool,
        profile: &old.profile,
        key: &old.key,
        counts: Counts::Replaces,
    };
    let placed = broker.placing.place(|| broker.raft.latest(), &wish, &view(broker, &policy));
    let Ok(placed) = placed else { return Ok(false) };
    if refuses(broker, &placed.agent) {
        // Nobody else is there.
        return Ok(false);
    }
    let place = new_place(session, placed.agent.clone());
    match broker.commit(Change::Supersede { old: old.id, place, grounds }).await {
        Ok(Outcome::Reserved(session)) => {
            info!(old = %old.id, %session, agent = %placed.agent, "Reservation placed anew");
            Ok(true)
        }
        // It began, or its agent is back, after all; or a broker does not know of these grounds yet.
        Ok(_) | Err(ProposeError::Unspoken(_)) => Ok(false),
        Err(cause) => Err(cause.into()),
    }
}

/// How agents do, as this broker knows it.
pub fn view<'a>(
    broker: &'a Broker,
    policy: &'a Arc<ClusterConfig>,
) -> View<'a, impl Fn(&[&AgentId]) -> Vec<Sign>> {
    let signs = |agents: &[&AgentId]| hearsay::signs(broker, agents);
    View { policy, now: broker.clock.now(), signs }
}

/// The pool that a person is offered; `None`: all agents.
///
/// # Errors
/// None is.
pub fn pool_of<'a>(
    policy: &'a ClusterConfig,
    user: &UserName,
    groups: &[String],
) -> Result<Option<&'a Pool>, Refused> {
    policy.pool_of(user, groups).map_err(|NoPool| {
        let detail = "No pool of desktop hosts is offered to you. Ask an administrator for one.";
        ProblemKind::Forbidden.because(detail).into()
    })
}

fn new_place(session: SessionId, agent: AgentId) -> Place {
    let view_key = Uuid::new_v4().simple().to_string();
    let view_key = view_key.parse::<ViewKey>().unwrap_or_else(|_| unreachable!("32 hex digits"));
    Place { session, agent, view_key }
}

/// The kind of desktop for whoever names none.
///
/// # Errors
/// Nobody offers any.
pub fn default_profile(
    broker: &Broker,
    table: &Table,
    policy: &Arc<ClusterConfig>,
    pool: Option<&Pool>,
) -> Result<ProfileName, Refused> {
    let profiles = broker.placing.profiles(table, policy, pool);
    let of_pool = pool.map_or_else(String::new, |it| format!(" of your pool, {},", it.name));
    let none = || ProblemKind::NoAgent.because(format!("No desktop host{of_pool} can be reached."));
    profiles.first().map(|it| it.name.clone()).ok_or_else(|| none().into())
}

/// What a person is told who gets no session.
pub fn unplaced(why: Unplaced, profile: &ProfileName, pool: Option<&Pool>) -> Refused {
    match why {
        Unplaced::TooMany { has, may } => {
            let sessions = if has == 1 { "session" } else { "sessions" };
            let detail = format!("You have {has} {sessions}, and may have {may}.");
            ProblemKind::SessionLimit.because(detail).into()
        }
        Unplaced::NoAgent(verdicts) => {
            ProblemKind::NoAgent.because(no_agent(&verdicts, profile, pool)).into()
        }
    }
}

/// Why no agent can take a session, in one sentence.
fn no_agent(verdicts: &[Verdict], profile: &ProfileName, pool: Option<&Pool>) -> String {
    if verdicts.is_empty() {
        return "No desktop host has joined the cluster.".to_owned();
    }
    let count = |word: &str| verdicts.iter().filter(|it| it.word() == word).count();
    let all = verdicts.len() - count("out-of-pool");
    let of_pool = pool.map_or_else(String::new, |it| format!(" of your pool, {},", it.name));
    if all == 0 {
        return format!("No desktop host{of_pool} has joined the cluster.");
    }
    let silent = count("unreachable");
    if count("no-such-profile") > 0 && silent + count("no-such-profile") == all {
        let profile = profile.as_str();
        return format!(
            "No desktop host{of_pool} that can be reached offers the profile {profile:?}."
        );
    }
    let causes = [
        (silent, "cannot be reached"),
        (count("full"), "have as many sessions as they take"),
        (count("drained"), "are taken out of service"),
        (count("labels-missing"), "lack what the profile requires"),
        (count("no-such-profile"), "do not offer the profile"),
    ];
    let causes = causes.into_iter().filter(|(many, _)| *many > 0);
    let causes: Vec<_> = causes.map(|(many, what)| format!("{many} {what}")).collect();
    format!("Of {all} desktop hosts{of_pool} {}.", causes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_gets_no_session_is_told_why() {
        let said = |verdicts: &[Verdict], pool: Option<&Pool>| {
            no_agent(verdicts, &"xfce".parse().unwrap(), pool)
        };
        let full = Verdict::Full { most: 4, sessions: 4 };
        assert_eq!(said(&[], None), "No desktop host has joined the cluster.");
        assert_eq!(
            said(&[Verdict::Unreachable, Verdict::NoSuchProfile], None),
            "No desktop host that can be reached offers the profile \"xfce\"."
        );
        assert_eq!(
            said(&[Verdict::Unreachable, full.clone(), full, Verdict::Drained], None),
            "Of 4 desktop hosts 1 cannot be reached, 2 have as many sessions as they take, 1 are \
             taken out of service."
        );
    }
}
