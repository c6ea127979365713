//! What may happen to the table, and what comes of it.
//!
//! A command carries everything that chance or time decides. Each is idempotent: a proposal that
//! timed out may still commit, so it may be proposed again, and the second time changes nothing.

use std::sync::Arc;

use crate::{
    AgentFacts, AgentId, BootId, Broker, BrokerId, Drain, EndReason, IdempotencyKey, PoolName,
    ProfileName, Session, SessionId, Timestamp, UserName, ViewKey, WireVersion,
};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The leader's clock. The table's time is the highest seen: it never runs backwards.
    pub at: Timestamp,
    /// What happens.
    pub change: Change,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A broker says who it is. One that was not admitted is refused; only the founder needs no
    /// leave.
    PutBroker(Broker),
    /// A broker joins on a token.
    AdmitBroker {
        /// The SHA-256 of the secret that it brought.
        hash: TokenHash,
        /// The broker.
        broker: Broker,
    },
    /// A broker is gone for good: its row goes, and with it the belief in its key.
    RemoveBroker {
        /// The broker.
        broker: BrokerId,
    },
    /// The table was lost: it is made anew from what agents report.
    BeginRebuild,
    /// This table may be older than what agents have obeyed, and goes on all the same: no session is placed
    /// before all its agents have reported.
    DoubtTable {
        /// Commands carry at least this generation from now on. What doubts twice has it twice.
        generation: u64,
    },
    /// No session is placed before these have reported.
    ExpectAgents {
        /// Their ids or names.
        agents: Vec<Arc<str>>,
    },
    /// An agent of the lost table is back.
    RestoreAgent {
        /// The agent.
        agent: AgentId,
        /// Its host's name.
        name: String,
    },
    /// An agent remembers a key of the lost table.
    RestoreKey {
        /// Whose it was.
        broker: BrokerId,
        /// Its certificate.
        certificate: Arc<str>,
        /// When its broker was removed, if it was.
        removed_at: Option<Timestamp>,
    },
    /// All that an agent reported is in the table.
    AgentRebuilt {
        /// The agent.
        agent: AgentId,
    },
    /// Sessions are placed again, whoever has not reported.
    PlaceAgain {
        /// Who says so.
        by: Arc<str>,
    },
    /// Time passes, and nothing else happens.
    PassTime,
    /// Commands carry at least this generation from now on.
    RaiseGeneration {
        /// Above all that agents have obeyed.
        to: u64,
    },
    /// Every broker reads a newer form of commands: they are written in it from now on.
    RaiseWire {
        /// The newest that all read.
        to: WireVersion,
    },
    /// The cluster's configuration is another one.
    SetConfig {
        /// The version that the person went out from. Refused if another was taken since.
        base: u64,
        /// The new text, which was read and found good.
        text: Arc<str>,
        /// Who says so.
        by: Arc<str>,
        /// What for.
        note: Arc<str>,
    },
    /// A one-time token may be used to join.
    AddJoinToken {
        /// The SHA-256 of its secret.
        hash: TokenHash,
        /// When it ends if unused.
        expires: Timestamp,
        /// What joins on it.
        joins: Joins,
    },
    /// An agent joins on a token.
    AdmitAgent {
        /// The SHA-256 of the secret that it brought.
        hash: TokenHash,
        /// The agent.
        agent: AgentId,
        /// Its host's name.
        name: String,
    },
    /// An agent greeted a broker.
    AgentHeard {
        /// The agent.
        agent: AgentId,
        /// What it said.
        facts: Arc<AgentFacts>,
    },
    /// No broker hears an agent any more.
    AgentUnheard {
        /// The agent.
        agent: AgentId,
        /// When it was heard last.
        since: Timestamp,
    },
    /// An agent takes no new sessions any more, or takes them again.
    Drain {
        /// The agent.
        agent: AgentId,
        /// How; `None`: it takes them again.
        plan: Option<Arc<Drain>>,
    },
    /// A session is promised.
    Reserve {
        /// The new session's place.
        place: Place,
        /// Whose it is to be.
        user: UserName,
        /// Which kind of desktop.
        profile: ProfileName,
        /// Out of which pool, if there are any.
        pool: Option<PoolName>,
        /// The start's key.
        key: IdempotencyKey,
        /// What was wanted.
        want: Want,
    },
    /// A start goes back to a session that is there. Its key stands for that one from now on, also when
    /// the session has ended since.
    Resume {
        /// Which.
        session: SessionId,
        /// Whose it is.
        user: UserName,
        /// The start's key.
        key: IdempotencyKey,
        /// What was wanted.
        want: Want,
    },
    /// A session whose agent will not start it is promised again elsewhere.
    Supersede {
        /// The one that was promised.
        old: SessionId,
        /// The new one's place.
        place: Place,
        /// Why its agent will not.
        grounds: Grounds,
    },
    /// Its agent says where a session stands.
    Report {
        /// Which.
        session: SessionId,
        /// The agent that says so.
        agent: AgentId,
        /// The boot the session was started in.
        boot: BootId,
        /// What it says.
        report: Report,
    },
    /// An agent has a session that the table does not.
    Adopt(Arc<Session>),
    /// Its agent, in the boot it was started in, does not list a session.
    Unlisted {
        /// Which.
        session: SessionId,
    },
    /// Somebody ends a session.
    End {
        /// Which.
        session: SessionId,
        /// Who.
        by: Arc<str>,
    },
    /// Somebody gives up an unreachable session.
    Abandon {
        /// Which.
        session: SessionId,
        /// Who.
        by: Arc<str>,
    },
    /// One login ends.
    RevokeToken {
        /// The token's name.
        jti: [u8; 16],
        /// When it would have ended by itself.
        until: Timestamp,
    },
    /// All logins of a user that began until now end.
    LogOutEverywhere {
        /// Whose.
        user: UserName,
        /// When the last of them would have ended by itself.
        until: Timestamp,
    },
}

