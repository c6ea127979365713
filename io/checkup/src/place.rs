//! Files that must be there, and addresses that two servers want.

use std::net::SocketAddr;
use std::path::Path;

use crate::Finding;

/// Whether a file is there; `mend` says how it would come there.
pub fn file(path: impl AsRef<Path>, mend: &str) -> Finding {
    let place = path.as_ref().display();
    match path.as_ref().is_file() {
        true => Finding::fine(place, "is there"),
        false => Finding::wrong(place, "is not there", mend),
    }
}

/// Whether a broker and an agent on the same host can listen at the same time.
pub fn free_port(broker: SocketAddr, agent: SocketAddr) -> Finding {
    let same_host =
        broker.ip() == agent.ip() || broker.ip().is_unspecified() || agent.ip().is_unspecified();
    if broker.port() == agent.port() && same_host {
        return Finding::wrong(
            broker,
            format!("the broker and the agent ({agent}) want the same port"),
            "give one of them another listen.http, and say it in its public_url",
        );
    }
    Finding::fine(broker, "the agent listens elsewhere")
}

/// For a host where nobody has begun anything.
pub fn nothing_here() -> Finding {
    Finding::wrong(
        "this host",
        "is neither a broker nor an agent",
        "abide broker init makes a cluster; abide broker join and abide agent join join one.\n\
         See /usr/share/doc/abide/install.md",
    )
}

/// Whether all could be seen.
pub fn rights() -> Finding {
    match rustix::process::geteuid().is_root() {
        true => Finding::fine("this look", "was root's"),
        false => Finding::warning(
            "this look",
            "was not root's: keys and folders may not have been seen",
            "sudo abide doctor",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grade;

    #[test]
    fn broker_and_agent_cannot_have_one_port() {
        for (broker, agent, grade) in [
            ("0.0.0.0:443", "0.0.0.0:443", Grade::Wrong),
            ("0.0.0.0:443", "192.0.2.1:443", Grade::Wrong),
            ("192.0.2.2:443", "192.0.2.1:443", Grade::Fine),
            ("0.0.0.0:443", "0.0.0.0:8443", Grade::Fine),
        ] {
            let found = free_port(broker.parse().unwrap(), agent.parse().unwrap());
            assert_eq!(found.grade, grade, "{broker} {agent}");
        }
    }
}
