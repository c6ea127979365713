//! How the group of brokers stands: who leads, who lags, how many more may be lost.
//!
//! Pure: what is known of the group goes in, what people are told comes out. The leader knows how far
//! each follower is and when it was heard; a follower knows that of the leader alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use abide_api::{Broker, BrokerRole, BrokerTiming};
use abide_model::{Table, Timing};
use abide_raft::NodeId;

/// What one node knows of the group.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// The node that tells.
    pub me: NodeId,
    /// Whether it leads, confirmed by a majority.
    pub serving: bool,
    /// Who leads, if anybody is known to.
    pub leader: Option<NodeId>,
    /// The voters; two sets while one set replaces another.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// All members, and whose node each is.
    pub members: BTreeMap<NodeId, String>,
    /// Entries that a member's log lacks. The leader's knowledge.
    pub lag: BTreeMap<NodeId, u64>,
    /// Since when a member has not answered, or the leader not spoken.
    pub silence: BTreeMap<NodeId, Duration>,
    /// Which leader spoke to this node last, and how long ago: it was asked nothing then.
    pub spoke: Option<(NodeId, Duration)>,
    /// Silence after which a member does not count.
    pub unheard: Duration,
}

impl Group {
    /// Every broker of the table, in the order of their ids.
    pub fn brokers(&self, table: &Table) -> Vec<Broker> {
        let mut brokers: Vec<_> = table
            .brokers()
            .map(|row| {
                let id = row.id.to_string();
                let node = self.node_of(&id);
                Broker {
                    url: row.public_url.clone(),
                    role: node.map_or(BrokerRole::Joining, |node| self.role(node)),
                    lag: node.and_then(|node| self.lag_of(node)),
                    last_contact_ms: node
                        .and_then(|node| self.last_contact(node))
                        .map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
                    node: node.map(|node| node.0),
                    timing: match row.timing {
                        Timing::Lan => BrokerTiming::Lan,
                        Timing::Slow => BrokerTiming::Slow,
                    },
                    clock_offset_ms: None,
                    wire: None,
                    id,
                }
            })
            .collect();
        brokers.sort_by(|a, b| a.id.cmp(&b.id));
        brokers
    }

    /// The leading broker's id. A leader that no majority confirms, or that is not heard, is none.
    pub fn leading_broker(&self) -> Option<String> {
        let leader = self.leader.filter(|leader| self.is_heard(*leader))?;
        self.members.get(&leader).cloned()
    }

    /// How many brokers vote.
    pub fn voters(&self) -> u32 {
        let voters: BTreeSet<_> = self.voters.iter().flatten().collect();
        u32::try_from(voters.len()).unwrap_or(u32::MAX)
    }

    /// How many more voters may be lost while a majority of those that are heard now stays; for each
    /// set, if there are two. None while nobody leads.
    pub fn can_lose(&self) -> u32 {
        if self.leading_broker().is_none() {
            return 0;
        }
        let margin = |set: &BTreeSet<NodeId>| {
            let heard = set.iter().filter(|node| self.is_heard(**node)).count();
            heard.saturating_sub(set.len() / 2 + 1)
        };
        let margin = self.voters.iter().map(margin).min().unwrap_or(0);
        u32::try_from(margin).unwrap_or(u32::MAX)
    }

    /// The broker's node: one that votes, or else one that is heard.
    fn node_of(&self, broker: &str) -> Option<NodeId> {
        let lives = self.members.iter().filter(|(_, name)| *name == broker).map(|(node, _)| *node);
        lives.max_by_key(|node| (self.votes(*node), self.is_heard(*node)))
    }

    fn role(&self, node: NodeId) -> BrokerRole {
        match node {
            _ if !self.is_heard(node) => BrokerRole::Unreachable,
            _ if self.leader == Some(node) => BrokerRole::Leader,
            _ if self.votes(node) => BrokerRole::Follower,
            _ => BrokerRole::Learner,
        }
    }

    fn votes(&self, node: NodeId) -> bool {
        self.voters.iter().any(|set| set.contains(&node))
    }

    fn lag_of(&self, node: NodeId) -> Option<u64> {
        if self.leader == Some(node) { Some(0) } else { self.lag.get(&node).copied() }
    }

    /// How long ago a node was heard in any way. One that has just led, and died, was not asked before: that
    /// it answers nothing is no matter of its age.
    fn last_contact(&self, node: NodeId) -> Option<Duration> {
        let spoke = self.spoke.filter(|(leader, _)| *leader == node).map(|(_, ago)| ago);
        self.silence_of(node).into_iter().chain(spoke).min()
    }

    fn silence_of(&self, node: NodeId) -> Option<Duration> {
        if node == self.me { Some(Duration::ZERO) } else { self.silence.get(&node).copied() }
    }

