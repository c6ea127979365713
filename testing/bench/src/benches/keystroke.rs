//! From a key to the letter's pixels, one key after the other: through a relay, and straight to the
//! display server's socket.

use std::os::unix::net::UnixStream;

use super::Lab;
use crate::figure::{Figure, Goal, Sample, Unit};
use crate::reference::{Haproxy, Relay, Websockify};
use crate::rfb::{FakeDisplay, Security, Viewer};
use crate::stats::percentile_us;

const KEYS: usize = 5_000;
/// Before them, until all that is cold is warm.
const WARM_UP: usize = 200;

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let folder = lab.folder("keystroke")?;
    let display = FakeDisplay::start(&folder.join("rfb.sock"))?;
    let relays: Vec<Box<dyn Relay>> = vec![
        Box::new(Websockify::start(&folder.join("websockify"), display.socket())?),
        Box::new(Haproxy::start(&folder.join("haproxy"), display.socket())?),
    ];
    let mut figures = Vec::new();
    for relay in relays {
        let mut viewer = Viewer::open(relay.line()?, relay.security())?;
        let mut direct =
            Viewer::open(Box::new(UnixStream::connect(display.socket())?), Security::AnyPassword)?;
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..lab.rounds {
            let d = press(&mut direct)?;
            let r = press(&mut viewer)?;
            a.push(r.0 - d.0);
            b.push(r.1 - d.1);
        }
        figures.push(Figure::new(format!("{} p50", relay.name()), Unit::Microseconds, a));
        figures.push(Figure::new(format!("{} p99", relay.name()), Unit::Microseconds, b));
    }
    Ok(figures)
}

/// p50 and p99, in microseconds.
fn press(viewer: &mut Viewer) -> anyhow::Result<(f64, f64)> {
    for _ in 0..WARM_UP {
        viewer.press()?;
    }
    let trips: Vec<_> = (0..KEYS).map(|_| viewer.press()).collect::<Result<_, _>>()?;
    Ok((percentile_us(&trips, 50.0), percentile_us(&trips, 99.0)))
}
