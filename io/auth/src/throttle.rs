//! Limits on guessing.
//!
//! Failures are counted in leaky buckets, one for each pair of user and address, and one for each
//! address. There is none for a user alone, so nobody can lock a user out from elsewhere. A
//! success costs nothing, so a crowd behind one address gets in. IPv6 addresses count by their
//! /64, since that is what one machine has.
//!
//! Brokers tell one another of failures, so that a guesser gains nothing by going from one to the next.
//! Telling is best effort: a failure that cannot be told at once counts where it was seen.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use abide_model::UserName;
use tokio::sync::mpsc;

/// More buckets are not kept: the emptiest go first. About 20 MiB.
const MOST_BUCKETS: usize = 100_000;

/// Failures beyond this many in one bucket add nothing, so that the longest wait is bounded.
const MOST_LEVEL: f64 = 500.0;

/// A bucket: so many failures at once, and one more each so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Failures that fit.
    pub burst: u32,
    /// How long one stays.
    pub each: Duration,
}

/// Too many failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed logins; try again in {} s", retry_after.as_secs())]
pub struct Throttled {
    /// When one more attempt will be let through; whole seconds, at least one.
    pub retry_after: Duration,
}

/// A failed login, for the other brokers to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Who was tried.
    pub user: UserName,
    /// From where.
    pub from: IpAddr,
}

/// How many failures there were since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// At this broker.
    pub here: u64,
    /// At others, which told of them.
    pub elsewhere: u64,
}

/// Counts failed logins. Clones share the count.
#[derive(Debug, Clone)]
pub struct Throttle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pair: Limit,
    address: Limit,
    buckets: Mutex<HashMap<Key, Bucket>>,
    here: AtomicU64,
    elsewhere: AtomicU64,
    tell: Option<mpsc::Sender<Failure>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Pair(UserName, IpAddr),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Failures in it at `at`; fractions leak.
    level: f64,
    at: Instant,
}

impl Default for Throttle {
    /// 5 failures of a user from an address, then one a minute; 60 from an address, then one in
    /// 5 seconds.
    fn default() -> Self {
        Self::new(PAIR, ADDRESS)
    }
}

const PAIR: Limit = Limit { burst: 5, each: Duration::from_secs(60) };
const ADDRESS: Limit = Limit { burst: 60, each: Duration::from_secs(5) };

impl Throttle {
    /// Limits for each user from one address, and for each address.
    pub fn new(pair: Limit, address: Limit) -> Self {
        Self::made(pair, address, None)
    }

    /// The default limits. Failures that are seen here go into `tell`; while it is full they do not.
    pub fn telling(tell: mpsc::Sender<Failure>) -> Self {
        Self::made(PAIR, ADDRESS, Some(tell))
    }

    fn made(pair: Limit, address: Limit, tell: Option<mpsc::Sender<Failure>>) -> Self {
        let (buckets, here, elsewhere) = Default::default();
        Self(Arc::new(Inner { pair, address, buckets, here, elsewhere, tell }))
    }

    /// Begins an attempt. For the pair of user and address it counts as failed until it is
    /// forgiven, so that many guesses at once cannot slip through before the first has failed. For
    /// the address alone it counts once it has failed, so that a crowd can log in at once.
    ///
    /// # Errors
    /// [`Throttled`] when there were too many failures; this one is not counted then.
    pub fn attempt(
        &self,
        user: &UserName,
        from: IpAddr,
        now: Instant,
    ) -> Result<Attempt, Throttled> {
        let keys = keys(user, from);
        let mut buckets = self.buckets();
        let waits = keys.iter().map(|key| {
            let limit = self.limit(key);
            let level = buckets.get(key).map_or(0.0, |bucket| bucket.level_at(now, limit));
            let over = level + 1.0 - f64::from(limit.burst);
            limit.each.mul_f64(over.max(0.0))
        });
        let wait = waits.max().unwrap_or_default();
        if !wait.is_zero() {
            let retry_after = Duration::from_secs(wait.as_secs_f64().ceil().max(1.0) as u64);
            return Err(Throttled { retry_after });
        }
        let [pair, address] = keys;
        self.add(&mut buckets, &pair, 1.0, now);
        self.bound(&mut buckets, now);
        drop(buckets);
        Ok(Attempt { throttle: self.clone(), pair, address, at: now, forgiven: false })
    }

