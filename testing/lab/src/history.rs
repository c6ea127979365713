//! What several clients of one person did at the same time, and whether one order of it all
//! explains every answer.
//!
//! The order is sought by stateright's `LinearizabilityTester`. It gives an answer in good time up
//! to about three clients with ten calls each, two of them unanswered: so histories are short, and
//! many.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// Names a session; what is the same session has the same name.
pub type Name = String;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Another session.
    Start,
    /// A way into this one.
    Connect(Name),
    /// The end of this one.
    End(Name),
}

/// What it hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// This session was started.
    Started(Name),
    /// Here is a way.
    Way,
    /// It has ended, or is ending.
    Over,
    /// The end is taken on; also of what has ended before: a repeat is no failure.
    Ended,
}

/// One event, in the order in which they were seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A client begins a call. It has one at a time.
    Asked(u8, Ask),
    /// It got an answer. A call without one may have happened, or not.
    Answered(u8, Answer),
}

/// What one client alone would see: the sessions of one person.
#[derive(Debug, Clone, Default)]
struct Sessions {
    living: BTreeSet<Name>,
    ended: BTreeSet<Name>,
}

impl SequentialSpec for Sessions {
    type Op = Ask;
    type Ret = Answer;

    /// For calls that nobody heard the answer of. A start's session is then one that nobody knows.
    fn invoke(&mut self, ask: &Ask) -> Answer {
        match ask {
            Ask::Start => Answer::Started(Name::new()),
            Ask::Connect(name) if self.living.contains(name) => Answer::Way,
            Ask::Connect(_) => Answer::Over,
            Ask::End(name) => {
                if self.living.remove(name) {
                    self.ended.insert(name.clone());
                }
                Answer::Ended
            }
        }
    }

    fn is_valid_step(&mut self, ask: &Ask, answer: &Answer) -> bool {
        match (ask, answer) {
            // Never the same session from two starts.
            (Ask::Start, Answer::Started(name)) => {
                !self.ended.contains(name) && self.living.insert(name.clone())
            }
            (Ask::End(name), Answer::Ended) => {
                let known = self.living.contains(name) || self.ended.contains(name);
                self.invoke(ask);
                known
            }
            _ => self.invoke(ask) == *answer,
        }
    }
}

/// Why a history is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is none: a client answers what it did not ask, or asks twice at once.
    #[error("this is no history: {0}")]
    Malformed(String),
    /// No order of the calls explains all answers.
    #[error("no order of the calls explains all answers")]
    NotLinearizable,
}

/// Looks for an order of the calls that explains every answer.
///
/// # Errors
/// [`Refused`].
pub fn check(history: &[Event]) -> Result<(), Refused> {
    let mut tester = LinearizabilityTester::new(Sessions::default());
    for event in history {
        let taken = match event {
            Event::Asked(client, ask) => tester.on_invoke(*client, ask.clone()),
            Event::Answered(client, answer) => tester.on_return(*client, answer.clone()),
        };
        taken.map_err(Refused::Malformed)?;
    }
    tester.serialized_history().map(drop).ok_or(Refused::NotLinearizable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(client: u8, name: &str) -> [Event; 2] {
        [Event::Asked(client, Ask::Start), Event::Answered(client, Answer::Started(name.into()))]
    }

    fn end(client: u8, name: &str) -> [Event; 2] {
        [Event::Asked(client, Ask::End(name.into())), Event::Answered(client, Answer::Ended)]
    }

    fn connect(client: u8, name: &str, answer: Answer) -> [Event; 2] {
        [Event::Asked(client, Ask::Connect(name.into())), Event::Answered(client, answer)]
    }

    #[test]
    fn what_happens_one_after_the_other_is_accepted() {
        let history = [
            start(1, "a"),
            connect(2, "a", Answer::Way),
            end(1, "a"),
            connect(2, "a", Answer::Over),
        ];
        check(&history.concat()).unwrap();
    }

    #[test]
    fn a_stale_read_is_refused() {
        let history = [start(1, "a"), end(1, "a"), connect(2, "a", Answer::Way)];
        assert!(matches!(check(&history.concat()), Err(Refused::NotLinearizable)));
    }

    #[test]
    fn a_read_beside_the_end_may_see_either() {
        for answer in [Answer::Way, Answer::Over] {
            let history = [
                &start(1, "a")[..],
                &[Event::Asked(1, Ask::End("a".into()))],
                &connect(2, "a", answer),
                &[Event::Answered(1, Answer::Ended)],
            ];
            check(&history.concat()).unwrap();
        }
    }

    #[test]
    fn what_was_seen_to_end_stays_ended_also_if_the_one_who_asked_heard_nothing() {
        let unanswered = [Event::Asked(1, Ask::End("a".into()))];
        let seen = [&start(1, "a")[..], &unanswered, &connect(2, "a", Answer::Over)].concat();
        check(&seen).unwrap();
        let back = [seen, connect(2, "a", Answer::Way).to_vec()].concat();
        assert!(matches!(check(&back), Err(Refused::NotLinearizable)));
    }

    #[test]
    fn one_session_from_two_starts_is_refused() {
        assert!(check(&[start(1, "a"), start(2, "a")].concat()).is_err());
    }

    #[test]
    fn an_end_succeeds_however_often_it_is_asked() {
        check(&[start(1, "a"), end(1, "a"), end(2, "a")].concat()).unwrap();
        let over = [Event::Asked(2, Ask::End("a".into())), Event::Answered(2, Answer::Over)];
        assert!(check(&[&start(1, "a")[..], &end(1, "a"), &over].concat()).is_err());
    }

    #[test]
    fn a_started_session_that_is_not_found_is_refused() {
        assert!(check(&[start(1, "a"), connect(2, "a", Answer::Over)].concat()).is_err());
    }
}
