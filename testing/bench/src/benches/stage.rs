//! The same line for all relays: one display server, and each relay between it and a viewer.

use anyhow::Context;

use super::Lab;
use crate::figure::Sample;
use crate::reference::{Haproxy, Websockify};
use crate::rfb::{Direct, FakeDisplay, Relay};
use crate::system::System;

/// As it is called in the report.
pub const DIRECT: &str = "direct socket";

/// Who is measured by turns: Abide first.
pub struct Stage<'s> {
    contestants: Vec<(&'static str, anyhow::Result<Box<dyn Relay + 's>>)>,
    _display: FakeDisplay,
}

impl<'s> Stage<'s> {
    /// Puts a display server that costs next to nothing in the place of a session's own, so that the
    /// real agent carries it, and the references in front of the same socket.
    pub fn set(lab: &Lab, system: &'s System) -> anyhow::Result<Self> {
        let folder = lab.folder("relays")?;
        let session = system.start_session()?.session.id;
        let display = FakeDisplay::start(&system.session_folder(&session)?.rfb_socket())
            .context("cannot stand in for the display server")?;
        let socket = display.socket();
        let websockify = Websockify::start(&folder.join("websockify"), socket);
        let haproxy = Haproxy::start(&folder.join("haproxy"), socket);
        Ok(Self {
            contestants: vec![
                ("Abide", Ok(Box::new(system.relay(&session)?))),
                (Haproxy::NAME, haproxy.map(|it| Box::new(it) as _)),
                (Websockify::NAME, websockify.map(|it| Box::new(it) as _)),
                (DIRECT, Ok(Box::new(Direct(socket.to_owned())))),
            ],
            _display: display,
        })
    }

    /// Measures all of them in each round. Gives for each figure a sample of each contestant.
    pub fn by_turns<const N: usize>(
        &self,
        rounds: usize,
        measure: impl Fn(&dyn Relay) -> anyhow::Result<[f64; N]>,
    ) -> anyhow::Result<[Vec<Sample>; N]> {
        let mut found = vec![[const { Vec::new() }; N]; self.contestants.len()];
        for _ in 0..rounds {
            for ((name, relay), found) in self.contestants.iter().zip(&mut found) {
                let Ok(relay) = relay else { continue };
                let values = measure(relay.as_ref()).with_context(|| format!("through {name}"))?;
                for (rounds, value) in found.iter_mut().zip(values) {
                    rounds.push(value);
                }
            }
        }
        Ok(std::array::from_fn(|figure| {
            let samples = self.contestants.iter().zip(&found);
            samples
                .map(|((name, relay), found)| match relay {
                    Ok(_) => Sample::new(name, found[figure].clone()),
                    Err(cause) => Sample::missing(name, cause),
                })
                .collect()
        }))
    }
}
