//! Letting go of the lead, in favour of another voter. openraft 0.9 has no word for it.
//!
//! ```text
//! hold new changes ─▶ the others have all of the log ─▶ be silent ─▶ another stands, and gets this vote
//! ```
//! What is held waits, and is answered by the other.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tracing::info;

use crate::leadership::Leadership;
use crate::machine::Machine;
use crate::raft::Raft;

/// How long the others may take to have what is in the log by now.
const CATCH_UP: Duration = Duration::from_millis(500);

impl<M: Machine> Raft<M> {
    /// Has another voter lead instead. Whether one does.
    pub async fn yield_lead(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut leadership = self.leadership();
        if is_led(&leadership.borrow()) {
            return true;
        }
        let network = &self.parts().network;
        // Those that are on their way end first, and new ones wait.
        let Ok(_held) = timeout(CATCH_UP, self.gate().write()).await else { return false };
        self.others_have_all().await;
        network.set_yields(true);
        let other = timeout_at(deadline, leadership.wait_for(is_led)).await;
        let other = matches!(other, Ok(Ok(_)));
        network.set_yields(false);
        info!(other, "Let go of the lead");
        other
    }

    /// One whose log ends earlier would not get this node's vote. Best effort: it may be gone.
    async fn others_have_all(&self) {
        let me = self.node();
        let mut metrics = self.engine().metrics();
        let all = metrics.wait_for(|now| {
            let mut others = now.replication.iter().flatten().filter(|(node, _)| **node != me);
            others.all(|(_, matched)| matched.map(|at| at.index) >= now.last_log_index)
        });
        let _ = timeout(CATCH_UP, all).await;
    }
}

/// Whether somebody else leads.
fn is_led(now: &Leadership) -> bool {
    now.leader.as_ref().is_some_and(|(leader, _)| *leader != now.me)
}
