//! The decision.

use std::fmt;
use std::time::Duration;

use crate::view::{Claim, Mine, Order, Peer, Proof, Standing, Takeover, View};

/// A peer that answers, but whose engine acknowledges nothing, may be electing: it is given this many
/// times as long.
const ELECTING: u32 = 3;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: this node leads.
    Serve,
    /// Nothing: the other one leads.
    Follow,
    /// Nothing yet.
    Wait(Why),
    /// Begin a new generation alone, above all that is known.
    Force(Forced),
    /// The peer's claim is higher: set the data aside, and join it.
    Rejoin(Claim),
    /// The data may be stale.
    Refuse(Stale),
    /// The peer is gone, and nobody has proven it.
    Unproven,
}

/// On what grounds a new generation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forced {
    /// The peer's vote does not count any more.
    Proven(Proof),
    /// It was silent for long enough.
    Silent,
    /// A person accepts that what others know is lost.
    Recovery,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The peer, or the cluster manager's word.
    NoOrder,
    /// The peer may still answer, or an election may still end.
    Silence,
    /// To catch up.
    Learning,
    /// Too few agents can be told that this node goes on.
    Agents,
}

/// Why the data may be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// The others went on without it.
    NoVoter,
    /// It stopped in order and left the peer to go on.
    Retired,
    /// An agent has obeyed a leader that these data do not know.
    AgentsKnowMore,
    /// Under `fenced`: too few have been heard since the start who could say that they are not.
    NobodyKnows,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoVoter => "this node did not vote when its data were written: its peer has newer ones",
            Self::Retired => "this node stopped in order and left its peer to go on: it may have",
            Self::AgentsKnowMore => "an agent has obeyed a leader that this node's data do not know",
            Self::NobodyKnows => {
                "since its start this node has met neither its peer nor more than half of the agents: the \
                 peer may have gone on alone before"
            }
        })
    }
}

/// What this node does now. The same view always gives the same answer.
pub fn decide(view: &View) -> Decision {
    let View { mine, peer, standing, .. } = view;
    if let Some(claim) = peer.claim.filter(|claim| *claim > mine.claim && !mine.pristine) {
        return Decision::Rejoin(claim);
    }
    match *standing {
        Standing::Leads => Decision::Serve,
        Standing::Follows => Decision::Follow,
        Standing::Learns => Decision::Wait(Why::Learning),
        Standing::Alone { silent } => alone(view, silent),
    }
}

fn alone(view: &View, silent: Duration) -> Decision {
    let View { policy, peer, .. } = view;
    let Some(order) = view.order.or_else(|| borrowed(peer)) else {
        return Decision::Wait(Why::NoOrder);
    };
    let patience = policy.peer_timeout * if peer.answers { ELECTING } else { 1 };
    let is_over = silent >= patience;
    let grounds = match (peer.proof, policy.takeover) {
        (Some(proof), _) => Decision::Force(Forced::Proven(proof)),
        (None, _) if !is_over => Decision::Wait(Why::Silence),
        (None, Takeover::Unfenced) => Decision::Force(Forced::Silent),
        (None, Takeover::Fenced) => Decision::Unproven,
    };
    match (stale(view), grounds) {
        (Some(_), Decision::Force(_)) if order.accept_stale => Decision::Force(Forced::Recovery),
        // Whoever comes within that time may bring a quorum, and with it all that is missing.
        (Some(_), _) if !is_over => Decision::Wait(Why::Silence),
        // Agents come back within a second or so.
        (Some(Stale::NobodyKnows), _) if silent < policy.peer_timeout * ELECTING => {
            Decision::Wait(Why::Agents)
        }
        (Some(stale), _) if !order.accept_stale => Decision::Refuse(stale),
        (None, Decision::Force(_)) if view.agents.told < view.promises() && !order.accept_stale => {
            Decision::Wait(Why::Agents)
        }
        (_, grounds) => grounds,
    }
}

/// The peer's order, where the peer has nothing to serve from and cannot go on alone.
fn borrowed(peer: &Peer) -> Option<Order> {
    peer.leans.then_some(Order { accept_stale: false })
}

/// Why these data may be stale, if anything says so.
pub fn stale(view: &View) -> Option<Stale> {
    let View { mine, agents, .. } = view;
    let Mine { claim, term, .. } = *mine;
    if mine.pristine || !mine.votes {
        return Some(Stale::NoVoter);
    }
    if mine.retired {
        return Some(Stale::Retired);
    }
    if (agents.claim, agents.term) > (claim, term) {
        return Some(Stale::AgentsKnowMore);
    }
    (agents.told < view.witnesses()).then_some(Stale::NobodyKnows)
}
