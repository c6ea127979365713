//! Addresses: each server has one of its own, so that cookies stay apart and every server can have
//! the usual ports. On loopback, unless the servers' hosts are namespaces.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;
use uuid::Uuid;

/// A network of 254 addresses, and the ports used on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its first three bytes.
    pub prefix: [u8; 3],
    /// For browsers; brokers serve their agents on the next one.
    pub base_port: u16,
}

impl Network {
    /// 127.0.0.0/24, which people expect.
    pub fn plain(base_port: u16) -> Self {
        Self { prefix: [127, 0, 0], base_port }
    }

    /// One at random, so that clusters that run at once do not meet. 65,025 networks; none is
    /// 127.0.0.0/24, where other programs are.
    pub fn random() -> Self {
        let random = Uuid::new_v4().into_bytes();
        let byte = |at: usize| 1 + random[at] % 255;
        Self { prefix: [127, byte(0), byte(1)], base_port: 8080 }
    }

    /// Where people reach broker number `index`, from 0.
    pub(crate) fn broker(self, index: u8) -> SocketAddr {
        SocketAddr::new(self.host(1 + index), self.base_port)
    }

    /// Where agents reach it.
    pub(crate) fn broker_for_agents(self, index: u8) -> SocketAddr {
        SocketAddr::new(self.host(1 + index), self.base_port + 1)
    }

    /// Where people reach agent number `index`, from 0.
    pub(crate) fn agent(self, index: u8) -> SocketAddr {
        SocketAddr::new(self.host(11 + index), self.base_port)
    }

    /// Makes sure that nobody listens yet where this many servers will: another cluster's would answer in
    /// their place.
    ///
    /// # Errors
    /// Names the first address that cannot be had.
    pub(crate) fn ensure_free(self, brokers: u8, agents: u8) -> anyhow::Result<()> {
        let brokers = (0..brokers).flat_map(|it| [self.broker(it), self.broker_for_agents(it)]);
        for address in brokers.chain((0..agents).map(|index| self.agent(index))) {
            TcpListener::bind(address).with_context(|| {
                format!("cannot listen on {address}; another cluster may run: choose another port")
            })?;
        }
        Ok(())
    }

    fn host(self, last: u8) -> IpAddr {
        let [first, second, third] = self.prefix;
        Ipv4Addr::new(first, second, third, last).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_an_address_of_its_own_on_loopback() {
        let network = Network::random();
        let all = [network.broker(0), network.broker(4), network.agent(0), network.agent(200)];
        for (at, one) in all.iter().enumerate() {
            assert!(one.ip().is_loopback());
            assert!(all.iter().skip(at + 1).all(|other| other.ip() != one.ip()));
        }
    }

    #[test]
    fn an_address_that_somebody_listens_on_is_named() {
        let network = Network::random();
        network.ensure_free(3, 2).unwrap();
        for taken in [network.agent(1), network.broker(2), network.broker_for_agents(2)] {
            let _other = TcpListener::bind(taken).unwrap();
            let refused = network.ensure_free(3, 2).unwrap_err().to_string();
            assert!(refused.contains(&taken.to_string()), "{refused}");
            network.ensure_free(2, 1).unwrap();
        }
    }
}
