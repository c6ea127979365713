//! Doing to a cluster what a scenario says, and undoing it.

use anyhow::{Context, ensure};

use crate::cluster::Lab;
use crate::faults::Fault;
use crate::network::Host;
use crate::scenario::Act;

/// A cluster that things are done to.
#[derive(Debug)]
pub struct Stage {
    /// The cluster.
    pub lab: Lab,
    /// A broker that is down and is to come back.
    down: Option<usize>,
}

impl Stage {
    /// All is well.
    pub fn new(lab: Lab) -> Self {
        Self { lab, down: None }
    }

    /// The index of the broker with this id.
    ///
    /// # Errors
    /// When it is none of the cluster's.
    pub fn broker(&self, id: &str) -> anyhow::Result<usize> {
        ensure!(self.lab.cluster.broker().id == id, "no broker of this cluster has the id {id}");
        Ok(0)
    }

    /// Does it; returns when it is over, but for a broker that only [`Stage::restore`] brings back.
    /// One that is `alone` comes back at once.
    ///
    /// # Errors
    /// When it cannot be done.
    pub async fn play(&mut self, act: Act, victim: usize, alone: bool) -> anyhow::Result<()> {
        let host = self.lab.brokers().get(victim).copied().context("no such broker")?;
        match act {
            Act::Kill(_) => self.lab.cluster.kill_broker(),
            Act::Stop(_) => self.lab.cluster.stop_broker(),
            Act::RollingRestart => return self.restart_all().await,
            _ => {
                let faults = self.faults(act, host)?;
                tokio::time::sleep(duration(act)).await;
                drop(faults);
                return Ok(());
            }
        }
        self.down = Some(victim);
        if alone { self.restore().await } else { Ok(()) }
    }

    /// Brings back what is down; returns when it serves.
    ///
    /// # Errors
    /// When it does not.
    pub async fn restore(&mut self) -> anyhow::Result<()> {
        if self.down.take().is_some() {
            self.lab.cluster.start_broker().await?;
        }
        Ok(())
    }

    async fn restart_all(&mut self) -> anyhow::Result<()> {
        for _ in self.lab.brokers() {
            self.lab.cluster.stop_broker();
            self.lab.cluster.start_broker().await?;
        }
        Ok(())
    }

    fn faults(&self, act: Act, host: Host) -> anyhow::Result<Vec<Fault>> {
        Ok(match act {
            Act::Freeze(..) => {
                let pid = self.lab.cluster.broker().pid().context("the broker does not run")?;
                vec![Fault::frozen(pid)?]
            }
            Act::Unplug(..) => vec![Fault::unplugged(host)?],
            Act::Cut(_, way, _) => vec![Fault::cut(host, way)?],
            Act::CutFromAgent(..) => vec![Fault::between(host, self.lab.agent(0))?],
            Act::Loss(percent, _) => {
                let brokers = self.lab.brokers();
                brokers.into_iter().map(|it| Fault::loss(it, percent)).collect::<Result<_, _>>()?
            }
            Act::Kill(_) | Act::Stop(_) | Act::RollingRestart => Vec::new(),
        })
    }
}

fn duration(act: Act) -> std::time::Duration {
    match act {
        Act::Freeze(_, time)
        | Act::Unplug(_, time)
        | Act::Cut(_, _, time)
        | Act::CutFromAgent(_, time)
        | Act::Loss(_, time) => time,
        Act::Kill(_) | Act::Stop(_) | Act::RollingRestart => std::time::Duration::ZERO,
    }
}
