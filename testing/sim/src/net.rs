//! The wires: who reaches whom, how late, and how often.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::world::World;

/// Who is at the end of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A broker's host.
    Broker(usize),
    /// A desktop host.
    Agent(usize),
    /// A person's machine. It reaches everybody who is up.
    User,
}

/// The wires of one run.
#[derive(Default)]
pub struct Net(Mutex<State>);

#[derive(Default)]
struct State {
    /// One way each.
    cut: BTreeSet<(End, End)>,
    loss_per_mille: u32,
    slow: bool,
}

impl Net {
    /// Cuts these ways, each one way.
    pub fn cut(&self, ways: &[(End, End)]) {
        self.state().cut.extend(ways);
    }

    /// Mends them.
    pub fn mend(&self, ways: &[(End, End)]) {
        self.state().cut.retain(|way| !ways.contains(way));
    }

    /// Mends everything.
    pub fn heal(&self) {
        *self.state() = State::default();
    }

    /// From now on loses so many of a thousand messages, and delays them much if `slow`.
    pub fn trouble(&self, loss_per_mille: u32, slow: bool) {
        let mut state = self.state();
        (state.loss_per_mille, state.slow) = (loss_per_mille, slow);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Carries one message. `None` if it is lost; each takes its own time, so they overtake one another.
    pub async fn carry(&self, from: End, to: End) -> Option<()> {
        let (cut, loss, slow) = {
            let state = self.net.state();
            (state.cut.contains(&(from, to)), state.loss_per_mille, state.slow)
        };
        if cut || self.chance.per_mille(loss) {
            return None;
        }
        let late = match (slow, self.chance.below(20)) {
            (true, 0) => self.chance.millis(20, 400),
            (true, _) => self.chance.millis(1, 40),
            (false, _) => self.chance.millis(0, 2),
        };
        tokio::time::sleep(late).await;
        // Cut while it was on its way.
        (!self.net.state().cut.contains(&(from, to))).then_some(())
    }
}