    /// Whoever nothing is known of gets the benefit of the doubt, except from the leader, who knows
    /// everybody.
    fn is_heard(&self, node: NodeId) -> bool {
        let leads = self.leader == Some(self.me);
        if node == self.me {
            return !leads || self.serving;
        }
        self.silence_of(node).map_or(!leads, |silence| silence < self.unheard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

    /// Three voters as the first, their leader, sees them; each heard so many ms ago.
    fn three(heard: [Option<u64>; 2]) -> Group {
        let silence = NODES[1..].iter().zip(heard);
        Group {
            me: NODES[0],
            serving: true,
            leader: Some(NODES[0]),
            voters: vec![NODES.into()],
            members: NODES.map(|node| (node, format!("broker{}", node.0))).into(),
            lag: [(NODES[1], 0), (NODES[2], 7)].into(),
            silence: silence
                .filter_map(|(node, ms)| Some((*node, Duration::from_millis(ms?))))
                .collect(),
            spoke: None,
            unheard: Duration::from_secs(2),
        }
    }

    #[test]
    fn the_margin_counts_only_those_that_are_heard() {
        for (heard, expected) in [
            ([Some(10), Some(20)], 1),
            ([Some(10), Some(9000)], 0),
            ([Some(10), None], 0),
            ([None, None], 0),
        ] {
            assert_eq!(three(heard).can_lose(), expected, "{heard:?}");
        }
    }

    #[test]
    fn a_leader_that_just_died_was_heard_when_it_spoke_last_and_does_not_count() {
        let seconds = Duration::from_secs;
        let heard =
            |group: &Group| NODES.map(|node| group.last_contact(node).map(|it| it.as_secs()));
        let group =
            Group { spoke: Some((NODES[2], seconds(1))), ..three([Some(10), Some(600_000)]) };
        assert_eq!(heard(&group), [Some(0), Some(0), Some(1)]);
        assert_eq!((group.role(NODES[2]), group.can_lose()), (BrokerRole::Unreachable, 0));
        let group = Group { spoke: Some((NODES[2], seconds(1))), ..three([Some(10), None]) };
        assert_eq!((heard(&group)[2], group.role(NODES[2])), (Some(1), BrokerRole::Unreachable));
        let group = Group { spoke: Some((NODES[2], seconds(900))), ..group };
        let group = Group { silence: [(NODES[2], seconds(3))].into(), ..group };
        assert_eq!(heard(&group)[2], Some(3), "what came last counts");
    }

    #[test]
    fn five_may_lose_two_and_one_may_lose_none() {
        let nodes: Vec<_> = (1..=5).map(NodeId).collect();
        let of = |count: usize| Group {
            me: nodes[0],
            serving: true,
            leader: Some(nodes[0]),
            voters: vec![nodes[..count].iter().copied().collect()],
            members: nodes[..count].iter().map(|it| (*it, it.0.to_string())).collect(),
            silence: nodes[..count].iter().map(|it| (*it, Duration::ZERO)).collect(),
            unheard: Duration::from_secs(2),
            ..Group::default()
        };
        assert_eq!([1, 2, 3, 4, 5].map(|count| of(count).can_lose()), [0, 0, 1, 1, 2]);
    }

    #[test]
    fn while_one_set_of_voters_replaces_another_both_count() {
        let mut group = three([Some(10), Some(10)]);
        group.voters.push([NODES[0], NODES[1]].into());
        assert_eq!(group.can_lose(), 0);
        assert_eq!(group.voters(), 3);
    }

    #[test]
    fn a_leader_that_no_majority_confirms_leads_nobody() {
        let group = Group { serving: false, ..three([Some(10), Some(10)]) };
        assert_eq!((group.leading_broker(), group.can_lose()), (None, 0));
        assert_eq!(group.role(NODES[0]), BrokerRole::Unreachable);
    }

    #[test]
    fn roles_go_by_votes_and_by_being_heard() {
        let mut group = three([Some(10), Some(9000)]);
        group.members.insert(NodeId(9), "broker3".to_owned());
        let roles = NODES.map(|node| group.role(node));
        assert_eq!(roles, [BrokerRole::Leader, BrokerRole::Follower, BrokerRole::Unreachable]);
        // While a broker is back under a new node id its old one still votes.
        assert_eq!(group.node_of("broker3"), Some(NODES[2]));
        group.silence.insert(NodeId(9), Duration::ZERO);
        assert_eq!(group.role(NodeId(9)), BrokerRole::Learner);
        assert_eq!(group.node_of("broker4"), None);
    }

    #[test]
    fn a_follower_doubts_nobody_whom_it_cannot_know() {
        let group = Group {
            me: NODES[1],
            serving: false,
            silence: [(NODES[0], Duration::ZERO)].into(),
            ..three([None, None])
        };
        assert_eq!(group.leading_broker().as_deref(), Some("broker1"));
        assert_eq!(group.can_lose(), 1);
        let silence = [(NODES[0], Duration::from_secs(9))].into();
        assert_eq!(Group { silence, ..group.clone() }.leading_broker(), None);
        assert_eq!(group.role(NODES[2]), BrokerRole::Follower);
    }
}
