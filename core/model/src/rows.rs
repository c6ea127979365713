//! The table's rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::{
    AgentId, BootId, BrokerId, IdempotencyKey, Label, PoolName, ProfileName, SessionId, Timestamp,
    UserName, ViewKey,
};

/// A broker as every broker and agent should know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Whose row it is.
    pub id: BrokerId,
    /// Where people reach it.
    pub public_url: String,
    /// Where agents reach it, `host:port`.
    pub agent_address: String,
    /// Its signing key's certificate, signed by the cluster's root.
    pub certificate: String,
    /// How fast it notices and decides. All should have the same.
    pub timing: Timing,
}

/// How fast brokers notice that one is gone, and decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timing {
    /// One site.
    #[default]
    Lan,
    /// Slow disks, or sites far apart.
    Slow,
}

/// An agent that joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Whose row it is.
    pub id: AgentId,
    /// Its host's name, for people.
    pub name: String,
    /// When it joined.
    pub joined_at: Timestamp,
    /// What it said of itself when it was last greeted; `None` until then.
    pub facts: Option<Arc<AgentFacts>>,
    /// Whether brokers hear it.
    pub reach: Reach,
    /// How many sessions it has that are reserved, start, run or end.
    pub live: u32,
    /// It takes no new sessions, and why.
    pub drain: Option<Arc<Drain>>,
    /// When it failed a start last, if none that was reserved since has worked. Which agent gets a session
    /// depends on it, nothing else.
    pub failed_at: Option<Timestamp>,
}

impl Agent {
    /// One that joins; nobody has heard it yet.
    pub fn new(id: AgentId, name: String, now: Timestamp) -> Self {
        let reach = Reach::Unreachable { since: now };
        Self { id, name, joined_at: now, facts: None, reach, live: 0, drain: None, failed_at: None }
    }
}

/// An agent is taken out of service: it takes no new sessions, those that are there go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Who wants it.
    pub by: Arc<str>,
    /// Since when.
    pub since: Timestamp,
    /// When it should be empty.
    pub deadline: Option<Timestamp>,
    /// For the people whose sessions are there; empty if there is nothing to say.
    pub message: Arc<str>,
    /// What becomes of sessions that are there at the deadline.
    pub then: AtDeadline,
}

/// What becomes of a drained agent's sessions at the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtDeadline {
    /// They go on.
    #[default]
    Keep,
    /// They are ended.
    End,
}

/// What an agent says of itself in its greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFacts {
    /// The boot its host is in.
    pub boot: BootId,
    /// Where viewers reach it.
    pub public_url: String,
    /// Its share of new sessions against the others'; at least 1.
    pub weight: u32,
    /// The kinds of desktop it offers, in its own order.
    pub profiles: Vec<Profile>,
    /// What it has, for profiles that require it.
    pub labels: BTreeSet<Label>,
    /// How many sessions it takes at most.
    pub max_sessions: Option<u32>,
}

/// A kind of desktop on offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// For people.
    pub title: String,
}

/// Whether brokers hear an agent. Absence is evidence of nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Some broker does.
    Reachable,
    /// None does.
    Unreachable {
        /// When it was heard last.
        since: Timestamp,
    },
}

/// One session, from its reservation until a day after its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose row it is.
    pub id: SessionId,
    /// Whose desktop it is.
    pub user: UserName,
    /// Where it runs. INVARIANT: never changes; a reservation placed anew gets a new id.
    pub agent: AgentId,
    /// Which kind of desktop.
    pub profile: ProfileName,
    /// Out of which pool it was given, if there were any then.
    pub pool: Option<PoolName>,
    /// The key of the start that made it.
    pub key: IdempotencyKey,
    /// The unguessable part of its path.
    pub view_key: ViewKey,
    /// When it was reserved.
    pub created_at: Timestamp,
    /// The boot its agent started it in, once it did.
    pub boot: Option<BootId>,
    /// Where its life stands.
    pub state: State,
    /// Its agent is heard but did not list it, in the boot it was started in: the ledger lost it. No
    /// proof of anything, so it counts as unreachable.
    pub unlisted_since: Option<Timestamp>,
}

/// Where a session's life stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Committed; its agent has not begun.
    Reserved,
    /// Its agent has it in its ledger and starts it.
    Starting,
    /// It can be used.
    Running,
    /// Somebody ended it; its agent has not said yet that it is gone.
    Ending {
        /// Who.
        by: Arc<str>,
    },
    /// Its agent was not heard when it should have started it, and another session was reserved
    /// instead. Waits for its agent's word on whether it exists after all.
    Superseded {
        /// The other session.
        by: SessionId,
    },
    /// It is over.
    Ended {
        /// When.
        at: Timestamp,
        /// Why.
        reason: EndReason,
    },
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The desktop ended by itself: the person logged out.
    LoggedOut,
    /// The display server or the desktop failed.
    Crashed {
        /// What was seen.
        detail: Arc<str>,
    },
    /// Somebody ended it.
    Asked {
        /// Who.
        by: Arc<str>,
    },
    /// Its agent could not start it.
    NeverStarted {
        /// What was being done, and what went wrong.
        detail: Arc<str>,
    },
    /// Its host is in another boot than the one it ran in.
    LostToBoot {
        /// The boot it ran in.
        was: BootId,
        /// The boot its host is in.
        now: BootId,
    },
    /// In the same boot, its keeper is gone: no such process, and its lock is free.
    LostKeeper {
        /// The keeper's process id.
        pid: u32,
    },
    /// Its host was shut down in order.
    HostShutDown,
    /// Somebody gave it up while it was unreachable. It may still run.
    Abandoned {
        /// Who.
        by: Arc<str>,
    },
    /// Another was reserved instead, since its agent was not heard.
    Superseded {
        /// The other session.
        by: SessionId,
    },
    /// It was ended before its agent began.
    Cancelled,
}

impl State {
    /// Whether it holds a place on its agent: it is there, comes, or is on its way out.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Reserved | Self::Starting | Self::Running | Self::Ending { .. })
    }

    /// Whether somebody has still to do something about it: its agent to start or end it, the
    /// leader to tell it so.
    pub fn is_unsettled(&self) -> bool {
        !matches!(self, Self::Running | Self::Ended { .. })
    }

    /// Whether a person can be sent to it, at once or soon.
    pub fn is_resumable(&self) -> bool {
        matches!(self, Self::Reserved | Self::Starting | Self::Running)
    }
}

impl EndReason {
    /// Whether the session was lost: ended by proof, not by anybody.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::LostToBoot { .. } | Self::LostKeeper { .. })
    }

    /// Whether an agent can know it. The others only the table says.
    pub fn is_agents(&self) -> bool {
        !matches!(self, Self::Abandoned { .. } | Self::Superseded { .. })
    }
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LoggedOut => f.write_str("the desktop was logged out"),
            Self::Crashed { detail } => write!(f, "the desktop failed: {detail}"),
            Self::Asked { by } => write!(f, "ended by {by}"),
            Self::NeverStarted { detail } => write!(f, "it could not be started: {detail}"),
            Self::LostToBoot { was, now } => {
                write!(f, "lost: its host restarted (boot {was} then, {now} now)")
            }
            Self::LostKeeper { pid } => {
                write!(f, "lost: its keeper (process {pid}) is gone and its lock is free")
            }
            Self::HostShutDown => f.write_str("its host was shut down"),
            Self::Abandoned { by } => {
                write!(f, "given up by {by} while its host could not be reached")
            }
            Self::Superseded { by } => write!(f, "its host did not answer; replaced by {by}"),
            Self::Cancelled => f.write_str("ended before it was started"),
        }
    }
}
