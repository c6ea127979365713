//! A voter in a process of its own, which ends with the bench.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use abide_raft::{Formation, NodeId, Peer};
use abide_tls::Identity;
use anyhow::{Context, bail};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::member::Member;
use crate::program::Program;

const NODE: &str = "node";

/// The process, as the bench sees it.
pub struct Apart {
    pub node: NodeId,
    pub peer: Peer,
    pub program: Program,
}

impl Apart {
    /// Starts it on this folder, which holds its identity; returns when it can be reached.
    pub fn start(folder: &Path, address: SocketAddr) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--voter").arg(folder).args(["--address", &address.to_string()]);
        let log = folder.join("log");
        let mut program = Program::start(&mut command, &log)?;
        let node = || fs::read_to_string(folder.join(NODE)).ok()?.trim().parse().ok();
        let node = program.until(node).with_context(|| {
            format!("a voter said: {}", fs::read_to_string(&log).unwrap_or_default())
        })?;
        let peer = Peer { address: address.to_string(), ..Peer::default() };
        Ok(Self { node: NodeId(node), peer, program })
    }
}

/// What that process does: it waits until a leader takes it in, and takes part.
pub fn run(folder: &Path, address: SocketAddr) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let identity = Identity::load(&folder.join("identity"))?;
        let data = folder.join("data");
        let member = Member::start(&identity, &data, address, Formation::Join).await?;
        // Read by the bench as soon as it is there, so it must be there whole.
        let (new, node) = (folder.join("node.new"), folder.join(NODE));
        fs::write(&new, member.raft.node().0.to_string())?;
        fs::rename(new, node)?;
        bail!(member.raft.failed().await)
    })
}