/// What may join on a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joins {
    /// An agent.
    Agent,
    /// A broker.
    Broker,
}

/// The SHA-256 of a join token's secret.
pub type TokenHash = [u8; 32];

/// Why the agent of a reservation will not start it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grounds {
    /// It is not heard.
    Unheard,
    /// It obeys a higher claim than this table's.
    Disobeyed,
}

/// What the leader decides of a new session: its name, its agent, its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The session's id.
    pub session: SessionId,
    /// Where it is to run.
    pub agent: AgentId,
    /// The unguessable part of its path.
    pub view_key: ViewKey,
}

/// What a start wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// The newest session, of this profile if one is named; a new one if there is none.
    ResumeOrStart {
        /// Only of this profile.
        profile: Option<ProfileName>,
    },
    /// A new one.
    Start,
}

/// Where an agent says a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It is in the ledger and being started.
    Starting,
    /// It runs.
    Running {
        /// Whether a viewer was attached to it at any time.
        ever_attached: bool,
    },
    /// It is being ended.
    Ending,
    /// It is over.
    Ended {
        /// Why.
        reason: EndReason,
    },
    /// It was never started and never will be.
    Cancelled,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It changed the table.
    Done,
    /// There was nothing to change.
    Unchanged,
    /// The session is reserved, by this command or by an earlier one with the same key.
    Reserved(SessionId),
    /// The user has this one already.
    Existing(SessionId),
    /// It changed nothing.
    Refused(Refusal),
}

/// Why a command changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such session.
    #[error("there is no such session")]
    UnknownSession,
    /// No such agent.
    #[error("there is no such agent")]
    UnknownAgent,
    /// The broker was never admitted, or was removed.
    #[error("the broker does not belong to the cluster")]
    UnknownBroker,
    /// There would be no broker left.
    #[error("it is the last broker")]
    LastBroker,
    /// The agent is not heard.
    #[error("the agent cannot be reached")]
    AgentUnreachable,
    /// The agent takes no new sessions.
    #[error("the agent takes no new sessions")]
    AgentDrained,
    /// The session belongs to another agent.
    #[error("the session belongs to another agent")]
    WrongAgent,
    /// The key was used for a start that wanted something else.
    #[error("the key was used for another start")]
    KeyReused,
    /// The session is over.
    #[error("the session has ended")]
    Ended,
    /// The session can be reached, so it can be ended instead.
    #[error("the session can be reached")]
    StillReachable,
    /// The session has begun, so it cannot be reserved, or not elsewhere.
    #[error("the session is no mere reservation any more")]
    NotReserved,
    /// The table is being rebuilt: nothing new is placed.
    #[error("the table is being rebuilt from what the agents report")]
    Rebuilding,
    /// Somebody else was first with a new configuration.
    #[error("another configuration was taken meanwhile")]
    ConfigChanged,
    /// No such token, or it was used by another machine, or is for the other kind, or its time is
    /// over.
    #[error("the join token is unknown, used, expired, or for another kind of machine")]
    JoinToken,
}
