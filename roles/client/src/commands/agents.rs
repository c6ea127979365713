//! `abide agent list`.

use abide_api::Agent;

use super::console::{Format, answer, answer_json, table, tell};
use super::{CommandError, drain, words};
use crate::store::Store;

/// Shows the agents.
///
/// # Errors
/// [`CommandError`].
pub async fn list_agents(store: &Store, format: Format) -> Result<(), CommandError> {
    let agents = super::api(store)?.agents().await?;
    match format {
        Format::Json => answer_json(&agents)?,
        Format::Table if agents.agents.is_empty() => {
            tell("No agent has joined yet. A token for one: abide cluster token agent");
        }
        Format::Table => {
            let header = ["AGENT", "STATE", "WEIGHT", "SESSIONS", "VIEWERS", "LOAD", "MEMORY FREE"];
            answer(&table(header, agents.agents.iter().map(row)))?;
        }
    }
    Ok(())
}

fn row(agent: &Agent) -> [String; 7] {
    let state = match (agent.reachable, agent.unreachable_since) {
        (true, _) => drain::standing(agent).unwrap_or_else(|| "reachable".to_owned()),
        (false, None) => "never heard".to_owned(),
        (false, since) => format!("not heard since {}", words::since(since)),
    };
    let load = agent.load.as_ref();
    [
        agent.name.clone(),
        state,
        agent.weight.to_string(),
        (agent.sessions + agent.reserved).to_string(),
        agent.viewers.to_string(),
        load.map(|load| format!("{:.2} of {}", load.load1, load.cpus)).unwrap_or_default(),
        load.map(|load| gibibytes(load.memory_available)).unwrap_or_default(),
    ]
}

fn gibibytes(bytes: u64) -> String {
    // Exact enough: nobody has 2^53 bytes free.
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
