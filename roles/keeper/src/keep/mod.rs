//! One session's keeper: parent of its display server and its programs, from before the first to
//! after the last. It outlives the agent daemon.
//!
//! Owns the session's processes, PAM session, cgroup and files. Decides nothing about who may have
//! a session: it keeps what its standard input says.
//!
//! ```text
//! Plan ──start──▶ Household ──watch──▶ End ──take_down──▶ nothing is left but `ended`
//!                     │ a step failed
//!                     └──take_down──▶ nothing is left
//! ```
//!
//! Invariant: whatever ends the keeper short of SIGKILL, `Household::take_down` has run. After a
//! SIGKILL the kernel kills display server and desktop (`PR_SET_PDEATHSIG`), and whoever finds the
//! lock free removes the rest (`abide_desktop::clean_up`).

mod account;
mod control;
mod desktop;
mod display;
mod environment;
mod household;
mod memory;
mod pam;
mod plan;
mod slate;
mod start;
mod start_error;
mod vnc_password;
mod xauthority;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use abide_wire::frame;
use abide_wire::keeper::{KeeperReply, KeeperSpec, StartFailed, keeper_reply::Reply};
use nix::unistd::{dup2_stdin, dup2_stdout};

pub use plan::PlanError;
pub use start_error::StartError;

/// Why there was nothing to keep.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// No whole `KeeperSpec` came; nobody was told, and nothing was touched.
    #[error("no session was asked for")]
    NoSpec(#[source] frame::ReadError),
    /// The session could not be started; whoever asked was told, and nothing is left.
    #[error("the session could not be started")]
    Start(#[source] StartError),
}

/// Reads a `KeeperSpec` from standard input, starts the session, answers on standard output, and
/// returns when the session is over.
///
/// # Errors
/// See [`KeepError`].
pub fn run() -> Result<(), KeepError> {
    let spec: KeeperSpec = frame::read(&mut io::stdin().lock()).map_err(KeepError::NoSpec)?;
    match start::start(spec) {
        Ok(session) => {
            answer(Reply::Started(session.status().clone()));
            memory::give_back();
            session.watch();
            Ok(())
        }
        Err(error) => {
            answer(Reply::Failed(StartFailed {
                stage: error.stage().to_owned(),
                detail: error.detail(),
            }));
            Err(KeepError::Start(error))
        }
    }
}

/// Says how it went and lets go of whoever started us. If nobody is there to hear it, an agent
/// that died, the session lives on all the same.
fn answer(reply: Reply) {
    let reply = KeeperReply { reply: Some(reply) };
    let told = frame::write(&mut io::stdout().lock(), &reply);
    if let Err(error) = told.and_then(|()| detach()) {
        let _ = writeln!(io::stderr(), "Nobody heard the answer: {error}");
    }
}

fn detach() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(null.as_fd())?;
    dup2_stdout(null.as_fd())?;
    Ok(())
}
