//! Whether somebody listens.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Finding;

/// Longer than a lost packet or two cost.
const WITHIN: Duration = Duration::from_secs(4);

/// Where this host reaches its own server that listens at `address`.
pub(crate) fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether a server of this host listens where it should.
pub async fn listens(address: SocketAddr, unit: &str) -> Finding {
    match connect(from_here(address).to_string()).await {
        Ok(()) => Finding::fine(address, format!("{unit} listens")),
        Err(error) => Finding::wrong(
            address,
            format!("{unit} does not listen: {error}"),
            format!("see why: journalctl -u {unit} -n 50"),
        ),
    }
}

/// Whether a server elsewhere, `host:port`, takes connections.
///
/// # Errors
/// Why not.
pub async fn reached(address: &str) -> io::Result<()> {
    connect(address.to_owned()).await
}

async fn connect(address: String) -> io::Result<()> {
    let connected = timeout(WITHIN, TcpStream::connect(address)).await;
    connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grade;

    #[tokio::test]
    async fn who_listens_and_who_does_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(listens(address, "x.service").await.grade, Grade::Fine);
        drop(listener);
        let found = listens(address, "x.service").await;
        assert_eq!(found.grade, Grade::Wrong);
        assert!(found.mend.unwrap().contains("journalctl -u x.service"));
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_by_loopback() {
        let of = |text: &str| from_here(text.parse().unwrap()).to_string();
        assert_eq!(of("0.0.0.0:443"), "127.0.0.1:443");
        assert_eq!(of("[::]:443"), "[::1]:443");
        assert_eq!(of("192.0.2.1:443"), "192.0.2.1:443");
    }
}
