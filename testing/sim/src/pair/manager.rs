//! A cluster manager, without which no pair decides: one daemon on each broker's host. They tell one another
//! how they stand; one that does not hear the other for its detection time has its own broker serve.
//!
//! Some of them vouch for it that the peer is down: for a broker of whose end the peer's daemon has told; under
//! `fenced` also after they have taken the peer's power. What they say may be late, but is never false.
//! Between daemons that do not hear one another both brokers may be told to serve.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Asked, order};
use crate::broker;
use crate::chance::Chance;
use crate::net::End;
use crate::world::World;

/// Between two beats.
const BEAT: Duration = Duration::from_millis(200);
/// How long a broker that refused, or could not serve, is not asked again.
const UNFIT: Duration = Duration::from_secs(3);

/// Both daemons.
pub struct Managers {
    detection: Duration,
    /// It can take a host's power, and does before it vouches.
    fences: bool,
    hosts: [Mutex<Daemon>; 2],
}

#[derive(Default)]
struct Daemon {
    /// Its broker is to serve.
    active: bool,
    began: Option<Instant>,
    heard: Option<(Instant, Beat)>,
    unfit: Option<Instant>,
    /// Does not hear the other, whatever the network does.
    deaf: Option<Instant>,
}

/// What one daemon tells the other.
#[derive(Debug, Clone, Copy)]
struct Beat {
    /// Its broker could serve.
    fit: bool,
    /// Its broker does not run.
    stopped: bool,
    active: bool,
}

impl Managers {
    pub fn new(chance: &Chance) -> Self {
        Self {
            detection: chance.millis(600, 3_000),
            fences: chance.per_mille(700),
            hosts: Default::default(),
        }
    }

    /// A host's daemon dies with it; another begins with the host.
    pub fn reboot(&self, host: usize) {
        *self.daemon(host) = Daemon::default();
    }

    /// From now on, for so long, a host's daemon hears nothing.
    pub fn deafen(&self, host: usize, until: Instant) {
        self.daemon(host).deaf = Some(until);
    }

    fn daemon(&self, host: usize) -> MutexGuard<'_, Daemon> {
        self.hosts[host].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until all is healed.
pub async fn run(world: Arc<World>, host: usize) {
    while !world.is_calm() {
        tokio::time::sleep(BEAT).await;
        if world.brokers[host].is_off() {
            continue;
        }
        beat(&world, host);
        if let Some(asked) = judge(&world, host) {
            say(&world, host, asked);
        }
    }
}

fn beat(world: &Arc<World>, host: usize) {
    let Some(pair) = &world.pair else { return };
    let stopped = world.raft(host).is_none();
    let beat = {
        let mut daemon = pair.managers.daemon(host);
        daemon.began.get_or_insert_with(Instant::now);
        let unfit = daemon.unfit.is_some_and(|until| Instant::now() < until);
        Beat { fit: !stopped && !unfit, stopped, active: daemon.active }
    };
    let world = world.clone();
    tokio::spawn(async move {
        let came = world.carry(End::Broker(host), End::Broker(1 - host)).await;
        if let (Some(()), Some(pair), false) = (came, &world.pair, world.brokers[1 - host].is_off())
        {
            let mut other = pair.managers.daemon(1 - host);
            if other.deaf.is_none_or(|until| Instant::now() >= until) {
                other.heard = Some((Instant::now(), beat));
            }
        }
    });
}

/// What is to be said now, if anything.
fn judge(world: &World, host: usize) -> Option<Asked> {
    let managers = &world.pair.as_ref()?.managers;
    let mut daemon = managers.daemon(host);
    let (refused, is_up) = {
        let state = world.brokers[host].state();
        (state.pair.refused, state.raft.is_some())
    };
    if daemon.active && (!is_up || refused) {
        daemon.active = false;
        daemon.unfit = Some(Instant::now() + UNFIT);
        // Some forget that they had wanted it.
        return world.chance.per_mille(500).then_some(Asked::Release);
    }
    let unfit = daemon.unfit.is_some_and(|until| Instant::now() < until);
    if !is_up || unfit {
        return None;
    }
    let since = daemon.heard.map(|(at, _)| at).max(daemon.began)?;
    let peer = daemon.heard.filter(|(at, _)| at.elapsed() < managers.detection);
    let told_stopped = peer.is_some_and(|(_, beat)| beat.stopped);
    match (daemon.active, peer) {
        // Both: one of them lets go.
        (true, Some((_, Beat { active: true, .. }))) if host == 1 => {
            daemon.active = false;
            Some(Asked::Release)
        }
        // A monitor repeats it.
        (true, _) if world.chance.per_mille(200) => {
            Some(Asked::Activate { peer_is_down: told_stopped })
        }
        (true, _) => None,
        (false, Some((_, Beat { active: true, .. }))) => None,
        (false, Some((_, beat))) if beat.fit && host == 1 => None,
        (false, None) if since.elapsed() < managers.detection => None,
        (false, _) => {
            daemon.active = true;
            Some(Asked::Activate { peer_is_down: told_stopped && world.chance.per_mille(700) })
        }
    }
}

fn say(world: &Arc<World>, host: usize, asked: Asked) {
    let Some(pair) = &world.pair else { return };
    let is_silent = pair.managers.hears_nothing(host);
    let vouches = match asked {
        // One that was never heard since this host's start is not shot: two that boot cut off would go on
        // shooting one another.
        Asked::Activate { peer_is_down: false } => {
            pair.is_fenced() && pair.managers.fences && is_silent == Some(true)
        }
        _ => false,
    };
    if vouches {
        take_power(world, 1 - host);
        order(world, host, Asked::Activate { peer_is_down: true });
    } else {
        order(world, host, asked);
    }
}

/// A host's power goes; it comes back after a while.
pub fn take_power(world: &Arc<World>, host: usize) {
    world.trace.add(&format!("the host of b{host} loses its power"));
    world.brokers[host].power_off();
    if let Some(pair) = &world.pair {
        pair.managers.reboot(host);
    }
    let back = world.chance.millis(200, 3_000);
    let world = world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(back).await;
        world.brokers[host].power_on();
        broker::start(&world, host).await;
    });
}

impl Managers {
    /// Whether a daemon that has heard the other one does not any more; `None` if it never has.
    fn hears_nothing(&self, host: usize) -> Option<bool> {
        let heard = self.daemon(host).heard;
        heard.map(|(at, _)| at.elapsed() >= self.detection)
    }
}
