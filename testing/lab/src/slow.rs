//! A long, bad line: a forwarder between two network cards of its own (TAP) that holds each frame
//! back and loses some. The kernel's own `netem` is not everywhere.
//!
//! ```text
//! host's eth0 (TAP) ⇄ forwarder, in the lab's process ⇄ port at the switch (TAP)
//! ```

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};
use uuid::Uuid;

use crate::ip::ip;
use crate::network::{Host, SWITCH, address};

/// A frame of Ethernet, with its head; offloads are off, so none is larger.
const FRAME: usize = 1600;

/// What a line does to each frame, each way.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// How long it is held back.
    pub delay: Duration,
    /// How many of a thousand are lost.
    pub lost_per_mille: u16,
}

/// Replaces this host's cable by such a line, for the world's whole life.
///
/// # Errors
/// When the cards cannot be made.
pub fn lengthen(host: Host, line: Line) -> anyhow::Result<()> {
    let (port, namespace) = (host.port(), host.namespace());
    ip(&format!("-n {SWITCH} link delete {port}"))?;
    let (near, far) = (card(&format!("near{}", host.number))?, card(&port)?);
    ip(&format!("link set near{} netns {namespace}", host.number))?;
    let within = format!("-n {namespace}");
    ip(&format!("{within} link set near{} name eth0 address {}", host.number, host.mac()))?;
    address(host, &within)?;
    ip(&format!("link set {port} netns {SWITCH}"))?;
    ip(&format!("-n {SWITCH} link set {port} master br0 up"))?;
    carry(near.clone(), far.clone(), line);
    carry(far, near, line);
    Ok(())
}

fn card(name: &str) -> anyhow::Result<Arc<SyncDevice>> {
    let card = DeviceBuilder::new().name(name).layer(Layer::L2).build_sync();
    card.map(Arc::new).with_context(|| format!("cannot make the network card {name}"))
}

/// One way. The threads end with the process, and the cards with them.
fn carry(from: Arc<SyncDevice>, to: Arc<SyncDevice>, line: Line) {
    let (frames, due) = channel();
    thread::spawn(move || take_in(&from, &frames, line));
    thread::spawn(move || give_out(&to, &due));
}

fn take_in(from: &SyncDevice, frames: &Sender<(Instant, Vec<u8>)>, line: Line) {
    let mut frame = vec![0; FRAME];
    // A card that is down says so with an error; it is not for ever.
    loop {
        let Ok(length) = from.recv(&mut frame) else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        if is_lost(line) {
            continue;
        }
        if frames.send((Instant::now() + line.delay, frame[..length].to_vec())).is_err() {
            return;
        }
    }
}

fn give_out(to: &SyncDevice, due: &Receiver<(Instant, Vec<u8>)>) {
    for (at, frame) in due {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        // Refused by a card that is down: lost, as on any line.
        let _ = to.send(&frame);
    }
}

fn is_lost(line: Line) -> bool {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    (random >> 32) % 1000 < u64::from(line.lost_per_mille)
}
