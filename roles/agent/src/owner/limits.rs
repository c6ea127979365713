//! For how long sessions may go on, by the cluster's configuration as this agent knows it.
//!
//! ```text
//! input, viewers, age ─▶ core/policy: judge ─▶ nothing · a warning for its viewers · its end
//! ```
//! No limit ends a session too early. What an earlier daemon knew of input and viewers counts as if it had happened
//! when this one started. And nobody is ended unwarned: a limit that is over without a warning, since it
//! was set just now, gives the time that a warning takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use abide_model::SessionId;
use abide_policy::{Limit, Limits, Seen, Standing};
use abide_session::{Event, Phase};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

use super::{Desk, Owner};
use crate::host;

/// How often sessions are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An end that moves by less is the same warning.
const SAME: Duration = Duration::from_secs(2);

/// When somebody did something in a session. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct LastInput {
    from: Instant,
    /// Milliseconds after that.
    last: Arc<AtomicU64>,
}

/// That a session ends, unless something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Warning {
    /// By which limit.
    pub(crate) limit: Limit,
    /// When.
    pub(crate) at: Instant,
}

/// The warning that stands, if one does, and its changes.
pub(crate) type Warnings = watch::Receiver<Option<Warning>>;

/// What is seen of a session.
#[derive(Debug)]
pub(super) struct Watched {
    input: LastInput,
    /// Since when it has no viewer; `None`: it has one.
    alone: Option<Instant>,
    /// Since when people are warned.
    warned: Option<Instant>,
    warning: watch::Sender<Option<Warning>>,
}

impl LastInput {
    fn new() -> Self {
        Self { from: Instant::now(), last: Arc::default() }
    }

    /// It was just now.
    pub(crate) fn note(&self) {
        let passed = u64::try_from(self.from.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }

    fn ago(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.from.elapsed().saturating_sub(last)
    }
}

impl Watched {
    pub(super) fn new() -> Self {
        Self {
            input: LastInput::new(),
            alone: Some(Instant::now()),
            warned: None,
            warning: watch::Sender::new(None),
        }
    }

    pub(super) fn input(&self) -> LastInput {
        self.input.clone()
    }

    pub(super) fn attached(&mut self) {
        self.alone = None;
    }

    pub(super) fn left_alone(&mut self) {
        self.alone = Some(Instant::now());
    }

    pub(super) fn warnings(&self) -> Warnings {
        self.warning.subscribe()
    }

    /// Which limit ends the session now, if one does; warns of it before.
    fn judge(&mut self, limits: &Limits, age: Duration) -> Option<Limit> {
        let alone = self.alone.map(|since| since.elapsed());
        let (limit, left) = match limits.judge(Seen { age, idle: self.input.ago(), alone }) {
            Standing::Free(_) => {
                self.warned = None;
                self.say(None);
                return None;
            }
            Standing::EndsIn(limit, left) => (limit, left),
            Standing::Over(limit) => (limit, Duration::ZERO),
        };
        let warned = *self.warned.get_or_insert_with(Instant::now);
        let left = left.max(limits.warning().saturating_sub(warned.elapsed()));
        if left.is_zero() {
            return Some(limit);
        }
        self.say(Some(Warning { limit, at: Instant::now() + left }));
        None
    }

    fn say(&self, warning: Option<Warning>) {
        self.warning.send_if_modified(|told| {
            let is_same = match (&*told, &warning) {
                (Some(told), Some(now)) => {
                    let (early, late) = (told.at.min(now.at), told.at.max(now.at));
                    told.limit == now.limit && late - early < SAME
                }
                (told, now) => told.is_none() && now.is_none(),
            };
            if !is_same {
                *told = warning;
            }
            !is_same
        });
    }
}

impl Owner {
    /// Warns people whose session is about to reach a limit, and ends those that have.
    pub(super) fn judge_limits(&mut self) {
        let (config, up) = (self.parts.policy.now(), host::up());
        let over = |(id, desk): (&SessionId, &mut Desk)| {
            let Desk { session, watched, .. } = desk;
            let row = session.row();
            let order = row.order.as_ref().filter(|_| row.phase == Phase::Running)?;
            let limits = config.limits_of(&order.profile, order.pool.as_ref());
            // One whose keeper is not known yet has just begun to be known.
            let started = row.keeper.map_or(up, |keeper| host::after_boot(keeper.start_ticks));
            let age = up.saturating_sub(started);
            Some((*id, watched.judge(&limits, age)?))
        };
        let over: Vec<_> = self.desks.iter_mut().filter_map(over).collect();
        for (id, limit) in over {
            let by = match limit {
                Limit::Idle => "the limit on idle time",
                Limit::Disconnected => "the limit on time without a viewer",
                Limit::Total => "the limit on total time",
            };
            info!(session = %id, by, "A limit ends the session");
            self.note(id, Event::EndOrdered { by: by.into() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    const IDLE: Limits =
        Limits { idle: Some(minutes(30)), disconnected: None, total: None, warn: Some(minutes(5)) };

    async fn pass(time: Duration) {
        tokio::time::advance(time).await;
    }

    fn warned(watched: &Watched) -> Option<Limit> {
        watched.warning.borrow().map(|it| it.limit)
    }

    #[tokio::test(start_paused = true)]
    async fn people_are_warned_and_input_takes_the_warning_back() {
        let mut watched = Watched::new();
        assert_eq!(watched.judge(&IDLE, Duration::ZERO), None);
        pass(minutes(26)).await;
        assert_eq!(
            (watched.judge(&IDLE, minutes(26)), warned(&watched)),
            (None, Some(Limit::Idle))
        );
        watched.input().note();
        assert_eq!((watched.judge(&IDLE, minutes(26)), warned(&watched)), (None, None));
        pass(minutes(25)).await;
        assert_eq!(watched.judge(&IDLE, minutes(51)), None);
        pass(minutes(5)).await;
        assert_eq!(watched.judge(&IDLE, minutes(56)), Some(Limit::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_over_when_it_is_set_gives_the_time_of_a_warning() {
        let mut watched = Watched::new();
        pass(minutes(600)).await;
        assert_eq!(
            (watched.judge(&IDLE, minutes(600)), warned(&watched)),
            (None, Some(Limit::Idle))
        );
        pass(minutes(4)).await;
        assert_eq!(watched.judge(&IDLE, minutes(604)), None);
        pass(minutes(1)).await;
        assert_eq!(watched.judge(&IDLE, minutes(605)), Some(Limit::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_session_without_a_viewer_reaches_the_limit_on_that() {
        let limits = Limits { idle: None, disconnected: Some(minutes(60)), ..IDLE };
        let mut watched = Watched::new();
        watched.attached();
        pass(minutes(90)).await;
        assert_eq!((watched.judge(&limits, minutes(90)), warned(&watched)), (None, None));
        watched.left_alone();
        pass(minutes(56)).await;
        assert_eq!(watched.judge(&limits, minutes(146)), None);
        assert_eq!(warned(&watched), Some(Limit::Disconnected));
        pass(minutes(5)).await;
        assert_eq!(watched.judge(&limits, minutes(151)), Some(Limit::Disconnected));
    }
}
