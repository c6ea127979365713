//! Doing to a cluster what a scenario says, and undoing it.

use std::time::{Duration, Instant};

use abide_cluster::until;
use anyhow::Context;

use crate::cluster::Lab;
use crate::faults::{Fault, Way};
use crate::network::Host;
use crate::scenario::Act;

/// What a leader logs when another broker carries its line to an agent.
const CARRIES: &str = "Agent is spoken to through another broker";
const CARRIES_WITHIN: Duration = Duration::from_secs(10);

/// A fault that has happened.
#[derive(Debug)]
pub struct Struck {
    /// When.
    pub at: Instant,
    /// What lasts.
    faults: Vec<Fault>,
    /// How much the victim had logged by then, bytes.
    logged: usize,
    victim: usize,
}

/// A cluster that things are done to.
#[derive(Debug)]
pub struct Stage {
    /// The cluster.
    pub lab: Lab,
    /// The agent that is cut off from one broker, from 0.
    pub apart: u8,
    /// A broker that is down and is to come back.
    down: Option<usize>,
}

impl Stage {
    /// All is well.
    pub fn new(lab: Lab) -> Self {
        Self { lab, apart: 0, down: None }
    }

    /// Does it; returns when it has happened, with the moment from which its cost counts: for a
    /// process the signal, for a line when nothing goes through it any more. What happens between
    /// that moment and the return is not probed, so that nothing from before the fault counts.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn strike(&mut self, act: Act, victim: usize) -> anyhow::Result<Struck> {
        let host = self.lab.brokers().get(victim).copied().context("no such broker")?;
        let logged = self.log(victim)?.len();
        let signalled = Instant::now();
        match act {
            Act::Kill(_) => self.lab.cluster.kill_broker(victim),
            Act::Stop(_) => self.lab.cluster.stop_broker(victim),
            Act::RollingRestart => {}
            _ => {
                let faults = self.faults(act, victim, host)?;
                return Ok(Struck { at: Instant::now(), faults, logged, victim });
            }
        }
        self.down = (act != Act::RollingRestart).then_some(victim);
        Ok(Struck { at: signalled, faults: Vec::new(), logged, victim })
    }

    /// Lets it last as long as it is to last, and ends it; but a broker that is down stays so until
    /// [`Stage::restore`], if it is not `alone`.
    ///
    /// # Errors
    /// When a broker does not come back.
    pub async fn last(&mut self, act: Act, struck: Struck, alone: bool) -> anyhow::Result<()> {
        if act == Act::RollingRestart {
            return self.restart_all().await;
        }
        if let Act::KillCarrier(_) = act {
            let carrier = self.carrier(&struck).await?;
            self.lab.cluster.kill_broker(carrier);
            self.down = Some(carrier);
        }
        tokio::time::sleep_until((struck.at + duration(act)).into()).await;
        drop(struck.faults);
        if alone { self.restore().await } else { Ok(()) }
    }

    /// Brings back what is down; returns when every broker counts again.
    ///
    /// # Errors
    /// When one does not.
    pub async fn restore(&mut self) -> anyhow::Result<()> {
        if let Some(broker) = self.down.take() {
            self.lab.cluster.start_broker(broker).await?;
        }
        self.lab.settle().await
    }

    /// Through which broker the victim came to speak with an agent.
    async fn carrier(&self, struck: &Struck) -> anyhow::Result<usize> {
        until("a broker carries", CARRIES_WITHIN, async || {
            let log = self.log(struck.victim).ok()?;
            let line = log.get(struck.logged..)?.lines().find(|line| line.contains(CARRIES))?;
            let brokers = self.lab.cluster.brokers();
            brokers.iter().position(|broker| line.contains(&format!("via={}", broker.id)))
        })
        .await
    }

    fn log(&self, broker: usize) -> anyhow::Result<String> {
        let log = self.lab.cluster.brokers()[broker].dir.join("broker.log");
        Ok(String::from_utf8_lossy(&std::fs::read(log)?).into_owned())
    }

    async fn restart_all(&mut self) -> anyhow::Result<()> {
        for broker in 0..self.lab.brokers().len() {
            self.lab.cluster.stop_broker(broker);
            self.lab.cluster.start_broker(broker).await?;
            self.lab.settle().await?;
        }
        Ok(())
    }

    fn faults(&self, act: Act, victim: usize, host: Host) -> anyhow::Result<Vec<Fault>> {
        Ok(match act {
            Act::Freeze(..) => {
                let broker = &self.lab.cluster.brokers()[victim];
                let pid = broker.pid().context("the broker does not run")?;
                vec![Fault::frozen(pid)?]
            }
            Act::Unplug(..) => vec![Fault::unplugged(host)?],
            Act::Cut(_, way, _) => vec![Fault::cut(host, way)?],
            Act::CutFromAgent(_, way, _) => {
                let agent = self.lab.agent(self.apart);
                vec![match way {
                    Way::Both => Fault::between(host, agent)?,
                    Way::Deaf => Fault::one_way(agent, host)?,
                    Way::Mute => Fault::one_way(host, agent)?,
                }]
            }
            Act::KillCarrier(_) => vec![Fault::between(host, self.lab.agent(self.apart))?],
            Act::Loss(percent, _) => {
                let brokers = self.lab.brokers();
                brokers.into_iter().map(|it| Fault::loss(it, percent)).collect::<Result<_, _>>()?
            }
            Act::Kill(_) | Act::Stop(_) | Act::RollingRestart => Vec::new(),
        })
    }
}

/// How long it lasts.
pub fn duration(act: Act) -> Duration {
    match act {
        Act::Freeze(_, time)
        | Act::Unplug(_, time)
        | Act::Cut(_, _, time)
        | Act::CutFromAgent(_, _, time)
        | Act::KillCarrier(time)
        | Act::Loss(_, time) => time,
        Act::Kill(_) | Act::Stop(_) | Act::RollingRestart => Duration::ZERO,
    }
}
