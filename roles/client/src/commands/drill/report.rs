//! What is told of a drill: what people would have noticed, and how the cluster stands after it.

use std::fmt;

use abide_api::Cluster;
use serde::Serialize;

use super::local::Local;
use super::probe::{Asked, Noticed};
use super::{Drill, DrillOptions, url_of};
use crate::commands::standing::margin;

/// What is told.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) drill: Drill,
    /// The broker that was hurt.
    pub(super) broker: String,
    pub(super) url: String,
    pub(super) pid: i32,
    pub(super) asked: Asked,
    #[serde(flatten)]
    pub(super) noticed: Noticed,
    pub(super) process: Process,
    /// How the cluster stands afterwards, if anybody tells.
    pub(super) cluster: Option<Cluster>,
}

/// The broker's process after the drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub(super) enum Process {
    GoesOn,
    /// Something started it, which this command never does.
    RunsAgain {
        pid: i32,
    },
    Gone,
}

impl Process {
    pub(super) fn of(before: &Local, options: &DrillOptions) -> Self {
        match Local::find(&options.identity_dir, &options.pid_file) {
            Ok(now) if now.pid() == before.pid() => Self::GoesOn,
            Ok(now) => Self::RunsAgain { pid: now.pid() },
            Err(_) => Self::Gone,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let did = match self.drill {
            Drill::LeaderKill => "The leader was killed",
            Drill::LeaderStop => "The leader was stopped in order",
            Drill::LeaderPause => "The leader stood still for ten seconds",
            Drill::FollowerKill => "A follower was killed",
        };
        writeln!(f, "{did}: {}, process {}.", self.url, self.pid)?;
        let Noticed { calls, failed, again_ms, longest_ms } = self.noticed;
        match again_ms {
            Some(again) => writeln!(f, "Whoever asked was answered again {again} ms later.")?,
            None => writeln!(f, "Nobody was answered again while this watched.")?,
        }
        writeln!(
            f,
            "Of {calls} calls for {}, {failed} failed; the longest took {longest_ms} ms.",
            self.asked
        )?;
        writeln!(
            f,
            "Not watched: logins and starts, which wait as long; desktops, which need no broker."
        )?;
        match &self.cluster {
            Some(cluster) => {
                if let Some(leader) = &cluster.leader {
                    writeln!(f, "{} leads now.", url_of(cluster, leader))?;
                }
                writeln!(f, "{}", margin(cluster))?;
            }
            None => writeln!(f, "No broker tells how the cluster stands.")?,
        }
        match self.process {
            Process::GoesOn => write!(f, "The broker of this host goes on."),
            Process::RunsAgain { pid } => {
                write!(
                    f,
                    "The broker of this host runs again, as process {pid}; not by this command."
                )
            }
            Process::Gone => {
                write!(f, "The broker of this host does not run: start it as you always do.")
            }
        }
    }
}
