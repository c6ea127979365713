//! What one turn of the owner is to do: the writes, and then the rest.

use abide_ledger::Write;
use abide_model::{Fence, SessionId};
use abide_session::{CloseReason, Row};
use tokio::sync::oneshot;

use super::doors::{Attachment, Denied};
use super::handle::Verdict;

/// Something to do once the turn's writes are durable.
pub(super) enum After {
    /// The row is durable now.
    Saved(Row),
    Report(SessionId),
    Launch(SessionId),
    CleanUp(SessionId),
    CloseViewers(SessionId, CloseReason),
    Forget(SessionId),
    Answer(oneshot::Sender<Verdict>, Verdict),
    Promised(oneshot::Sender<Fence>, Fence),
    Redeemed(oneshot::Sender<Result<(), Denied>>),
    Attached(oneshot::Sender<Result<Attachment, Denied>>, Attachment),
}

#[derive(Default)]
pub(super) struct Turn {
    pub(super) writes: Vec<Write>,
    pub(super) after: Vec<After>,
}

impl Turn {
    pub(super) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    pub(super) fn then(&mut self, after: After) {
        self.after.push(after);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.after.is_empty()
    }
}
