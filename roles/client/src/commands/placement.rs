//! `abide placement explain`.

use abide_api::{Placement, PlacementAgent};

use super::CommandError;
use super::console::{Format, answer, answer_json, table, tell};
use crate::api::PlacementQuery;
use crate::store::Store;

/// Shows where a start would go, and of each agent why.
///
/// # Errors
/// [`CommandError`].
pub async fn explain_placement(
    store: &Store,
    asked: &PlacementQuery,
    format: Format,
) -> Result<(), CommandError> {
    let placement = super::api(store)?.placement(asked).await?;
    if format == Format::Json {
        return Ok(answer_json(&placement)?);
    }
    tell(&summary(&placement));
    if !placement.agents.is_empty() {
        let header = ["AGENT", "VERDICT", "SESSIONS", "WEIGHT", "LOAD", "PRESSURE", "WHY"];
        answer(&table(header, placement.agents.iter().map(row)))?;
    }
    Ok(())
}

fn summary(placement: &Placement) -> String {
    let Placement { user, profile, pool, taken, refusal, agents } = placement;
    let what = profile.as_ref().map_or_else(String::new, |profile| format!(" of {profile}"));
    let pool = pool.as_ref().map_or_else(String::new, |pool| format!(" in the pool {pool}"));
    let begin = format!("A session{what} for {user}{pool}");
    let named = |id: &String| agents.iter().find(|it| it.id == *id).map(|it| it.name.as_str());
    match (taken.as_ref().and_then(named), refusal) {
        (_, Some(refusal)) => format!("{begin} would be refused: {refusal}"),
        (Some(name), None) => format!("{begin} would go to {name}."),
        (None, None) => format!("{begin} would go nowhere."),
    }
}

fn row(agent: &PlacementAgent) -> [String; 7] {
    let most = agent.max_sessions.map_or_else(String::new, |most| format!(" of {most}"));
    let percent = |it: Option<f64>| it.map_or_else(|| "?".to_owned(), |it| format!("{it:.0} %"));
    let pressure = match agent.load_age_ms {
        Some(_) => format!(
            "cpu {}, memory {}, {} left",
            percent(agent.cpu_pressure),
            percent(agent.memory_pressure),
            percent(agent.memory_left)
        ),
        None => String::new(),
    };
    [
        agent.name.clone(),
        agent.verdict.replace('-', " "),
        format!("{}{most}", agent.sessions + agent.reserved),
        agent.weight.to_string(),
        format!("{:.2}", agent.load),
        pressure,
        agent.why.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_become_of_a_start_is_one_sentence() {
        let nobody = Placement {
            user: "ada".into(),
            profile: Some("xfce".into()),
            pool: Some("eng".into()),
            taken: None,
            refusal: Some("You have 2 sessions, and may have 2.".into()),
            agents: Vec::new(),
        };
        assert_eq!(
            summary(&nobody),
            "A session of xfce for ada in the pool eng would be refused: You have 2 sessions, and may \
             have 2."
        );
    }
}