    /// Counts a failure that another broker saw.
    pub fn count_failure(&self, failure: &Failure, now: Instant) {
        self.0.elsewhere.fetch_add(1, Ordering::Relaxed);
        let mut buckets = self.buckets();
        for key in &keys(&failure.user, failure.from) {
            self.add(&mut buckets, key, 1.0, now);
        }
        self.bound(&mut buckets, now);
    }

    /// What was counted since the start.
    pub fn failures(&self) -> Failures {
        let [here, elsewhere] =
            [&self.0.here, &self.0.elsewhere].map(|count| count.load(Ordering::Relaxed));
        Failures { here, elsewhere }
    }

    /// Counts a failure of this broker's own, and tells the others. The pair's bucket has it already.
    fn failed(&self, pair: &Key, address: &Key, at: Instant) {
        self.0.here.fetch_add(1, Ordering::Relaxed);
        self.add(&mut self.buckets(), address, 1.0, at);
        if let (Some(tell), Key::Pair(user, from)) = (&self.0.tell, pair) {
            // Full, or nobody tells any more: it counts here all the same.
            let _ = tell.try_send(Failure { user: user.clone(), from: *from });
        }
    }

    fn add(&self, buckets: &mut HashMap<Key, Bucket>, key: &Key, more: f64, now: Instant) {
        let limit = self.limit(key);
        let bucket = buckets.entry(key.clone()).or_insert(Bucket { level: 0.0, at: now });
        let level = (bucket.level_at(now, limit) + more).clamp(0.0, MOST_LEVEL);
        *bucket = Bucket { level, at: now.max(bucket.at) };
        if level == 0.0 {
            buckets.remove(key);
        }
    }

    /// Lets go of the emptiest buckets when there are too many.
    fn bound(&self, buckets: &mut HashMap<Key, Bucket>, now: Instant) {
        let mut floor = 0.0;
        while buckets.len() > MOST_BUCKETS {
            buckets.retain(|key, bucket| bucket.level_at(now, self.limit(key)) > floor);
            floor += 1.0;
        }
    }

    fn limit(&self, key: &Key) -> Limit {
        match key {
            Key::Pair(..) => self.0.pair,
            Key::Address(_) => self.0.address,
        }
    }

