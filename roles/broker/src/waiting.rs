//! Which sessions requests wait for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use abide_model::SessionId;

/// How many requests wait for each session.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<HashMap<SessionId, u32>>);

/// One request's waiting; over when it is dropped.
#[derive(Debug)]
pub struct Wait<'a> {
    all: &'a Waiting,
    session: SessionId,
}

impl Waiting {
    /// A request begins to wait.
    pub fn wait_for(&self, session: SessionId) -> Wait<'_> {
        *self.lock().entry(session).or_default() += 1;
        Wait { all: self, session }
    }

    /// Whether any request does.
    pub fn is_waited_for(&self, session: SessionId) -> bool {
        self.lock().contains_key(&session)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, u32>> {
        // Counts are changed one entry at a time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait<'_> {
    /// For which session.
    pub fn session(&self) -> SessionId {
        self.session
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(count) = all.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.session);
            }
        }
    }
}
