//! What one node knows.

use std::time::Duration;

/// Counts forced takeovers, and says who forced the last one. The higher one rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// How many there were.
    pub generation: u64,
    /// The node id of whoever forced the last one; 0 for nobody.
    pub claimant: u64,
}

/// What it takes to go on without the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// Proof that the peer is down.
    Fenced,
    /// Its silence is enough.
    Unfenced,
}

/// As configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What it takes.
    pub takeover: Takeover,
    /// Silence after which the peer counts as gone.
    pub peer_timeout: Duration,
}

/// How this node stands in the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It leads, and a majority has acknowledged that within the lease.
    Leads,
    /// It votes, and hears a leader.
    Follows,
    /// It hears a leader, and does not vote yet.
    Learns,
    /// Nobody leads whom a majority follows.
    Alone {
        /// For how long, as far as this process was awake.
        silent: Duration,
    },
}

/// This node and its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mine {
    /// The claim that the data stand on.
    pub claim: Claim,
    /// The term of the last log entry.
    pub term: u64,
    /// Nothing was ever written: there is nothing to keep.
    pub pristine: bool,
    /// It is a voter of its last membership.
    pub votes: bool,
    /// It stopped in order and left the peer to go on.
    pub retired: bool,
}

/// What is known of the peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peer {
    /// The claim that it told last, if it told one since this process was started.
    pub claim: Option<Claim>,
    /// Whether it answers: it lives, whatever its engine does.
    pub answers: bool,
    /// What proves that its vote does not count any more.
    pub proof: Option<Proof>,
    /// It is to serve, and answers as another node than the voter that it was: it cannot but through this node.
    pub leans: bool,
}

/// What proves that the peer acknowledges nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Somebody vouches for it: the cluster manager that fenced it, or a person.
    Vouched,
    /// It stopped in order, and made durable that it did.
    Retired,
    /// It has come back as another node: what its vote stood for is gone.
    AnotherLife,
}

/// What the agents that could be asked have obeyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agents {
    /// How many the table has.
    pub known: usize,
    /// How many answered when they were asked last; before that, how many could be.
    pub told: usize,
    /// The highest claim among theirs, but for one that this node itself had promised.
    pub claim: Claim,
    /// The highest term obeyed under that claim.
    pub term: u64,
}

/// The cluster manager wants this node to serve, or the peer through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Also from data that may be stale.
    pub accept_stale: bool,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// As configured.
    pub policy: Policy,
    /// The standing order, if there is one.
    pub order: Option<Order>,
    /// In the group.
    pub standing: Standing,
    /// This node.
    pub mine: Mine,
    /// The other one.
    pub peer: Peer,
    /// The agents.
    pub agents: Agents,
    /// The peer, as the voter of these data that it was, has answered this process since its start. Proof that
    /// this node was down is older, and does not count any more there.
    pub met: bool,
}

impl View {
    /// How many agents must answer, and know of nothing that these data do not know, before this node may go on.
    ///
    /// Under `fenced`, one that has not met its peer cannot tell otherwise whether that went on while this node
    /// was down: more than half. One that has was not down since; and whoever left this node to go on did not.
    pub fn witnesses(&self) -> usize {
        let is_sure = self.met || self.peer.proof == Some(Proof::Retired);
        let wants = self.policy.takeover == Takeover::Fenced && !is_sure;
        if wants { self.agents.known / 2 + 1 } else { 0 }
    }

    /// How many agents must have promised to obey the next claim before anything is acknowledged on it.
    ///
    /// Under `fenced` as many as leave too few for a peer that comes back from older data to go on: half of
    /// them, or more than half where that peer could be waiting for the same. A peer that has left this node
    /// to go on, or has lost its data, does not go on in any case.
    pub fn promises(&self) -> usize {
        let harmless = matches!(self.peer.proof, Some(Proof::Retired | Proof::AnotherLife));
        match self.policy.takeover {
            Takeover::Unfenced => 0,
            Takeover::Fenced if harmless => 0,
            Takeover::Fenced => self.witnesses().max(self.agents.known.div_ceil(2)),
        }
    }
}
