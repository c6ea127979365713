//! When to put, to announce, to release.

use std::time::{Duration, Instant};

use crate::decide::{ANNOUNCED, Holding, LIFETIME, Put, RENEWAL, Step};

const LEASE: Duration = Duration::from_millis(300);

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Everything that a holder did in `length`, by when, if it may hold for `left(when)` more.
fn run(length: Duration, left: impl Fn(Duration) -> Duration) -> Vec<(Duration, Step)> {
    let start = Instant::now();
    let (mut holding, mut passed, mut done) = (Holding::Free, Duration::ZERO, Vec::new());
    while passed < length {
        let now = start + passed;
        let step = holding.next(now, left(passed));
        match step {
            Step::Wait(wait) => {
                assert!(!wait.is_zero(), "it must not spin");
                passed += wait;
                continue;
            }
            Step::Put if holding == Holding::Free => holding.put(now, Put::Added),
            Step::Put => holding.put(now, Put::Renewed),
            Step::Announce => holding.announced(now),
            Step::Release => holding.released(),
        }
        done.push((passed, step));
    }
    done
}

fn times(done: &[(Duration, Step)], of: Step) -> Vec<Duration> {
    done.iter().filter(|(_, step)| *step == of).map(|(at, _)| *at).collect()
}

#[test]
fn nothing_is_done_for_who_may_not_hold() {
    assert_eq!(run(ms(10_000), |_| Duration::ZERO), []);
}

#[test]
fn who_may_hold_renews_long_before_the_kernel_lets_go() {
    let put = times(&run(ms(10_000), |_| LEASE), Step::Put);
    assert_eq!(put.len(), 20);
    assert!(put.windows(2).all(|it| it[1] - it[0] == RENEWAL));
    assert!(RENEWAL * 3 < LIFETIME);
}

#[test]
fn announcements_begin_at_once_and_end_after_three_seconds() {
    let announced = times(&run(ms(10_000), |_| LEASE), Step::Announce);
    assert_eq!(announced.first(), Some(&Duration::ZERO));
    assert_eq!(announced.last(), Some(&ANNOUNCED));
    assert_eq!(announced.len(), 13);
}

#[test]
fn an_address_is_released_when_the_permission_ends_not_at_the_next_look() {
    // Acknowledged for the last time at 1,030 ms: good for a lease from then on.
    let done = run(ms(5_000), |passed| (ms(1_030) + LEASE).saturating_sub(passed).min(LEASE));
    assert_eq!(done.last(), Some(&(ms(1_330), Step::Release)));
}

#[test]
fn a_process_that_hung_releases_first_when_it_wakes() {
    let start = Instant::now();
    let mut holding = Holding::Free;
    holding.put(start, Put::Added);
    let woken = start + Duration::from_secs(10);
    assert_eq!(holding.next(woken, Duration::ZERO), Step::Release);
}

#[test]
fn an_address_that_had_expired_is_announced_again() {
    let start = Instant::now();
    let mut holding = Holding::Free;
    holding.put(start, Put::Added);
    let late = start + Duration::from_secs(10);
    holding.announced(late);
    assert_eq!(holding.next(late, LEASE), Step::Put);
    holding.put(late, Put::Added);
    assert_eq!(holding.next(late, LEASE), Step::Announce);
}

#[test]
fn what_the_kernel_refuses_is_neither_announced_nor_tried_without_pause_and_released_in_the_end() {
    let start = Instant::now();
    let mut holding = Holding::Free;
    holding.put(start, Put::Refused);
    assert!(matches!(holding.next(start, LEASE), Step::Wait(wait) if wait > Duration::ZERO));
    assert_eq!(holding.next(start + RENEWAL, LEASE), Step::Put);
    assert_eq!(holding.next(start, Duration::ZERO), Step::Release);
}
