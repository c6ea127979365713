//! What time it is for this broker: its host's clock, as long as that may be believed.
//!
//! What the table is told, and what tokens and tickets are issued and judged by, comes from here alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use abide_clock::{Guard, Others, Reading, Sighting, Uptime, Verdict};
use abide_model::{BrokerId, Change, Timestamp};
use abide_raft::Raft;
use abide_wire::agent::{ClockReply, broker_message};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::broker::Broker;
use crate::hub::{Heard, Hub};
use crate::replica::Replica;

/// How often the clock is looked at when nothing asks for the time, and when nobody can tell it.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_IN_DOUBT: Duration = Duration::from_millis(50);

/// The leader lets the table's time be no older, milliseconds: what has expired goes also where nothing
/// happens, and a broker that is restarted after a quiet night does not doubt its clock.
const TABLE_AGE_MS: u64 = 5 * 60 * 1000;

/// The broker's time. Clones share it.
#[derive(Clone)]
pub struct Clock(Arc<Shared>);

struct Shared {
    raft: Raft<Replica>,
    hub: Hub,
    brokers: Mutex<HashMap<BrokerId, Sighting>>,
    guard: Mutex<Guard>,
    trust: watch::Sender<Trust>,
}

/// Whether the host's clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It is.
    Own,
    /// Nobody can tell yet.
    Doubt,
    /// It is not.
    Others,
}

/// How the clock stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is believed.
    pub trust: Trust,
    /// The host's clock minus the time that is used, milliseconds.
    pub offset_ms: i64,
}

impl Clock {
    /// The host's, judged by the table and by who is heard.
    pub fn new(raft: Raft<Replica>, hub: Hub) -> Self {
        Self(Arc::new(Shared {
            raft,
            hub,
            brokers: Mutex::default(),
            guard: Mutex::default(),
            trust: watch::Sender::new(Trust::Own),
        }))
    }

    /// The time. While nobody can tell, the host's clock: for what people are shown, and for what can be
    /// asked for again.
    pub fn now(&self) -> Timestamp {
        let (reading, verdict) = self.look();
        match verdict {
            Verdict::Own(time) | Verdict::Others(time) => time,
            Verdict::Doubt => reading.wall,
        }
    }

    /// The time, surely: waits while nobody can tell it. For what goes into the table, and for who is
    /// logged in.
    pub async fn certain(&self) -> Timestamp {
        loop {
            match self.look().1 {
                Verdict::Own(time) | Verdict::Others(time) => return time,
                Verdict::Doubt => tokio::time::sleep(LOOK_IN_DOUBT).await,
            }
        }
    }

    /// The time, as certificates want it.
    pub fn system_time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.now().0)
    }

    /// The time, and a clock that only measures.
    pub fn heard(&self) -> Heard {
        Heard { instant: Instant::now(), at: self.now() }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let (reading, verdict) = self.look();
        let (trust, used) = match verdict {
            Verdict::Own(time) => (Trust::Own, time),
            Verdict::Others(time) => (Trust::Others, time),
            Verdict::Doubt => (Trust::Doubt, reading.wall),
        };
        Standing { trust, offset_ms: difference(reading.wall, used) }
    }

    /// How far another broker's clock is from the time that is used, milliseconds, if it was heard lately.
    pub fn offset_of(&self, broker: &BrokerId) -> Option<i64> {
        let seen = lock(&self.0.brokers).get(broker)?.now(read().uptime)?;
        Some(difference(seen, self.now()))
    }

    /// Another broker's clock shows this.
    pub fn hear_broker(&self, broker: &BrokerId, shown: Timestamp) {
        if let Some(sighting) = sighting(shown) {
            lock(&self.0.brokers).insert(broker.clone(), sighting);
        }
    }

    /// Whether other clocks are urgently wanted.
    pub fn is_in_doubt(&self) -> bool {
        *self.0.trust.borrow() == Trust::Doubt
    }

    fn look(&self) -> (Reading, Verdict) {
        let Shared { raft, guard, trust, .. } = &*self.0;
        let mut guard = lock(guard);
        let reading = read();
        let table = raft.latest();
        let verdict = guard.look(reading, table.0.now(), || self.others(&table, reading.uptime));
        let now = match verdict {
            Verdict::Own(_) => Trust::Own,
            Verdict::Others(_) => Trust::Others,
            Verdict::Doubt => Trust::Doubt,
        };
        trust.send_if_modified(|known| std::mem::replace(known, now) != now);
        (reading, verdict)
    }

    /// Brokers that were removed, and agents that are gone, were not heard lately.
    fn others(&self, table: &Replica, now: Uptime) -> Others {
        let brokers = lock(&self.0.brokers);
        Others {
            brokers: brokers.values().filter_map(|seen| seen.now(now)).collect(),
            agents: self.0.hub.clocks().into_iter().filter_map(|seen| seen.now(now)).collect(),
            exist: table.0.brokers().count() > 1 || table.0.agents().next().is_some(),
        }
    }
}

