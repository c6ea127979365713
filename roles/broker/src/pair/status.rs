//! How this node stands, in one line and one number.

use std::time::Duration;

use abide_pair::{Policy, Standing, Takeover, View, stale};
use serde_json::json;

use crate::broker::Broker;
use crate::ha::{Code, Reply};

/// For a broker that is none of a pair: the policy is never asked for.
pub(super) const NO_PAIR: Policy =
    Policy { takeover: Takeover::Fenced, peer_timeout: Duration::from_secs(1) };

/// The answer to `abide ha status`.
pub(super) fn reply(broker: &Broker, view: &View) -> Reply {
    let (code, state) = state(view);
    let record = broker.pair.record();
    let active = record.is_ordered();
    let told = broker.pair.told();
    let leadership = broker.raft.leadership().borrow().clone();
    let leader = leadership.leader.map(|(_, peer)| peer.name);
    let status = broker.raft.status();
    let warnings = warnings(broker, view);
    let stale = stale(view).filter(|_| code == Code::Stale).map(|it| it.to_string());
    let mut text = format!("{state} {}", if active { "active" } else { "passive" });
    text += &format!(" generation {}", view.mine.claim.generation);
    if broker.pair.settings().is_some() {
        text += if told.answers() { ", peer answers" } else { ", peer does not answer" };
    }
    for more in stale.iter().chain(&warnings) {
        text += "; ";
        text += more;
    }
    let details = json!({
        "state": state,
        "code": u8::from(code),
        "active": active,
        "broker": broker.id.to_string(),
        "leader": leader,
        "term": leadership.term,
        "generation": view.mine.claim.generation,
        "claimant": view.mine.claim.claimant,
        "node": broker.raft.node().0,
        "votes": view.mine.votes,
        "voters": status.members.voters.iter().flatten().count(),
        "silent_ms": match view.standing {
            Standing::Alone { silent } => Some(silent.as_millis()),
            Standing::Leads | Standing::Follows | Standing::Learns => None,
        },
        "quorum_age_ms": broker.raft.quorum_age().map(|age| age.as_millis()),
        "applied": status.applied,
        "log": status.log,
        "retired": view.mine.retired,
        "stale": stale,
        "peer": broker.pair.settings().map(|settings| json!({
            "address": settings.peer,
            "answers": told.answers(),
            "heard_ms_ago": told.at.map(|at| at.elapsed().as_millis()),
            "generation": told.greeting.map(|it| it.generation),
            "claimant": told.greeting.map(|it| it.claimant),
            "node": told.greeting.map(|it| it.node),
            "active": told.greeting.map(|it| it.ordered),
            "retired": record.peer_retired.is_some(),
        })),
        "takeover": broker.pair.settings().map(|it| match it.policy.takeover {
            Takeover::Fenced => "fenced",
            Takeover::Unfenced => "unfenced",
        }),
        "warnings": warnings,
    });
    Reply { code, text, details }
}

fn state(view: &View) -> (Code, &'static str) {
    match view.standing {
        Standing::Leads => (Code::Serves, "leader"),
        Standing::Follows => (Code::Follower, "follower"),
        Standing::Learns => (Code::Learner, "learner"),
        Standing::Alone { .. } if view.mine.pristine && view.peer.answers => {
            (Code::Learner, "learner")
        }
        Standing::Alone { .. } if stale(view).is_some() => (Code::Stale, "stale"),
        Standing::Alone { .. } => (Code::NoQuorum, "no-quorum"),
    }
}

fn warnings(broker: &Broker, view: &View) -> Vec<String> {
    let Some(settings) = broker.pair.settings() else { return Vec::new() };
    let mut warnings = Vec::new();
    if settings.policy.takeover == Takeover::Fenced && !broker.pair.record().proof_seen {
        warnings.push(
            "takeover = \"fenced\", and nobody has ever proven here that the peer is down: a cluster \
             manager that cannot fence leaves this node waiting when it is"
                .to_owned(),
        );
    }
    let silent = match view.standing {
        Standing::Alone { silent } => Some(silent),
        Standing::Leads | Standing::Follows | Standing::Learns => None,
    };
    let waits = silent.is_some_and(|silent| silent >= view.policy.peer_timeout);
    if waits && view.peer.answers && !view.mine.votes {
        warnings.push(
            "the peer answers but does not lead, so there is nobody to learn from: activate either of \
             them"
                .to_owned(),
        );
    }
    let gone = silent.is_some() && !view.peer.answers;
    let (heard, needed) = (view.agents.told, view.promises());
    if gone && heard < needed {
        warnings.push(format!("{heard} agents are heard, and {needed} must be to go on alone"));
    }
    if gone && view.order.is_none() {
        warnings.push("the peer is gone and nobody has activated this node".to_owned());
    }
    warnings
}

/// What whoever activated it is told.
pub(super) fn serves(broker: &Broker) -> String {
    let leads = broker.raft.leadership().borrow().is_serving();
    let how = if leads { "leads" } else { "follows, and passes on what the leader has to do" };
    format!("serves: this node {how}, generation {}", broker.generation())
}
