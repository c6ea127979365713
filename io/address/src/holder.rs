//! Holds the addresses while it may.
//!
//! On a thread of its own: should the process's asynchronous runtime hang, the answer to "how much
//! longer?" runs out, and the thread still removes the addresses.

use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::ServiceAddress;
use crate::decide::{Holding, Put, Step};
use crate::link::{self, Link};
use crate::place::{PlaceError, Tools, prepare};

/// Dropping it removes the addresses and ends its thread, before it returns.
#[derive(Debug)]
pub struct Holder {
    /// Closing it ends the thread.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Holder {
    /// Holds the addresses from now on, whenever `left` says that this host may: for so long, counted
    /// from the call. Zero means that it may not, or no more.
    ///
    /// # Errors
    /// [`PlaceError`]: they cannot be held here, and nothing was changed.
    pub fn start(
        wanted: ServiceAddress,
        left: impl Fn() -> Duration + Send + 'static,
    ) -> Result<Self, PlaceError> {
        let tools = prepare(&wanted)?;
        let slots = wanted.addresses.into_iter().map(Slot::new).collect();
        let mut work = Work { interface: wanted.interface, tools, slots };
        let (stop, told) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("service-address".into())
            .spawn(move || work.run(&told, left))
            .map_err(PlaceError::Thread)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
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

struct Work {
    interface: String,
    tools: Tools,
    slots: Vec<Slot>,
}

struct Slot {
    address: IpAddr,
    holding: Holding,
    /// What the kernel last refused it for: said once, not twice a second.
    refused: Option<String>,
}

impl Slot {
    fn new(address: IpAddr) -> Self {
        Self { address, holding: Holding::Free, refused: None }
    }

    fn note(&mut self, outcome: Result<(), String>) {
        let refused = outcome.err();
        if let Some(cause) = refused.as_ref().filter(|it| Some(*it) != self.refused.as_ref()) {
            warn!(address = %self.address, cause, "The service address cannot be held");
        }
        self.refused = refused;
    }
}

impl Work {
    fn run(&mut self, told: &Receiver<()>, left: impl Fn() -> Duration) {
        let mut wait = Duration::ZERO;
        while told.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            wait = Duration::MAX;
            for index in 0..self.slots.len() {
                // Asked anew for each step, and right before it: an answer ages.
                wait = wait.min(self.step(index, left()));
            }
        }
        for slot in &mut self.slots {
            if slot.holding != Holding::Free {
                release(&self.interface, &mut self.tools, slot);
            }
        }
    }

    /// Does what is next for one address, and says how long it may then be left alone.
    fn step(&mut self, index: usize, left: Duration) -> Duration {
        let Self { interface, tools, slots } = self;
        let slot = &mut slots[index];
        match slot.holding.next(Instant::now(), left) {
            Step::Wait(wait) => return wait,
            Step::Put => put(interface, tools, slot),
            Step::Announce => announce(interface, tools, slot),
            Step::Release => release(interface, tools, slot),
        }
        Duration::ZERO
    }
}

fn put(interface: &str, tools: &mut Tools, slot: &mut Slot) {
    let outcome = find(interface)
        .and_then(|link| tools.netlink.put(link.index, slot.address).map_err(|it| it.to_string()));
    let how = *outcome.as_ref().unwrap_or(&Put::Refused);
    if how == Put::Added {
        info!(address = %slot.address, interface, "Service address taken");
    }
    slot.holding.put(Instant::now(), how);
    slot.note(outcome.map(drop));
}

fn announce(interface: &str, tools: &Tools, slot: &mut Slot) {
    let outcome = find(interface).and_then(|link| {
        tools.announcer.announce(&link, slot.address).map_err(|it| it.desc().to_owned())
    });
    slot.holding.announced(Instant::now());
    if let Err(cause) = outcome {
        warn!(address = %slot.address, cause, "The service address could not be announced");
    }
}

fn release(interface: &str, tools: &mut Tools, slot: &mut Slot) {
    let removed = find(interface).map_err(io::Error::other);
    match removed.and_then(|link| tools.netlink.remove(link.index, slot.address)) {
        Ok(()) => info!(address = %slot.address, interface, "Service address released"),
        Err(cause) => {
            let cause: &dyn std::error::Error = &cause;
            warn!(address = %slot.address, cause, "The kernel removes the service address");
        }
    }
    slot.holding.released();
    slot.refused = None;
}

fn find(interface: &str) -> Result<Link, String> {
    link::find(interface).map_err(|cause| cause.to_string())
}
