//! Brokering a reconnect: `connect` to a running session over 16 kept connections, by plain HTTP; at a
//! lone broker, at the leader of three and at a follower; against x2gobroker's `selectsession` by the same
//! client.

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
    let mut figures = Vec::new();
    for (brokers, names) in [(1, &["one broker"][..]), (3, &["the leader of 3", "a follower of 3"])]
    {
        let system = System::start_with(WebTls::Off, brokers)?;
        let session = system.start_session()?.session.id;
        let abide = system.brokers()?.into_iter().map(|address| Contestant {
            address,
            head: vec![
                format!("POST /api/v1/sessions/{session}/connect"),
                format!("Authorization: Bearer {}", system.token()),
                "Idempotency-Key: bench".to_owned(),
            ],
            body: "",
            expected: "\"ticket\"",
        });
        let named: Vec<_> = names.iter().copied().zip(abide).collect();
        figures.extend(by_turns(lab, &named, &x2go)?);
    }
    Ok(figures)
}

/// In each round each of these and x2gobroker, one after the other.
fn by_turns(
    lab: &Lab,
    abide: &[(&str, Contestant)],
    x2go: &Result<Contestant, &anyhow::Error>,
) -> anyhow::Result<Vec<Figure>> {
    let contestants: Vec<_> = abide.iter().map(|(_, it)| it).chain(x2go.as_ref().ok()).collect();
    let mut found = vec![[const { Vec::new() }; 3]; contestants.len()];
    for how_long in [WARM_UP].into_iter().chain(std::iter::repeat_n(HOW_LONG, lab.rounds)) {
        for (contestant, found) in contestants.iter().zip(&mut found) {
            let figures = contestant.measure(how_long)?;
            if how_long != WARM_UP {
                found.iter_mut().zip(figures).for_each(|(rounds, figure)| rounds.push(figure));
            }
        }
    }
    let theirs = found.split_off(abide.len()).pop();
    let theirs: [Sample; 3] = std::array::from_fn(|figure| match (x2go, &theirs) {
        (Ok(_), Some(theirs)) => Sample::new(X2goBroker::NAME, theirs[figure].clone()),
        (Err(cause), _) => Sample::missing(X2goBroker::NAME, cause),
        (Ok(_), None) => Sample::missing(X2goBroker::NAME, "not measured"),
    });
    let names = abide.iter().map(|(name, _)| *name);
    Ok(names.zip(found).flat_map(|(name, ours)| figures(name, ours, &theirs)).collect())
}

fn figures(who: &str, ours: [Vec<f64>; 3], theirs: &[Sample; 3]) -> Vec<Figure> {
    let what = [
        (
            "rate",
            Unit::PerSecond,
            Some(Goal::TimesReference { of: X2goBroker::NAME, factor: 40.0 }),
        ),
        ("p50", Unit::Milliseconds, None),
        ("p99", Unit::Milliseconds, Some(Goal::Below(5.0))),
    ];
    let each = what.into_iter().zip(ours).zip(theirs);
    each.map(|(((what, unit, goal), rounds), theirs)| {
        let figure = Figure::new(format!("{who}: {what}"), unit, rounds).beside(theirs.clone());
        goal.into_iter().fold(figure, Figure::goal)
    })
    .collect()
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
