//! Which life a node is in. Between two, whoever asks waits.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::life::Life;
use crate::machine::Machine;

/// The lives of one node, one at a time.
pub(crate) struct Lives<M: Machine>(watch::Sender<Phase<M>>);

enum Phase<M: Machine> {
    Lives(Arc<Life<M>>),
    /// It has ended, and another is to begin.
    Between(Arc<Life<M>>),
}

impl<M: Machine> Lives<M> {
    pub(crate) fn new(first: Life<M>) -> Self {
        Self(watch::Sender::new(Phase::Lives(Arc::new(first))))
    }

    /// The life that is, or was last.
    pub(crate) fn now(&self) -> Arc<Life<M>> {
        match &*self.0.borrow() {
            Phase::Lives(life) | Phase::Between(life) => life.clone(),
        }
    }

    /// The life that is now, or the next one; `None` if none begins in time.
    pub(crate) async fn settled(&self, deadline: Instant) -> Option<Arc<Life<M>>> {
        let mut phases = self.0.subscribe();
        let lives = phases.wait_for(|phase| matches!(phase, Phase::Lives(_)));
        match &*timeout_at(deadline, lives).await.ok()?.ok()? {
            Phase::Lives(life) => Some(life.clone()),
            Phase::Between(_) => None,
        }
    }

    /// Whether another life has begun, or is to.
    pub(crate) fn is_over(&self, life: &Arc<Life<M>>) -> bool {
        match &*self.0.borrow() {
            Phase::Lives(now) => !Arc::ptr_eq(now, life),
            Phase::Between(_) => true,
        }
    }

    /// The life that is now ends; its engine is still to be stopped.
    pub(crate) fn end(&self) -> Arc<Life<M>> {
        let life = self.now();
        self.0.send_replace(Phase::Between(life.clone()));
        life
    }

    pub(crate) fn begin(&self, next: Life<M>) {
        self.0.send_replace(Phase::Lives(Arc::new(next)));
    }
}
