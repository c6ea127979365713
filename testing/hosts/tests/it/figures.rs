//! What a managers' story measured, told in lines.

use std::time::Duration;

use abide_hosts::Takeover;

/// A round's figures.
pub struct Round {
    pub took: Takeover,
    /// Acknowledged sessions that nobody knows any more.
    pub lost: usize,
    /// The longest time without a picture on a living host.
    pub gap: Duration,
}

impl Round {
    pub fn tell(&self, manager: &str, which: &str) {
        println!(
            "{manager}: {which}: alone {} ms, connect {} ms, beyond {} ms, start {} ms, beyond {} ms, \
             lost {}, gap {} ms",
            self.took.alone.as_millis(),
            self.took.connect.as_millis(),
            self.took.beyond().as_millis(),
            self.took.start.as_millis(),
            self.took.beyond_with_start().as_millis(),
            self.lost,
            self.gap.as_millis(),
        );
    }
}

/// The median and the most of all rounds.
pub fn sum_up(manager: &str, rounds: &[Round]) {
    let of = |what: fn(&Takeover) -> Duration| {
        let mut all: Vec<u128> = rounds.iter().map(|it| what(&it.took).as_millis()).collect();
        all.sort_unstable();
        let (median, most) = (all[(all.len() - 1) / 2], all[all.len() - 1]);
        format!("{median} / {most} ms")
    };
    let (alone, connect, start) = (of(|it| it.alone), of(|it| it.connect), of(|it| it.start));
    let (beyond, with_start) = (of(Takeover::beyond), of(Takeover::beyond_with_start));
    println!(
        "{manager}: {} rounds, p50 / most: alone {alone}, connect {connect}, beyond {beyond}, start \
         {start}, beyond {with_start}",
        rounds.len()
    );
}