/// Looks at the clock all the time, and says when it is not believed any more, or again. Runs until the
/// broker stops.
pub async fn keep(broker: Broker) {
    let mut trust = broker.clock.0.trust.subscribe();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => pass_time(&broker).await,
            changed = trust.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = *trust.borrow_and_update();
                say(now, broker.clock.standing().offset_ms);
                // What agents have measured of this broker's clock is wrong now.
                let again = ClockReply { probe: 0, now_ms: broker.clock.now().0 };
                broker.hub.tell_all(&broker_message::Message::Clock(again));
            }
        }
    }
}

/// Looks at the clock; and takes the table's time on, if this broker leads and nothing else did.
async fn pass_time(broker: &Broker) {
    let (_, verdict) = broker.clock.look();
    let (Verdict::Own(now) | Verdict::Others(now)) = verdict else { return };
    let age = now.since(broker.raft.latest().0.now());
    if age >= TABLE_AGE_MS && broker.raft.leadership().borrow().is_serving() {
        // Whatever is wrong with the engine is said elsewhere, and a second later it is tried again.
        let _ = broker.commit(Change::PassTime).await;
    }
}

fn say(trust: Trust, offset_ms: i64) {
    match trust {
        Trust::Own => info!("This host's clock is believed again"),
        Trust::Doubt => warn!(
            "This host's clock does not go on from the table's time; the other servers' clocks are asked"
        ),
        Trust::Others => error!(
            offset_ms,
            "This host's clock is wrong by the other servers' clocks, and theirs is used: set it right"
        ),
    }
}

impl Standing {
    /// What is wrong with the clock, in words; `None` if nothing is.
    pub fn problem(&self) -> Option<String> {
        let seconds = self.offset_ms.unsigned_abs() / 1000;
        let far = match (seconds / 3600, seconds / 60 % 60) {
            (0, minutes) => format!("{minutes} min"),
            (hours, minutes) => format!("{hours} h {minutes} min"),
        };
        let side = if self.offset_ms > 0 { "ahead of" } else { "behind" };
        match self.trust {
            Trust::Own => None,
            Trust::Doubt => Some(
                "This broker's clock does not go on from the table's time; it waits for another \
                 server's clock for some seconds before it lets anybody in."
                    .to_owned(),
            ),
            Trust::Others => Some(format!(
                "This broker's clock is {far} {side} the other servers' clocks. Theirs is used; set \
                 this one right."
            )),
        }
    }
}

/// Another server's clock as it shows now; one that tells nothing shows 0.
pub fn sighting(shown: Timestamp) -> Option<Sighting> {
    let uptime = read().uptime;
    (shown != Timestamp(0)).then_some(Sighting(Reading { wall: shown, uptime }))
}

/// The host's clock, believed or not: for telling other brokers, who judge for themselves.
pub fn host() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn read() -> Reading {
    // Unlike the standard library's clock it goes on while the host sleeps.
    let up = clock_gettime(ClockId::Boottime);
    let (seconds, millis) = (up.tv_sec.unsigned_abs(), up.tv_nsec.unsigned_abs() / 1_000_000);
    Reading { wall: host(), uptime: Uptime(seconds * 1000 + millis) }
}

fn difference(one: Timestamp, other: Timestamp) -> i64 {
    i64::try_from(i128::from(one.0) - i128::from(other.0)).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
