//! `abide agent drain|undrain`.

use std::num::NonZeroUsize;
use std::time::Duration;

use abide_api::{Agent, AtDeadline, DrainRequest};
use tokio::time::{MissedTickBehavior, interval};

use super::console::tell;
use super::{CommandError, words};
use crate::api::Api;
use crate::store::Store;

/// Between two looks at what is left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How agents are taken out of service.
#[derive(Debug, Clone)]
pub struct DrainOptions {
    /// By when they should be empty.
    pub deadline: Option<Duration>,
    /// Why.
    pub message: Option<String>,
    /// What becomes of sessions that are there at the deadline.
    pub then: AtDeadline,
    /// Also if the others cannot take their load.
    pub force: bool,
    /// Watched until they are empty.
    pub watch: bool,
    /// So many at a time, the next when these are empty; all at once if absent.
    pub waves: Option<NonZeroUsize>,
}

/// Takes agents out of service.
///
/// # Errors
/// [`CommandError`]; those that come before the one that failed are drained.
pub async fn drain_agents(
    store: &Store,
    names: &[String],
    options: &DrainOptions,
) -> Result<(), CommandError> {
    let api = super::api(store)?;
    let agents = named(&api, names).await?;
    let at_once = options.waves.map_or(agents.len(), NonZeroUsize::get);
    for wave in agents.chunks(at_once.max(1)) {
        for agent in wave {
            drain(&api, agent, options).await?;
        }
        if options.watch || options.waves.is_some() {
            watch(&api, wave).await?;
        }
    }
    Ok(())
}

/// Puts agents back into service.
///
/// # Errors
/// [`CommandError`].
pub async fn undrain_agents(store: &Store, names: &[String]) -> Result<(), CommandError> {
    let api = super::api(store)?;
    for agent in named(&api, names).await? {
        api.undrain(&agent.id).await?;
        tell(&format!("{} takes new sessions again.", agent.name));
    }
    Ok(())
}

/// What is said of an agent that is drained, for a column.
pub(super) fn standing(agent: &Agent) -> Option<String> {
    let drain = agent.drain.as_ref()?;
    let left = agent.sessions + agent.reserved;
    Some(match (left, drain.deadline, drain.then) {
        (0, _, _) => "drained, empty".to_owned(),
        (_, None, _) => "draining".to_owned(),
        (_, Some(at), AtDeadline::Keep) => format!("draining until {}", words::when(at)),
        (_, Some(at), AtDeadline::End) => {
            format!("draining, what is left ends at {}", words::when(at))
        }
    })
}

async fn drain(api: &Api, agent: &Agent, options: &DrainOptions) -> Result<(), CommandError> {
    let request = DrainRequest {
        deadline_s: options.deadline.map(|it| u32::try_from(it.as_secs()).unwrap_or(u32::MAX)),
        message: options.message.clone(),
        then: options.then,
        force: options.force,
    };
    let reply = api.drain(&agent.id, &request).await?;
    let until = reply.drain.deadline.map_or_else(String::new, |at| match reply.drain.then {
        AtDeadline::Keep => format!(" It should be empty at {}.", words::when(at)),
        AtDeadline::End => format!(" What is left at {} is ended.", words::when(at)),
    });
    tell(&format!("{} takes no new sessions.{until} {}", agent.name, reply.check.why));
    Ok(())
}

/// Tells what is left on these, until nothing is.
async fn watch(api: &Api, wave: &[Agent]) -> Result<(), CommandError> {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        look.tick().await;
        let all = api.agents().await?.agents;
        let mut left = Vec::new();
        for agent in wave {
            let now = all.iter().find(|it| it.id == agent.id && it.drain.is_some());
            let now = now.ok_or_else(|| CommandError::DrainCancelled(agent.name.clone()))?;
            left.push((now.sessions + now.reserved, now.name.clone()));
        }
        let picture = left.iter().map(|(left, name)| format!("{name}: {left} left"));
        let picture = picture.collect::<Vec<_>>().join(", ");
        if told.as_ref() != Some(&picture) {
            tell(&picture);
            told = Some(picture);
        }
        if left.iter().all(|(left, _)| *left == 0) {
            return Ok(());
        }
    }
}

/// The agents of these names or ids, each once.
async fn named(api: &Api, names: &[String]) -> Result<Vec<Agent>, CommandError> {
    let all = api.agents().await?.agents;
    let mut found: Vec<Agent> = Vec::new();
    for name in names {
        let fits: Vec<_> = all.iter().filter(|it| it.name == *name || it.id == *name).collect();
        let agent = match fits[..] {
            [agent] => agent,
            [] => return Err(CommandError::NoSuchAgent(name.clone())),
            _ => {
                return Err(CommandError::AmbiguousAgent { name: name.clone(), count: fits.len() });
            }
        };
        if !found.iter().any(|it| it.id == agent.id) {
            found.push(agent.clone());
        }
    }
    Ok(found)
}
