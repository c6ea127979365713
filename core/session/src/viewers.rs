//! Who looks at a session, and who must make room.

use std::fmt;

use abide_ticket::ViewMode;

/// More viewers of one session would cost its other viewers their pictures.
pub const MAX_VIEWERS: usize = 32;

/// One connection. Unique while the agent's daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewerId(pub u64);

/// The SHA-256 of a pass: all that the agent keeps of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassHash(pub [u8; 32]);

impl fmt::Debug for PassHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PassHash({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// A viewer that was sent away for a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evicted(pub ViewerId);

/// The session has as many viewers as it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session has {MAX_VIEWERS} viewers already")]
pub struct TooManyViewers;

/// The viewers of one session.
#[derive(Debug, Clone, Default)]
pub struct Viewers {
    /// INVARIANT: at most one in control; at most one of each pass; at most [`MAX_VIEWERS`].
    attached: Vec<Viewer>,
}

#[derive(Debug, Clone, Copy)]
struct Viewer {
    id: ViewerId,
    pass: PassHash,
    mode: ViewMode,
}

impl Viewers {
    /// Lets a viewer in. It replaces the earlier connection of its own pass, which is either dead or
    /// another tab; and if it is to have control, whoever has it.
    ///
    /// # Errors
    /// [`TooManyViewers`]; nobody was sent away then.
    pub fn attach(
        &mut self,
        id: ViewerId,
        pass: PassHash,
        mode: ViewMode,
    ) -> Result<Vec<Evicted>, TooManyViewers> {
        let gives_way = |other: &Viewer| {
            other.pass == pass || mode == ViewMode::Control && other.mode == ViewMode::Control
        };
        let staying = self.attached.iter().filter(|other| !gives_way(other)).count();
        if staying >= MAX_VIEWERS {
            return Err(TooManyViewers);
        }
        let evicted = self.attached.iter().filter(|other| gives_way(other));
        let evicted = evicted.map(|other| Evicted(other.id)).collect();
        self.attached.retain(|other| !gives_way(other));
        self.attached.push(Viewer { id, pass, mode });
        Ok(evicted)
    }

    /// A viewer has gone. One that was sent away before has gone already.
    pub fn gone(&mut self, id: ViewerId) {
        self.attached.retain(|viewer| viewer.id != id);
    }

    /// Sends away every viewer that came with one of these passes.
    pub fn revoke(&mut self, revoked: impl Fn(PassHash) -> bool) -> Vec<Evicted> {
        let gone = self.attached.iter().filter(|viewer| revoked(viewer.pass));
        let gone = gone.map(|viewer| Evicted(viewer.id)).collect();
        self.attached.retain(|viewer| !revoked(viewer.pass));
        gone
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.attached.len()
    }
}
