//! What it costs to carry RFB from a display server's Unix socket to a viewer over TLS: one viewer, who
//! takes as much as comes.

use std::time::Instant;

use abide_cluster::WebTls;

use super::Lab;
use super::stage::{DIRECT, Stage};
use crate::figure::{Figure, Goal, Unit};
use crate::reference::Haproxy;
use crate::rfb::{Relay, Viewer};
use crate::system::System;

/// Whole updates of 4 MiB each: 1 GB.
const UPDATES: usize = 240;

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let system = System::start(WebTls::Cluster)?;
    let stage = Stage::set(lab, &system)?;
    let [mut costs, speeds] = stage.by_turns(lab.rounds, carry)?;
    costs.retain(|it| it.of != DIRECT);
    Ok(vec![
        Figure::of("CPU of the relay, TLS", Unit::CpuSecondsPerGigabyte, costs)
            .goal(Goal::AtMostReference { of: Haproxy::NAME, plus: 0.0 })
            .note("WebSocket over TLS, as websockify; HAProxy carries no WebSocket, only TLS"),
        Figure::of("throughput, one viewer", Unit::MegabytesPerSecond, speeds)
            .note("display server, relay and viewer share the machine's cores"),
    ])
}

/// CPU seconds per GB, and MB per second.
fn carry(relay: &dyn Relay) -> anyhow::Result<[f64; 2]> {
    let mut viewer = Viewer::open(relay.line()?, relay.security())?;
    let (spent, began) = (relay.cpu()?, Instant::now());
    let bytes = viewer.fetch(UPDATES)? as f64;
    let (took, spent) = (began.elapsed(), relay.cpu()?.saturating_sub(spent));
    Ok([spent.as_secs_f64() / bytes * 1e9, bytes / took.as_secs_f64() / 1e6])
}
