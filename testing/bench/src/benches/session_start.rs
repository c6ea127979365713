//! A new session, from the request until its display server's socket accepts and serves the first bytes
//! of RFB, in `agent-user` with a desktop of one program; against `Xvnc` alone with the same flags.
//!
//! Accepting alone says little: `Xvnc` listens long before it serves. Abide calls a session running when
//! its display server serves, so both are measured until then.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use abide_cluster::WebTls;
use anyhow::Context;

use super::Lab;
use crate::figure::{Figure, Goal, Sample, Unit};
use crate::reference::{BareXvnc, Started};
use crate::stats::percentile_ms;
use crate::system::System;

/// In each round, by turns.
const STARTS: usize = 20;
/// What Abide may add, in milliseconds.
const MOST_ADDED: f64 = 25.0;

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let system = System::start(WebTls::Off)?;
    let bare = bare(lab, &system)?;
    let mut found = [[const { Vec::new() }; 3], [const { Vec::new() }; 3]];
    for _ in 0..lab.rounds {
        let mut round = [const { Vec::new() }; 3];
        for _ in 0..STARTS {
            let Started { listens, serves } = bare.start()?;
            for (times, took) in round.iter_mut().zip([start(&system)?, listens, serves]) {
                times.push(took);
            }
        }
        for (found, percent) in found.iter_mut().zip([50.0, 99.0]) {
            for (found, times) in found.iter_mut().zip(&round) {
                found.push(percentile_ms(times, percent));
            }
        }
    }
    let [half, most] = found.map(|[abide, listens, serves]| {
        (abide, [Sample::new(BareXvnc::NAME, serves), Sample::new(BareXvnc::LISTENS, listens)])
    });
    let unit = Unit::Milliseconds;
    let figure = |what, (rounds, references): (_, [Sample; 2])| {
        references.into_iter().fold(Figure::new(what, unit, rounds), Figure::beside)
    };
    Ok(vec![
        figure("until it serves, p50", half)
            .goal(Goal::AtMostReference { of: BareXvnc::NAME, plus: MOST_ADDED }),
        figure("until it serves, p99", most),
    ])
}

/// The display server of a session that is ended again, as it was started.
fn bare(lab: &Lab, system: &System) -> anyhow::Result<BareXvnc> {
    let session = system.start_session()?.session.id;
    let pid = system.agent()?.keeper(&session)?.display_server_pid;
    let bare = BareXvnc::like(pid, system.session_folder(&session)?.path(), &lab.folder("xvnc")?)?;
    system.end_session(&session)?;
    Ok(bare)
}

fn start(system: &System) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let session = system.start_session()?.session.id;
    let socket = system.session_folder(&session)?.rfb_socket();
    let mut viewer = UnixStream::connect(socket).context("it runs, but does not accept")?;
    viewer.read_exact(&mut [0; 12])?;
    let took = began.elapsed();
    system.end_session(&session)?;
    Ok(took)
}
