//! Who heard which agent when, and through whom it is spoken to. Tells no time: it is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use abide_model::{AgentId, BrokerId};

use crate::hub::Line;
use crate::timing::Silences;

/// What the other brokers said last.
#[derive(Debug)]
pub struct Book {
    silences: Silences,
    by_broker: BTreeMap<BrokerId, Word>,
}

/// What one broker said.
#[derive(Debug)]
struct Word {
    said: Instant,
    /// When each agent was heard last.
    heard: HashMap<AgentId, Instant>,
}

impl Book {
    /// Nobody has said anything.
    pub fn new(silences: Silences) -> Self {
        Self { silences, by_broker: BTreeMap::new() }
    }

    /// A broker says how long ago it heard the agents that it hears. Those it does not name it does not
    /// hear any more.
    pub fn take(
        &mut self,
        from: BrokerId,
        agents: impl IntoIterator<Item = (AgentId, Duration)>,
        now: Instant,
    ) {
        let at = |ago| now.checked_sub(ago);
        let heard = agents.into_iter().filter_map(|(agent, ago)| Some((agent, at(ago)?))).collect();
        self.by_broker.insert(from, Word { said: now, heard });
    }

    /// Forgets whom nothing was heard of.
    pub fn forget_silent(&mut self, now: Instant) {
        let forgotten = self.silences.forgotten;
        self.by_broker.retain(|_, word| now.duration_since(word.said) < forgotten);
    }

    /// When an agent was heard last, by any of them.
    pub fn last_heard(&self, agent: &AgentId) -> Option<Instant> {
        self.by_broker.values().filter_map(|word| word.heard.get(agent)).max().copied()
    }

    /// All agents that any of them hears, each once.
    pub fn agents(&self) -> BTreeSet<&AgentId> {
        self.by_broker.values().flat_map(|word| word.heard.keys()).collect()
    }

    /// Through whom this agent is to be spoken to from now on; `None` if the line that it has is good, or
    /// if nobody else hears it. An agent that was never heard counts as quiet since `begun`.
    pub fn carrier(
        &self,
        agent: &AgentId,
        line: &Line,
        begun: Instant,
        now: Instant,
    ) -> Option<&BrokerId> {
        let last = line.heard.unwrap_or(begun);
        if now.duration_since(last) < self.silences.quiet {
            return None;
        }
        let hears = |at: Instant| now.duration_since(at) < self.silences.fresh;
        let heard = self.by_broker.iter().filter_map(|(broker, word)| {
            let at = *word.heard.get(agent)?;
            hears(at).then_some((broker, at))
        });
        // The one whose line fell silent is tried again when there is no other.
        let best = heard.max_by_key(|(broker, at)| (line.via.as_ref() != Some(*broker), *at));
        best.map(|(broker, _)| broker)
    }
}

#[cfg(test)]
mod tests {
    use abide_model::Timing;

    use super::*;
    use crate::timing::silences;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn broker(n: u8) -> BrokerId {
        format!("{n:032x}").parse().unwrap()
    }

    fn agent() -> AgentId {
        format!("{:032x}", 7).parse().unwrap()
    }

    /// Each broker heard the agent so many milliseconds before `now`, and says so then.
    fn book(now: Instant, heard: &[(u8, u64)]) -> Book {
        book_with(Timing::Lan, now, heard)
    }

    fn book_with(timing: Timing, now: Instant, heard: &[(u8, u64)]) -> Book {
        let mut book = Book::new(silences(timing));
        for (number, ago) in heard {
            book.take(broker(*number), [(agent(), ms(*ago))], now);
        }
        book
    }

    struct Case {
        name: &'static str,
        /// Through whom the agent is spoken to.
        via: Option<u8>,
        /// For how many milliseconds nothing came.
        quiet: Option<u64>,
        /// How many milliseconds ago other brokers heard it.
        heard: &'static [(u8, u64)],
        carrier: Option<u8>,
    }

