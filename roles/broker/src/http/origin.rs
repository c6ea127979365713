//! Where a request comes from: the address of its connection, or what the site's own proxies say.

use std::net::{IpAddr, SocketAddr};

use abide_api::ProblemKind;
use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;

use super::App;
use crate::problem::Refused;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a request comes from.
#[derive(Debug)]
pub struct From(pub IpAddr);

impl FromRequestParts<App> for From {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let none = || ProblemKind::Internal.because("The connection has no address.");
        let peer = info.ok_or_else(none)?.0.ip();
        Ok(Self(client(peer, &parts.headers, &app.broker.settings.trusted_proxies)))
    }
}

/// The nearest address that is not a trusted proxy's. Each proxy appends whom it heard, so what stands
/// left of that is the client's own word, and counts for nothing.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let is_proxy = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    let mut nearest = peer.to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter().collect::<Vec<_>>();
    let mut hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|it| *it == b','));
    while is_proxy(&nearest) {
        // A proxy that says nothing readable is itself the last that is known.
        let Some(before) = hops.next().and_then(address) else { break };
        nearest = before;
    }
    nearest
}

/// An address, with or without a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse().map(|it: SocketAddr| it.ip());
    bare.parse().or_else(|_| with_port()).ok().map(|it: IpAddr| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Who is behind a connection from this address with these header lines.
    fn behind(peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let proxies = ["10.0.0.0/8".parse().unwrap(), "fd00::1/128".parse().unwrap()];
        client(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn a_trusted_proxy_tells_who_its_client_is() {
        assert_eq!(behind("10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(behind("::ffff:10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(behind("fd00::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(behind("10.0.0.1", &["192.0.2.7, 10.9.9.9"]), "192.0.2.7", "two proxies");
        assert_eq!(behind("10.0.0.1", &["192.0.2.7:5555"]), "192.0.2.7");
        assert_eq!(behind("10.0.0.1", &["[2001:db8::7]:5555"]), "2001:db8::7");
        assert_eq!(behind("10.0.0.1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(behind("10.0.0.1", &["10.2.2.2"]), "10.2.2.2", "a client among the proxies");
    }

    #[test]
    fn nobody_can_forge_where_a_request_comes_from() {
        for (peer, lines, expected) in [
            // Whoever is no proxy speaks for nobody.
            ("192.0.2.66", &["198.51.100.1"][..], "192.0.2.66"),
            ("fd00::2", &["198.51.100.1"], "fd00::2"),
            // What a client sent itself stands left of what the proxy has appended.
            ("10.0.0.1", &["198.51.100.1, 192.0.2.66"], "192.0.2.66"),
            ("10.0.0.1", &["198.51.100.1", "192.0.2.66"], "192.0.2.66"),
            ("10.0.0.1", &["10.0.0.1, 10.0.0.1, 192.0.2.66"], "192.0.2.66"),
            ("10.0.0.1", &["198.51.100.1, 192.0.2.66, 10.0.0.3"], "192.0.2.66"),
            ("10.0.0.1", &["198.51.100.1, ::ffff:192.0.2.66"], "192.0.2.66"),
            // What cannot be read hides nothing that stands left of it.
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, "], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(behind(peer, lines), expected, "{peer} {lines:?}");
        }
    }
}
