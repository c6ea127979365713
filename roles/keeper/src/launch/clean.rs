//! Removing what one session left, in a process of its own: killing may take seconds, in which the
//! launcher serves others.

use std::io;
use std::path::PathBuf;

use abide_desktop::{CleanUpError, SessionFolder, end_processes};
use abide_model::SessionId;
use abide_wire::frame;
use abide_wire::keeper::CleanUpReply;

/// What to remove.
#[derive(Debug, Clone)]
pub struct CleanUp {
    /// Where the sessions' folders are.
    pub run_dir: PathBuf,
    /// Whose.
    pub session: SessionId,
    /// Leave the folder: in it the agent finds that the keeper was killed.
    pub keep_folder: bool,
}

/// Removes it, and says on standard output how it went.
///
/// # Errors
/// Those of answering.
pub fn clean_up(what: &CleanUp) -> io::Result<()> {
    let session = what.session.to_string();
    let folder = SessionFolder::new(what.run_dir.join(&session));
    let removed = match what.keep_folder {
        true => end_processes(&folder, &session),
        false => abide_desktop::clean_up(&folder, &session),
    };
    let remains = match removed {
        Ok(()) => String::new(),
        Err(error @ (CleanUpError::Alive | CleanUpError::Remains(_))) => error.to_string(),
    };
    if !remains.is_empty() {
        eprintln!("Session {session} left something: {remains}");
    }
    frame::write(&mut io::stdout().lock(), &CleanUpReply { remains })
}
