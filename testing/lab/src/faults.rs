//! What can go wrong with hosts, links and processes. Each fault is over when it is dropped.
//!
//! Frames are dropped where they enter a network card (nft, `netdev` ingress): at the host's own
//! card for what it is to receive, at the switch's port for what it has sent.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::ip::{ip, nft};
use crate::network::{Host, SWITCH};

/// Names the rules of each fault.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Which way nothing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Neither.
    Both,
    /// The host can send, not receive.
    Deaf,
    /// The host can receive, not send.
    Mute,
}

/// A fault that lasts until it is dropped.
#[must_use = "a fault is over when it is dropped"]
#[derive(Debug, Default)]
pub struct Fault {
    undo: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    Rules { namespace: String, table: String },
    Port(String),
    Continue(Pid),
}

impl Fault {
    /// The cable is out: the card has no carrier.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn unplugged(host: Host) -> anyhow::Result<Self> {
        ip(&format!("-n {SWITCH} link set {} down", host.port()))?;
        Ok(Self { undo: vec![Undo::Port(host.port())] })
    }

    /// Frames vanish, this way; the card notices nothing.
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn cut(host: Host, way: Way) -> anyhow::Result<Self> {
        let mut fault = Self::default();
        if way != Way::Mute {
            fault.drop_at(&host.namespace(), "eth0", "")?;
        }
        if way != Way::Deaf {
            fault.drop_at(SWITCH, &host.port(), "")?;
        }
        Ok(fault)
    }

    /// Frames between these two vanish, both ways.
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn between(one: Host, other: Host) -> anyhow::Result<Self> {
        let mut fault = Self::one_way(one, other)?;
        fault.undo.append(&mut Self::one_way(other, one)?.undo);
        Ok(fault)
    }

    /// Frames from one to the other vanish; the other way they go.
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn one_way(from: Host, to: Host) -> anyhow::Result<Self> {
        let mut fault = Self::default();
        fault.drop_at(&to.namespace(), "eth0", &format!("ether saddr {}", from.mac()))?;
        Ok(fault)
    }

    /// So many frames of a hundred vanish, of those it sends and of those it is to receive.
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn loss(host: Host, percent: u8) -> anyhow::Result<Self> {
        let mut fault = Self::default();
        let some = format!("numgen random mod 100 < {percent}");
        fault.drop_at(&host.namespace(), "eth0", &some)?;
        fault.drop_at(SWITCH, &host.port(), &some)?;
        Ok(fault)
    }

    /// The process stands still (SIGSTOP), and goes on (SIGCONT) when this is dropped.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn frozen(pid: u32) -> anyhow::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, Signal::STOP)?;
        Ok(Self { undo: vec![Undo::Continue(pid)] })
    }

    fn drop_at(&mut self, namespace: &str, device: &str, what: &str) -> anyhow::Result<()> {
        let table = format!("fault{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let rules = format!(
            "table netdev {table} {{\n chain in {{\n type filter hook ingress device {device} \
             priority 0;\n {what} drop\n }}\n}}\n"
        );
        nft(namespace, &rules)?;
        self.undo.push(Undo::Rules { namespace: namespace.to_owned(), table });
        Ok(())
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        for undo in self.undo.drain(..) {
            // What cannot be undone goes with the world, and the round that needed it fails.
            let _ = match undo {
                Undo::Rules { namespace, table } => {
                    nft(&namespace, &format!("delete table netdev {table}\n"))
                }
                Undo::Port(port) => ip(&format!("-n {SWITCH} link set {port} up")),
                Undo::Continue(pid) => kill_process(pid, Signal::CONT).map_err(Into::into),
            };
        }
    }
}