    fn buckets(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Bucket>> {
        self.0.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn level_at(&self, now: Instant, limit: Limit) -> f64 {
        let leaked = now.saturating_duration_since(self.at).div_duration_f64(limit.each);
        (self.level - leaked).max(0.0)
    }
}

/// An attempt under way. Dropped without being forgiven, it has failed: an attacker gains nothing
/// by hanging up.
#[derive(Debug)]
#[must_use = "an attempt that is not forgiven counts as failed"]
pub struct Attempt {
    throttle: Throttle,
    pair: Key,
    address: Key,
    at: Instant,
    forgiven: bool,
}

impl Attempt {
    /// It did not fail by a wrong answer.
    pub fn forgive(mut self) {
        self.forgiven = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Self { throttle, pair, address, at, forgiven } = self;
        if *forgiven {
            throttle.add(&mut throttle.buckets(), pair, -1.0, *at);
        } else {
            throttle.failed(pair, address, *at);
        }
    }
}

fn keys(user: &UserName, from: IpAddr) -> [Key; 2] {
    let from = match from.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    };
    [Key::Pair(user.clone(), from), Key::Address(from)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> Throttle {
        Throttle::new(
            Limit { burst: 3, each: Duration::from_secs(60) },
            Limit { burst: 10, each: Duration::from_secs(5) },
        )
    }

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    fn home() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn guessing_is_slowed_and_forgotten_in_time() {
        let (throttle, start) = (throttle(), Instant::now());
        let fail = |at| throttle.attempt(&user("ada"), home(), start + secs(at)).map(drop);
        for _ in 0..3 {
            assert_eq!(fail(0), Ok(()));
        }
        assert_eq!(fail(0), Err(Throttled { retry_after: secs(60) }));
        assert_eq!(fail(59), Err(Throttled { retry_after: secs(1) }));
        assert_eq!(fail(60), Ok(()));
        assert!(fail(61).is_err());
        for _ in 0..3 {
            assert_eq!(fail(600), Ok(()));
        }
        assert!(fail(600).is_err());
    }

    #[test]
    fn a_user_is_not_locked_out_from_elsewhere() {
        let (throttle, now) = (throttle(), Instant::now());
        for n in 0..250u8 {
            let elsewhere = IpAddr::from([198, 51, 100, n]);
            for _ in 0..9 {
                let _ = throttle.attempt(&user("ada"), elsewhere, now);
            }
        }
        throttle.attempt(&user("ada"), home(), now).unwrap().forgive();
    }

    #[test]
    fn a_success_costs_nothing() {
        let (throttle, now) = (throttle(), Instant::now());
        for n in 0..1000 {
            throttle.attempt(&user(&format!("user{n}")), home(), now).unwrap().forgive();
        }
        assert!(throttle.buckets().is_empty());
    }

    #[test]
    fn an_address_is_slowed_whomever_it_guesses() {
        let (throttle, now) = (throttle(), Instant::now());
        for n in 0..10 {
            drop(throttle.attempt(&user(&format!("user{n}")), home(), now).unwrap());
        }
        let refused = throttle.attempt(&user("ada"), home(), now).unwrap_err();
        assert_eq!(refused.retry_after, secs(5));
        assert!(throttle.attempt(&user("ada"), "192.0.2.2".parse().unwrap(), now).is_ok());
    }

    #[test]
    fn a_crowd_behind_one_address_logs_in_at_once() {
        let (throttle, now) = (throttle(), Instant::now());
        let crowd: Vec<_> = (0..100)
            .map(|n| throttle.attempt(&user(&format!("user{n}")), home(), now).unwrap())
            .collect();
        crowd.into_iter().for_each(Attempt::forgive);
        assert!(throttle.buckets().is_empty());
    }

    #[test]
    fn attempts_at_once_count_before_they_fail() {
        let (throttle, now) = (throttle(), Instant::now());
        let begun: Vec<_> = (0..5).map(|_| throttle.attempt(&user("ada"), home(), now)).collect();
        assert_eq!(begun.iter().filter(|attempt| attempt.is_ok()).count(), 3);
    }

    #[test]
    fn a_machine_has_one_ipv6_network_and_mapped_addresses_are_ipv4() {
        let same = |a: &str, b: &str| {
            keys(&user("u"), a.parse().unwrap()) == keys(&user("u"), b.parse().unwrap())
        };
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn a_failure_is_told_once_and_counts_at_the_others_as_it_does_here() {
        let (tell, mut told) = mpsc::channel(8);
        let (first, second, now) = (Throttle::telling(tell), Throttle::default(), Instant::now());
        first.attempt(&user("ada"), home(), now).unwrap().forgive();
        assert!(told.try_recv().is_err(), "a success is nobody's business");
        for _ in 0..PAIR.burst {
            drop(first.attempt(&user("ada"), home(), now).unwrap());
            second.count_failure(&told.try_recv().unwrap(), now);
        }
        assert!(told.try_recv().is_err());
        for throttle in [&first, &second] {
            assert!(throttle.attempt(&user("ada"), home(), now).is_err());
            let elsewhere = "192.0.2.2".parse().unwrap();
            throttle.attempt(&user("ada"), elsewhere, now).unwrap().forgive();
        }
        assert_eq!(first.failures(), Failures { here: 5, elsewhere: 0 });
        assert_eq!(second.failures(), Failures { here: 0, elsewhere: 5 });
    }

    #[test]
    fn a_failure_that_cannot_be_told_counts_here_and_holds_nobody_up() {
        let (tell, _told) = mpsc::channel(1);
        let (throttle, now) = (Throttle::telling(tell), Instant::now());
        for _ in 0..PAIR.burst {
            drop(throttle.attempt(&user("ada"), home(), now).unwrap());
        }
        assert!(throttle.attempt(&user("ada"), home(), now).is_err());
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_remembered() {
        let (throttle, now) = (throttle(), Instant::now());
        for _ in 0..3 {
            throttle.count_failure(&Failure { user: user("ada"), from: home() }, now);
        }
        for n in 0..MOST_BUCKETS {
            let [_, a, b, c] = (n as u32).to_be_bytes();
            let from = IpAddr::from([10, a, b, c]);
            throttle.count_failure(&Failure { user: user("x"), from }, now);
        }
        assert!(throttle.buckets().len() <= MOST_BUCKETS);
        assert!(throttle.attempt(&user("ada"), home(), now).is_err());
    }
}