    #[test]
    fn another_broker_carries_what_the_leader_cannot_say_itself() {
        let cases = [
            Case {
                name: "its own stream is good",
                via: None,
                quiet: Some(1_400),
                heard: &[(1, 0), (2, 0)],
                carrier: None,
            },
            Case {
                name: "its own stream is quiet: whoever heard it last",
                via: None,
                quiet: Some(1_500),
                heard: &[(1, 900), (2, 100)],
                carrier: Some(2),
            },
            Case {
                name: "nobody hears it: it may be dead",
                via: None,
                quiet: Some(1_500),
                heard: &[(1, 1_300), (2, 1_400)],
                carrier: None,
            },
            Case {
                name: "nobody says so",
                via: None,
                quiet: Some(9_000),
                heard: &[],
                carrier: None,
            },
            Case {
                name: "a good line stays, though another heard it later",
                via: Some(1),
                quiet: Some(1_000),
                heard: &[(1, 1_000), (2, 0)],
                carrier: None,
            },
            Case {
                name: "the carrier's line fell silent: another takes over",
                via: Some(1),
                quiet: Some(1_600),
                heard: &[(1, 100), (2, 1_000)],
                carrier: Some(2),
            },
            Case {
                name: "and the same one, if there is no other",
                via: Some(1),
                quiet: Some(1_600),
                heard: &[(1, 100), (2, 1_300)],
                carrier: Some(1),
            },
            Case {
                name: "never heard by a leader that has had the time to",
                via: None,
                quiet: None,
                heard: &[(1, 100)],
                carrier: Some(1),
            },
        ];
        let begun = Instant::now();
        let now = begun + ms(10_000);
        for case in cases {
            let heard = case.quiet.map(|ago| now - ms(ago));
            let line = Line { via: case.via.map(broker), heard };
            let book = book(now, case.heard);
            let carrier = book.carrier(&agent(), &line, begun, now).cloned();
            assert_eq!(carrier, case.carrier.map(broker), "{}", case.name);
        }
        let line = Line { via: None, heard: None };
        let carrier = book(begun, &[(1, 0)]).carrier(&agent(), &line, begun, begun).cloned();
        assert_eq!(carrier, None, "a broker that has just begun waits for the agent itself");
    }

    #[test]
    fn on_slow_lines_a_late_message_is_no_silence() {
        let now = Instant::now() + ms(10_000);
        let line = Line { via: None, heard: Some(now - ms(2_900)) };
        let carrier = |timing, line: &Line| {
            book_with(timing, now, &[(1, 100)]).carrier(&agent(), line, now, now).cloned()
        };
        assert_eq!(carrier(Timing::Lan, &line), Some(broker(1)));
        assert_eq!(carrier(Timing::Slow, &line), None);
        let line = Line { via: None, heard: Some(now - ms(3_000)) };
        assert_eq!(carrier(Timing::Slow, &line), Some(broker(1)));
    }

    #[test]
    fn what_was_said_grows_old_and_is_forgotten() {
        let begun = Instant::now() + ms(10_000);
        let mut book = book(begun, &[(1, 200), (2, 700)]);
        assert_eq!(book.last_heard(&agent()), Some(begun - ms(200)));
        let line = Line { via: None, heard: None };
        let later = begun + ms(1_100);
        assert_eq!(book.carrier(&agent(), &line, begun - ms(9_000), later), None);

        book.take(broker(1), [], begun + ms(2_900));
        assert_eq!(book.last_heard(&agent()), Some(begun - ms(700)), "it hears it no more");
        book.forget_silent(begun + ms(2_999));
        assert_eq!(book.agents().len(), 1);
        book.forget_silent(begun + ms(3_000));
        assert_eq!((book.agents().len(), book.by_broker.len()), (0, 1));
        assert_eq!(book.last_heard(&agent()), None);
    }
}
