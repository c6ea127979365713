//! Brokering a reconnect: `connect` to a running session over kept connections, by plain HTTP; against
//! x2gobroker's `selectsession` by the same client.

use std::net::SocketAddr;
use std::time::Duration;

use abide_cluster::WebTls;

use super::Lab;
use crate::figure::{Figure, Goal, Sample, Unit};
use crate::http::{Request, load};
use crate::reference::X2goBroker;
use crate::stats::{percentile_ms, rate};
use crate::system::System;

const CONNECTIONS: usize = 16;
const HOW_LONG: Duration = Duration::from_secs(3);
/// Before the first round, until all that is cold is warm.
const WARM_UP: Duration = Duration::from_millis(500);

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let system = System::start(WebTls::Off)?;
    let session = system.start_session()?.session.id;
    let broker = system.broker()?;
    let path = format!("POST /api/v1/sessions/{session}/connect");
    let bearer = format!("Authorization: Bearer {}", system.token());
    let abide = Contestant {
        address: broker,
        head: vec![path, bearer, "Idempotency-Key: bench".to_owned()],
        body: "",
        expected: "\"ticket\"",
    };
    let reference = X2goBroker::start(&lab.folder("x2gobroker")?);
    let x2go = reference.as_ref().map(|it| Contestant {
        address: it.address(),
        head: vec![
            format!("POST {}", X2goBroker::PATH),
            format!("Content-Type: {}", X2goBroker::CONTENT),
        ],
        body: X2goBroker::BODY,
        expected: X2goBroker::ANSWER,
    });
    let mut found = [const { [const { Vec::new() }; 3] }; 2];
    let contestants = [Some(&abide), x2go.as_ref().ok()];
    for how_long in [WARM_UP].into_iter().chain(std::iter::repeat_n(HOW_LONG, lab.rounds)) {
        for (contestant, found) in contestants.iter().zip(&mut found) {
            let Some(contestant) = contestant else { continue };
            let figures = contestant.measure(how_long)?;
            if how_long != WARM_UP {
                found.iter_mut().zip(figures).for_each(|(rounds, figure)| rounds.push(figure));
            }
        }
    }
    let [ours, theirs] = found;
    let mut theirs = theirs.into_iter().map(|rounds| match &x2go {
        Ok(_) => Sample::new(X2goBroker::NAME, rounds),
        Err(cause) => Sample::missing(X2goBroker::NAME, cause),
    });
    let goals = [
        Some(Goal::TimesReference { of: X2goBroker::NAME, factor: 40.0 }),
        None,
        Some(Goal::Below(5.0)),
    ];
    let what =
        [("rate", Unit::PerSecond), ("p50", Unit::Milliseconds), ("p99", Unit::Milliseconds)];
    let figures = what.into_iter().zip(ours).zip(goals).map(|(((name, unit), rounds), goal)| {
        let what = format!("{name}, {CONNECTIONS} connections");
        let figure = Figure::new(what, unit, rounds);
        let figure = theirs.by_ref().take(1).fold(figure, Figure::beside);
        goal.into_iter().fold(figure, Figure::goal)
    });
    Ok(figures.collect())
}

struct Contestant {
    address: SocketAddr,
    head: Vec<String>,
    body: &'static str,
    expected: &'static str,
}

impl Contestant {
    /// Requests a second; p50 and p99 in milliseconds.
    fn measure(&self, how_long: Duration) -> anyhow::Result<[f64; 3]> {
        let head: Vec<&str> = self.head.iter().map(String::as_str).collect();
        let request = Request::new(self.address, &head, self.body);
        let done = load(self.address, &request, CONNECTIONS, how_long, self.expected)?;
        Ok([
            rate(done.latencies.len(), done.took),
            percentile_ms(&done.latencies, 50.0),
            percentile_ms(&done.latencies, 99.0),
        ])
    }
}
