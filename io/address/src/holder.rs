//! Holds the addresses while it may.
//!
//! On a thread of its own: should the process's asynchronous runtime hang, the answer to "how much
//! longer?" runs out, and the thread still removes the addresses.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::decide::{Holding, Put, Step};
use crate::link::{self, Link};
use crate::place::Place;

/// Dropping it removes the addresses and ends its thread, before it returns.
#[derive(Debug)]
pub struct Holder {
    /// Closing it ends the thread.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    held: Held,
}

/// Which of the addresses are on this host, as far as their holder knows. Clones see the same.
#[derive(Debug, Clone)]
pub struct Held(Vec<(IpAddr, Arc<AtomicBool>)>);

impl Held {
    /// Each address, and whether it is here.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, bool)> {
        self.0.iter().map(|(address, held)| (*address, held.load(Ordering::Relaxed)))
    }
}

impl Holder {
    /// Holds the addresses from now on, whenever `left` says that this host may: for so long, counted
    /// from the call. Zero means that it may not, or no more.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(
        mut place: Place,
        left: impl Fn() -> Duration + Send + 'static,
    ) -> io::Result<Self> {
        let mut slots: Vec<Slot> = place.wanted.addresses.iter().copied().map(Slot::new).collect();
        let held = Held(slots.iter().map(|it| (it.address, Arc::clone(&it.held))).collect());
        let (stop, told) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("service-address".into())
            .spawn(move || run(&mut place, &mut slots, &told, left))?;
        Ok(Self { stop: Some(stop), thread: Some(thread), held })
    }

    /// Which addresses are held, now and in future.
    pub fn held(&self) -> Held {
        self.held.clone()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("The service address's thread had failed; the kernel removes the address");
        }
    }
}

struct Slot {
    address: IpAddr,
    holding: Holding,
    /// What the kernel last refused it for: said once, not twice a second.
    refused: Option<String>,
    /// Told to whoever asks.
    held: Arc<AtomicBool>,
}

impl Slot {
    fn new(address: IpAddr) -> Self {
        Self { address, holding: Holding::Free, refused: None, held: Arc::default() }
    }

    fn note(&mut self, outcome: Result<(), String>) {
        let refused = outcome.err();
        if let Some(cause) = refused.as_ref().filter(|it| Some(*it) != self.refused.as_ref()) {
            warn!(address = %self.address, cause, "The service address cannot be held");
        }
        self.refused = refused;
    }

    /// A put that was refused may have left an earlier one in place, but nobody should rely on it.
    fn tell(&self) {
        let held = self.holding != Holding::Free && self.refused.is_none();
        self.held.store(held, Ordering::Relaxed);
    }
}

fn run(place: &mut Place, slots: &mut [Slot], told: &Receiver<()>, left: impl Fn() -> Duration) {
    let mut wait = Duration::ZERO;
    while told.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = Duration::MAX;
        for slot in &mut *slots {
            // Asked anew for each step, and right before it: an answer ages.
            wait = wait.min(step(place, slot, left()));
        }
    }
    for slot in slots {
        if slot.holding != Holding::Free {
            release(place, slot);
            slot.tell();
        }
    }
}

/// Does what is next for one address, and says how long it may then be left alone.
fn step(place: &mut Place, slot: &mut Slot, left: Duration) -> Duration {
    match slot.holding.next(Instant::now(), left) {
        Step::Wait(wait) => return wait,
        Step::Put => put(place, slot),
        Step::Announce => announce(place, slot),
        Step::Release => release(place, slot),
    }
    slot.tell();
    Duration::ZERO
}

fn put(place: &mut Place, slot: &mut Slot) {
    let outcome = find(place)
        .and_then(|link| place.netlink.put(link.index, slot.address).map_err(|it| it.to_string()));
    let how = *outcome.as_ref().unwrap_or(&Put::Refused);
    if how == Put::Added {
        info!(address = %slot.address, interface = place.wanted.interface, "Service address taken");
    }
    slot.holding.put(Instant::now(), how);
    slot.note(outcome.map(drop));
}

fn announce(place: &Place, slot: &mut Slot) {
    let outcome = find(place).and_then(|link| {
        place.announcer.announce(&link, slot.address).map_err(|it| it.desc().to_owned())
    });
    slot.holding.announced(Instant::now());
    if let Err(cause) = outcome {
        warn!(address = %slot.address, cause, "The service address could not be announced");
    }
}

fn release(place: &mut Place, slot: &mut Slot) {
    let removed = find(place).and_then(|link| {
        place.netlink.remove(link.index, slot.address).map_err(|it| it.to_string())
    });
    match removed {
        Ok(()) => info!(address = %slot.address, "Service address released"),
        Err(cause) => {
            warn!(address = %slot.address, cause, "The kernel removes the service address");
        }
    }
    slot.holding.released();
    slot.refused = None;
}

fn find(place: &Place) -> Result<Link, String> {
    link::find(&place.wanted.interface).map_err(|cause| cause.to_string())
}
