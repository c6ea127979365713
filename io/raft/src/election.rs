//! Decides when this node stands for election. openraft's own timers are off.
//!
//! A lone voter stands at once. Among several, a node stands when a majority of the voters, itself
//! included, has heard no leader for the lease, and none that answered has a greater (end of log, node
//! id). So one candidate stands, the best one, and a follower that comes back from a cut deposes nobody.
//! Only the moment of an election is decided here: what makes it safe stays openraft's.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use crate::ids::{NodeId, Position};
use crate::leadership::{Leadership, Role, Standing};
use crate::machine::Machine;
use crate::network::Network;
use crate::settings::Timing;
use crate::store::LogStore;
use crate::transport::Hearing;
use crate::types::RaftOf;

/// When this node last heard a leader, and which. The start counts as hearing one: before it, this node
/// may have promised its vote.
pub(crate) struct Ear(Mutex<Heard>);

struct Heard {
    at: Instant,
    leader: Option<NodeId>,
    /// Nobody has led after that leader, as far as this node knows.
    is_last: bool,
}

impl Ear {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Heard { at: Instant::now(), leader: None, is_last: false }))
    }

    /// A leader's message has come and was accepted.
    pub(crate) fn heard(&self, leader: NodeId) {
        let now = Heard { at: Instant::now(), leader: Some(leader), is_last: true };
        *self.0.lock().expect("no holder of this lock panics") = now;
    }

    /// How long ago a leader was heard.
    pub(crate) fn silence(&self) -> Duration {
        self.last().0
    }

    /// How long ago a leader was heard, and which; nobody yet since the start.
    pub(crate) fn last(&self) -> (Duration, Option<NodeId>) {
        let heard = self.0.lock().expect("no holder of this lock panics");
        (heard.at.elapsed(), heard.leader)
    }

    /// This node leads now: how long nobody did, if another node led before it.
    pub(crate) fn leads(&self) -> Option<Duration> {
        let mut heard = self.0.lock().expect("no holder of this lock panics");
        std::mem::take(&mut heard.is_last).then(|| heard.at.elapsed())
    }

    pub(crate) fn hears_leader(&self, lease: Duration) -> bool {
        !self.patience(lease).is_zero()
    }

    /// How long until the lease of the leader last heard has passed.
    fn patience(&self, lease: Duration) -> Duration {
        lease.saturating_sub(self.silence())
    }
}

/// The task that decides.
pub(crate) struct Elections<M: Machine> {
    pub(crate) raft: RaftOf<M>,
    pub(crate) log: LogStore,
    pub(crate) network: Network,
    pub(crate) ear: Arc<Ear>,
    pub(crate) standing: Standing,
    pub(crate) timing: Timing,
}

impl<M: Machine> Elections<M> {
    /// Runs until the engine stops.
    pub(crate) async fn run(self) {
        // Once openraft answers, its metrics are of this life: no round of waiting for them.
        let _ = self.raft.with_raft_state(|_| ()).await;
        let mut leadership = self.standing.leadership.clone();
        loop {
            let now = leadership.borrow_and_update().clone();
            if now.role == Role::Stopped {
                return;
            }
            if now.role == Role::Following && self.consider(&now).await {
                // Standing again before the votes are in would throw them away.
                let elected =
                    leadership.wait_for(|new| new.term > now.term && !new.is_leaderless());
                let _ = timeout(self.timing.lease / 2, elected).await;
            } else {
                let patience = self.ear.patience(self.timing.lease).max(self.timing.heartbeat / 4);
                let _ = timeout(patience, leadership.changed()).await;
            }
        }
    }

    /// Stands for election if that is right now. Says whether it did.
    async fn consider(&self, now: &Leadership) -> bool {
        let me = self.network.me.node();
        let voters: Vec<_> = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let members = metrics.membership_config.membership();
            let address = |id| members.get_node(&id).cloned().unwrap_or_default().address;
            members.voter_ids().map(|id| (id, address(id))).collect()
        };
        let yields = self.network.yields.load(Ordering::Relaxed);
        if yields || !voters.iter().any(|(id, _)| *id == me) {
            return false;
        }
        let alone = voters.len() == 1;
        if !alone {
            if self.ear.hears_leader(self.timing.lease) {
                return false;
            }
            let majority = voters.len() / 2 + 1;
            let answers = self.ask(voters).await;
            // Whoever does not answer costs time, in which another may have stood.
            let passed = self.standing.leadership.borrow().term != now.term;
            if passed || self.ear.hears_leader(self.timing.lease) {
                return false;
            }
            if !should_stand((self.log.last(), me), majority, &answers) {
                debug!(?answers, "Not standing for election");
                return false;
            }
        }
        info!(term = now.term + 1, alone, "Standing for election");
        let stands = self.raft.trigger().elect().await.is_ok();
        if stands {
            self.log.meters().stood();
        }
        stands
    }

    async fn ask(&self, voters: Vec<(NodeId, String)>) -> Vec<(NodeId, Hearing)> {
        let me = self.network.me.node();
        let mut asked = JoinSet::new();
        for (id, address) in voters.into_iter().filter(|(id, _)| *id != me) {
            let Network { me, transport, .. } = self.network.clone();
            let deadline = self.timing.heartbeat;
            asked.spawn(async move {
                let answer = transport.hearing(me.stamp(id), &address, deadline);
                let answer = timeout(deadline, answer).await.ok()?.ok()?;
                Some((id, answer))
            });
        }
        asked.join_all().await.into_iter().flatten().collect()
    }
}

/// The rule. `answers` are the other voters'; this node itself hears no leader.
fn should_stand(
    me: (Option<Position>, NodeId),
    majority: usize,
    answers: &[(NodeId, Hearing)],
) -> bool {
    let deaf = answers.iter().filter(|(_, answer)| !answer.hears_leader).count() + 1;
    deaf >= majority && answers.iter().all(|(id, answer)| (answer.last, *id) < me)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(5);

    fn at(term: u64, index: u64) -> Option<Position> {
        Some(Position { term, leader: NodeId(1), index })
    }

    fn says(id: u64, hears_leader: bool, last: Option<Position>) -> (NodeId, Hearing) {
        (NodeId(id), Hearing { hears_leader, last })
    }

    #[test]
    fn the_best_of_a_majority_without_a_leader_stands() {
        let cases = [
            ("nobody answers", vec![], false),
            ("one of three agrees", vec![says(1, false, at(1, 9))], true),
            ("one still hears the leader", vec![says(1, true, at(1, 9))], false),
            (
                "a majority hears none, the third does",
                vec![says(1, false, at(1, 9)), says(2, true, at(1, 9))],
                true,
            ),
            ("another has more log", vec![says(1, false, at(1, 11))], false),
            ("another has a later term's log", vec![says(1, false, at(2, 3))], false),
            ("as much log, a lower id", vec![says(4, false, at(1, 10))], true),
            ("as much log, a higher id", vec![says(6, false, at(1, 10))], false),
        ];
        for (case, answers, expected) in cases {
            assert_eq!(should_stand((at(1, 10), ME), 2, &answers), expected, "{case}");
        }
    }
}
