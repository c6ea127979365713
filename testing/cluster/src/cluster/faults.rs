//! Hurting the cluster: killing, stopping and freezing its daemons, losing its disks.

use anyhow::Context;
use rustix::process::Signal;

use super::Cluster;
use crate::sessions;

impl Cluster {
    /// Kills a broker (SIGKILL).
    pub fn kill_broker(&mut self, index: usize) {
        self.brokers[index].process.stop(Signal::KILL);
    }

    /// Has a broker's process stand still (SIGSTOP) until it is let go on, or killed.
    pub fn freeze_broker(&self, index: usize) {
        self.brokers[index].process.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw_broker(&self, index: usize) {
        self.brokers[index].process.signal(Signal::CONT);
    }

    /// Stops a broker in order (SIGTERM).
    pub fn stop_broker(&mut self, index: usize) {
        self.brokers[index].process.stop(Signal::TERM);
    }

    /// Kills all brokers, and takes their data folders away: what the loss of every disk leaves.
    ///
    /// # Errors
    /// When a folder cannot be removed.
    pub fn lose_the_table(&mut self) -> anyhow::Result<()> {
        for index in 0..self.brokers.len() {
            self.kill_broker(index);
        }
        for broker in &self.brokers {
            let data = broker.dir.join("data");
            std::fs::remove_dir_all(&data).with_context(|| data.display().to_string())?;
        }
        Ok(())
    }

    /// From its next start on a broker is run by this command, which must become it (`exec`).
    pub fn put_broker_under(&mut self, index: usize, command: &[impl AsRef<str>]) {
        self.brokers[index].process.put_under(command);
    }

    /// The same for an agent's daemon.
    pub fn put_agent_under(&mut self, index: usize, command: &[impl AsRef<str>]) {
        self.agents[index].process.put_under(command);
    }

    /// Kills an agent's daemon (SIGKILL). Its sessions go on.
    pub fn kill_agent(&mut self, index: usize) {
        self.agents[index].process.stop(Signal::KILL);
    }

    /// Has an agent's daemon stand still (SIGSTOP) until it is killed.
    pub fn freeze_agent(&self, index: usize) {
        self.agents[index].process.signal(Signal::STOP);
    }

    /// Stops an agent's daemon in order (SIGTERM). Its sessions go on.
    pub fn stop_agent(&mut self, index: usize) {
        self.agents[index].process.stop(Signal::TERM);
    }

    /// Kills an agent's daemon, keepers, display servers and programs, as the host's death does.
    /// Its files stay.
    pub fn kill_agent_whole(&mut self, index: usize) {
        self.kill_agent(index);
        let run_dir = self.agents[index].run_dir();
        for session in sessions::ids(&run_dir) {
            sessions::kill(&run_dir, &session);
        }
    }
}
