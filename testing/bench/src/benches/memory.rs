//! What a keeper, an agent and a viewer hold in memory.

use abide_cluster::WebTls;

use super::Lab;
use crate::figure::{Figure, Goal, Unit};
use crate::program::{pss, rss};
use crate::rfb::{FakeDisplay, Relay, Viewer};
use crate::stats::median;
use crate::system::System;

/// At once, each with a viewer of its own.
const SESSIONS: usize = 32;
const MIB: f64 = 1024.0 * 1024.0;
const KIB: f64 = 1024.0;
/// What each viewer fetches before it is measured: 16 MiB, so that every buffer has been used.
const UPDATES: usize = 4;

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let mut found = [const { Vec::new() }; 5];
    for _ in 0..lab.rounds {
        for (rounds, value) in found.iter_mut().zip(measure()?) {
            rounds.push(value);
        }
    }
    let [alone, among, idle, settled, viewer] = found;
    Ok(vec![
        Figure::new("keeper, PSS, the only one", Unit::Mebibytes, alone)
            .goal(Goal::AtMost(3.0))
            .note("agent-user mode; with PAM's modules loaded, see login-user"),
        Figure::new(format!("keeper, PSS, one of {SESSIONS}"), Unit::Mebibytes, among),
        Figure::new("agent, RSS, no session", Unit::Mebibytes, idle).goal(Goal::AtMost(30.0)),
        Figure::new(format!("agent, RSS, {SESSIONS} sessions"), Unit::Mebibytes, settled),
        Figure::new(format!("agent, each of {SESSIONS} viewers"), Unit::Kibibytes, viewer)
            .goal(Goal::AtMost(128.0))
            .note("growth of the RSS over TLS, when each viewer has fetched 16 MiB"),
    ])
}

fn measure() -> anyhow::Result<[f64; 5]> {
    let system = System::start(WebTls::Cluster)?;
    let daemon = system.agent_pid()?;
    let idle = rss(daemon)? as f64;
    let mut sessions = vec![system.start_session()?.session.id];
    let alone = keepers(&system)?;
    while sessions.len() < SESSIONS {
        sessions.push(system.start_session()?.session.id);
    }
    let among = keepers(&system)?;
    let settled = rss(daemon)? as f64;
    let mut displays = Vec::new();
    let mut viewers = Vec::new();
    for session in &sessions {
        displays.push(FakeDisplay::start(&system.session_folder(session)?.rfb_socket())?);
        let relay = system.relay(session)?;
        let mut viewer = Viewer::open(relay.line()?, relay.security())?;
        viewer.fetch(UPDATES)?;
        viewers.push(viewer);
    }
    let attached = rss(daemon)? as f64;
    let each = (attached - settled) / SESSIONS as f64;
    Ok([alone / MIB, among / MIB, idle / MIB, settled / MIB, each / KIB])
}

/// The median of the keepers' PSS, in bytes.
fn keepers(system: &System) -> anyhow::Result<f64> {
    let keepers = system.agent()?.keepers();
    let each: Result<Vec<f64>, _> =
        keepers.iter().map(|it| pss(it.pid).map(|it| it as f64)).collect();
    Ok(median(&each?).unwrap_or(f64::NAN))
}
