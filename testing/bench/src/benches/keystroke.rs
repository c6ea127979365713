//! From a key to the letter's pixels, one key right after the other: through a relay, and straight to
//! the display server's socket.

use abide_cluster::WebTls;

use super::Lab;
use super::stage::{DIRECT, Stage};
use crate::figure::{Figure, Goal, Sample, Unit};
use crate::rfb::{Relay, Viewer};
use crate::stats::percentile_us;
use crate::system::System;

const KEYS: usize = 5_000;
/// Before them, until all that is cold is warm.
const WARM_UP: usize = 200;
/// The most that a relay may add to the slowest percent, in microseconds.
const MOST: f64 = 100.0;

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let system = System::start(WebTls::Cluster)?;
    let stage = Stage::set(lab, &system)?;
    let [half, most] = stage.by_turns(lab.rounds, press)?;
    let (half_added, most_added) = (added(&half), added(&most));
    let unit = Unit::Microseconds;
    let verdict = Figure::of("added by the relay, p99", unit, most_added);
    let is_busy = most.iter().any(|it| it.of == DIRECT && it.median.is_none_or(|it| it > MOST));
    Ok(vec![
        Figure::of("round trip, p50", unit, half),
        Figure::of("round trip, p99", unit, most),
        Figure::of("added by the relay, p50", unit, half_added),
        if is_busy {
            verdict
                .note("not judged: other work delays even the direct socket by more than the goal")
        } else {
            verdict.goal(Goal::Below(MOST))
        },
    ])
}

/// p50 and p99, in microseconds.
fn press(relay: &dyn Relay) -> anyhow::Result<[f64; 2]> {
    let mut viewer = Viewer::open(relay.line()?, relay.security())?;
    for _ in 0..WARM_UP {
        viewer.press()?;
    }
    let trips: Vec<_> = (0..KEYS).map(|_| viewer.press()).collect::<Result<_, _>>()?;
    Ok([percentile_us(&trips, 50.0), percentile_us(&trips, 99.0)])
}

/// What each adds to the direct way, round by round.
fn added(samples: &[Sample]) -> Vec<Sample> {
    let direct = samples.iter().find(|it| it.of == DIRECT);
    let direct = direct.map(|it| it.rounds.as_slice()).unwrap_or_default();
    let relays = samples.iter().filter(|it| it.of != DIRECT);
    relays
        .map(|it| {
            let rounds = it.rounds.iter().zip(direct).map(|(relay, direct)| relay - direct);
            Sample { note: it.note.clone(), ..Sample::new(&it.of, rounds.collect()) }
        })
        .collect()
}
