//! Which of two hosts people get to, while both hold the same address.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::host::Host;

/// People's computers believe this host alone when it announces the address. Dropped, they ask again who
/// has it. A line that was made before is of no use.
#[derive(Debug)]
#[must_use = "people go another way when it is dropped"]
pub struct Way(Ipv4Addr);

impl Way {
    /// To this host.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn to(host: &Host, address: Ipv4Addr) -> anyhow::Result<Self> {
        neighbour(&format!("replace {address} lladdr {} nud permanent", host.place.mac()))?;
        Ok(Self(address))
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        // Left there, it leads on to a host that may have the address still.
        let _ = neighbour(&format!("delete {}", self.0));
    }
}

fn neighbour(words: &str) -> anyhow::Result<()> {
    let mut ip = Command::new("ip");
    ip.arg("neighbour").args(words.split_whitespace()).args(["dev", "eth0"]);
    let status = ip.status().context("cannot run ip")?;
    ensure!(status.success(), "ip neighbour {words}: {status}");
    Ok(())
}
