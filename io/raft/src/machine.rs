//! The border to what is replicated: a pure function from commands to outcomes, and its bytes.

use std::error::Error;
use std::fmt::Debug;
use std::io::{self, Read, Write};

/// A command that some of the group could not read yet, in words for people. It is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EncodeError(pub String);

/// A logged command that this version cannot read.
///
/// The engine stops on it: a node that skipped a command would differ from the others for ever.
#[derive(Debug, thiserror::Error)]
#[error("cannot read a logged command")]
pub struct DecodeError(#[source] pub Box<dyn Error + Send + Sync>);

/// A snapshot that this version cannot read, though its checksum is right.
#[derive(Debug, thiserror::Error)]
#[error("cannot read a snapshot's contents")]
pub struct RestoreError(#[source] pub Box<dyn Error + Send + Sync>);

impl From<io::Error> for RestoreError {
    fn from(cause: io::Error) -> Self {
        Self(Box::new(cause))
    }
}

/// What is replicated.
///
/// `apply` decides from the state and the command alone: no clock, no chance, nothing outside. Every
/// node applies the same commands in the same order and must reach the same state.
///
/// `Clone` must be cheap (a few pointers, as with `imbl`'s maps): a clone is published after every
/// applied batch, and another is taken for every snapshot.
pub trait Machine: Clone + Send + Sync + 'static {
    /// One change, complete with every id and time it needs.
    type Command: Clone + Debug + Send + Sync + 'static;
    /// What became of it, for whoever proposed it.
    type Outcome: Clone + Send + Sync + 'static;

    /// The command's bytes, as they stand in the log and go over the network: in a form that all nodes read
    /// which have come to this state.
    ///
    /// # Errors
    /// There is none yet.
    fn encode(&self, command: &Self::Command) -> Result<Vec<u8>, EncodeError>;

    /// The opposite of [`encode`](Self::encode), also for bytes that an older version wrote.
    ///
    /// # Errors
    /// The bytes are not a command that this version knows.
    fn decode(bytes: &[u8]) -> Result<Self::Command, DecodeError>;

    /// A quick look at whether this version reads a command and what comes after it. Asked before a data
    /// folder is used and before an entry is stored, so that an older version changes nothing in data that
    /// it does not understand.
    ///
    /// # Errors
    /// It does not.
    fn check(bytes: &[u8]) -> Result<(), DecodeError>;

    /// Whether the command may use the disk's last reserve (see [`Reserve`](crate::Reserve)).
    ///
    /// Say yes to what records facts that already happened or gives something back: they are few,
    /// cannot be refused without the table becoming wrong, and make room. Say no to what begins
    /// something new.
    fn is_essential(command: &Self::Command) -> bool;

    /// Takes one step.
    fn apply(&mut self, command: Self::Command) -> Self::Outcome;

    /// Writes the whole state. Runs on a clone in a thread of its own while the original goes on.
    ///
    /// # Errors
    /// Only those of `out`.
    fn freeze(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Reads what [`freeze`](Self::freeze) wrote, to the end.
    ///
    /// # Errors
    /// Those of `from`, or contents that this version does not know.
    fn restore(from: &mut dyn Read) -> Result<Self, RestoreError>;
}
