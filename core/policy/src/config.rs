//! The configuration as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use abide_model::{Label, ProfileName};

use crate::{Limits, Pool};

/// The cluster's configuration. The default is one that says nothing: everybody may use every agent,
/// without limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterConfig {
    /// In the order written. None: everybody is offered every agent.
    pub pools: Vec<Pool>,
    /// What is said of agents, by their names.
    pub hosts: BTreeMap<Arc<str>, HostRules>,
    /// Kinds of desktop, in the order written; the first that a person is offered is the default.
    pub profiles: Vec<ProfileRules>,
    /// Limits of every session, where neither profile nor pool says another.
    pub limits: Limits,
    /// How many sessions a person may have at once, where the pool says nothing.
    pub sessions_per_user: Option<u32>,
    /// When an agent falls out of favour.
    pub pressure: PressureLimits,
    /// How administrators may look at sessions.
    pub shadow: Shadow,
    /// Shown to everybody in the portal.
    pub notice: Option<Arc<str>>,
}

/// What is said of one agent. It goes before what its own file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostRules {
    /// Its share of new sessions against the others'; 1 to 1,000.
    pub weight: Option<u32>,
    /// How many sessions it takes at most.
    pub max_sessions: Option<u32>,
    /// What it has, besides what its own file says.
    pub labels: BTreeSet<Label>,
}

/// A kind of desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileRules {
    /// Its name.
    pub name: ProfileName,
    /// For people; the agent's own title, or the name, if absent.
    pub title: Option<Arc<str>>,
    /// Program and arguments. `None`: offered where an agent's own file defines it.
    pub command: Option<Vec<String>>,
    /// The command is run as it is, without Xsession and dbus-run-session.
    pub plain: bool,
    /// Added to the clean environment.
    pub environment: BTreeMap<String, String>,
    /// What an agent must have.
    pub requires: BTreeSet<Label>,
    /// The display's size at first; the agent's usual one if absent.
    pub size: Option<DesktopSize>,
    /// Its sessions' limits.
    pub limits: Limits,
}

/// A display's size, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DesktopSize {
    /// 320 to 16,384.
    pub width: u32,
    /// 200 to 16,384.
    pub height: u32,
}

/// When an agent falls out of favour: it is chosen only where every other that could take the session
/// is no better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PressureLimits {
    /// Processes that wait for a processor, Linux's PSI "some avg10", percent.
    pub cpu: u32,
    /// Processes that wait for memory, the same measure, percent.
    pub memory: u32,
    /// Memory that is left, percent of the whole.
    pub memory_left: u32,
    /// How long an agent that failed a start is avoided.
    pub avoid_after_failure: Duration,
}

impl Default for PressureLimits {
    fn default() -> Self {
        let avoid_after_failure = Duration::from_secs(5 * 60);
        Self { cpu: 40, memory: 10, memory_left: 5, avoid_after_failure }
    }
}

/// How administrators may look at sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shadow {
    /// What their people have to say to it.
    pub mode: ShadowMode,
    /// How long they are asked; no answer is a no.
    pub ask_for: Duration,
}

impl Default for Shadow {
    fn default() -> Self {
        Self { mode: ShadowMode::Ask, ask_for: Duration::from_secs(30) }
    }
}

/// What the people of a session have to say to an administrator who looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ShadowMode {
    /// Nobody may look.
    Reject,
    /// They are not told.
    Silent,
    /// They are told.
    Notify,
    /// They are asked.
    #[default]
    Ask,
}
