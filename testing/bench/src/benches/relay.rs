//! What it costs to carry RFB from a display server's Unix socket to a viewer over TLS: one viewer, who
//! takes as much as comes.

use std::time::Instant;

use super::Lab;
use crate::figure::{Figure, Goal, Sample, Unit};
use crate::reference::{Haproxy, Relay, Websockify};
use crate::rfb::{FakeDisplay, Viewer};

/// Whole updates of 4 MiB each: 1 GB.
const UPDATES: usize = 240;

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let folder = lab.folder("relay")?;
    let display = FakeDisplay::start(&folder.join("rfb.sock"))?;
    let relays: Vec<Box<dyn Relay>> = vec![
        Box::new(Websockify::start(&folder.join("websockify"), display.socket())?),
        Box::new(Haproxy::start(&folder.join("haproxy"), display.socket())?),
    ];
    let mut figures = Vec::new();
    for relay in relays {
        let (mut costs, mut speeds) = (Vec::new(), Vec::new());
        for _ in 0..lab.rounds {
            let (cost, speed) = carry(relay.as_ref())?;
            costs.push(cost);
            speeds.push(speed);
        }
        figures.push(Figure::new(relay.name(), Unit::CpuSecondsPerGigabyte, costs));
        figures.push(Figure::new(relay.name(), Unit::MegabytesPerSecond, speeds));
    }
    Ok(figures)
}

/// CPU seconds per GB, and MB per second.
fn carry(relay: &dyn Relay) -> anyhow::Result<(f64, f64)> {
    let mut viewer = Viewer::open(relay.line()?, relay.security())?;
    let (spent, began) = (relay.cpu()?, Instant::now());
    let bytes = viewer.fetch(UPDATES)? as f64;
    let (took, spent) = (began.elapsed(), relay.cpu()? - spent);
    Ok((spent.as_secs_f64() / bytes * 1e9, bytes / took.as_secs_f64() / 1e6))
}
