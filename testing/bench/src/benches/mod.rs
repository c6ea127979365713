//! The benches, one a file. Each measures Abide and its references by turns, round after round, so that
//! what else the machine does hits all of them.

mod durable_write;
mod keystroke;
mod relay;
mod restart;

use std::fs;
use std::path::PathBuf;

use clap::ValueEnum;
use tokio::runtime::Runtime;

use crate::figure::Figure;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bench {
    /// CPU time and speed of the relay, against websockify and HAProxy.
    Relay,
    /// A key's way to the display server and back.
    Keystroke,
    /// Durable writes of the consensus engine, against one fsync per write.
    DurableWrite,
    /// A broker's restart with 100,000 sessions in its table.
    Restart,
}

/// Where and how to measure.
pub struct Lab {
    /// Runs what is asynchronous.
    pub runtime: Runtime,
    /// On the disk to be measured; empty at first.
    pub folder: PathBuf,
    /// How often.
    pub rounds: usize,
}

impl Bench {
    /// Its name on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Bench::Relay => "relay",
            Bench::Keystroke => "keystroke",
            Bench::DurableWrite => "durable-write",
            Bench::Restart => "restart",
        }
    }

    /// Measures.
    pub fn run(self, lab: &Lab) -> anyhow::Result<Vec<Figure>> {
        match self {
            Bench::Relay => relay::run(lab),
            Bench::Keystroke => keystroke::run(lab),
            Bench::DurableWrite => durable_write::run(lab),
            Bench::Restart => restart::run(lab),
        }
    }
}

impl Lab {
    /// A new folder of this name.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
