//! Two brokers under a cluster manager.

use abide_checkup::{Finding, Report, Unit, reached};
use abide_pair::Takeover;

use crate::ha::{Code, Order, Reply, ask};
use crate::settings::{PairSettings, Settings};

const PLACE: &str = "[pair]";
/// Managers that take over without proof that the other host is down.
const CANNOT_FENCE: [&str; 2] = ["heartbeat.service", "keepalived.service"];

/// What is said in the files and units, whether the broker runs or not.
pub(super) fn settings(settings: &Settings, report: &mut Report) {
    let Some(pair) = &settings.pair else { return };
    if settings.service_address.is_some() {
        report.add(Finding::wrong(
            "[service_address]",
            "two brokers cannot decide who holds it: in a pair the cluster manager moves the address",
            "take the section out, and give the address to the manager; see pair.md",
        ));
    }
    let manager = CANNOT_FENCE.into_iter().find(|name| Unit::look(name).is_active());
    report.add(takeover(pair, manager));
}

fn takeover(pair: &PairSettings, manager: Option<&str>) -> Finding {
    match (pair.policy.takeover, manager) {
        (Takeover::Fenced, Some(manager)) => Finding::warning(
            PLACE,
            format!(
                "takeover = \"fenced\" waits for proof, and {manager} gives none: when the other host \
                     dies, nothing is started until a person says so"
            ),
            "use takeover = \"unfenced\" on both, or a manager that fences; see pair.md",
        ),
        (Takeover::Fenced, None) => Finding::fine(PLACE, "goes on alone on proof only"),
        (Takeover::Unfenced, _) => Finding::fine(PLACE, "goes on alone after silence"),
    }
}

/// What the broker that runs here says of itself and its peer.
pub(super) async fn standing(settings: &Settings, report: &mut Report) {
    let Some(pair) = &settings.pair else { return };
    report.add(match reached(&pair.peer).await {
        Ok(()) => Finding::fine(&pair.peer, "the peer can be reached"),
        Err(error) => Finding::warning(
            &pair.peer,
            format!("the peer cannot be reached: {error}"),
            "see whether it runs, and whether a firewall is between",
        ),
    });
    judge(&ask(settings, Order::Status).await).into_iter().for_each(|it| report.add(it));
}

fn judge(reply: &Reply) -> Vec<Finding> {
    const PLACE: &str = "abide ha status";
    let state = match reply.code {
        Code::Serves | Code::Follower => Finding::fine(PLACE, &reply.text),
        Code::Learner => Finding::warning(PLACE, &reply.text, "wait: it catches up by itself"),
        _ => Finding::wrong(PLACE, &reply.text, "see pair.md, which has the ways out"),
    };
    let warnings = reply.details["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.filter_map(serde_json::Value::as_str);
    let warnings = warnings.map(|it| Finding::warning(PLACE, it, "see pair.md"));
    std::iter::once(state).chain(warnings).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use abide_checkup::Grade;
    use abide_pair::Policy;

    use super::*;

    #[test]
    fn a_manager_that_cannot_fence_is_told_of() {
        let pair = |takeover| PairSettings {
            peer: "host2:7443".into(),
            policy: Policy { takeover, peer_timeout: Duration::from_secs(1) },
        };
        let keepalived = Some("keepalived.service");
        assert_eq!(takeover(&pair(Takeover::Fenced), keepalived).grade, Grade::Warning);
        assert_eq!(takeover(&pair(Takeover::Fenced), None).grade, Grade::Fine);
        assert_eq!(takeover(&pair(Takeover::Unfenced), keepalived).grade, Grade::Fine);
    }

    #[test]
    fn what_the_broker_warns_of_is_told() {
        let reply = Reply {
            details: serde_json::json!({ "warnings": ["the peer is gone"] }),
            ..Reply::new(Code::Serves, "leader")
        };
        let found = judge(&reply);
        assert_eq!(found[0].grade, Grade::Fine);
        assert_eq!((found[1].grade, found[1].what.as_str()), (Grade::Warning, "the peer is gone"));
        assert_eq!(judge(&Reply::new(Code::Stale, "stale"))[0].grade, Grade::Wrong);
        assert_eq!(judge(&Reply::new(Code::Learner, "learner"))[0].grade, Grade::Warning);
    }
}
