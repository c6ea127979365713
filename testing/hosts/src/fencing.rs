//! A power switch for the hosts' cluster manager: what a fence agent asks for, the lab does.
//!
//! ```text
//! fence agent on h2                          the lab
//!   writes ASKS/h1.off ──────────────────▶   cuts h1's power
//!   waits  ◀──────────────────────────────   writes ASKS/h1.is-off
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::host::Host;
use crate::hosts::Hosts;

/// Where a fence agent asks, on its own host.
pub const ASKS: &str = "/var/lib/fence-lab";
/// How often it is looked for what was asked.
const GLANCE: Duration = Duration::from_millis(10);

/// The switch. Dropped, it answers nobody any more.
#[derive(Debug)]
pub struct PowerSwitch {
    is_over: Arc<AtomicBool>,
    /// Whose power was cut last because somebody asked for it, and when that was answered.
    last: Arc<Mutex<Option<(String, Instant)>>>,
    watch: Option<JoinHandle<anyhow::Result<()>>>,
}

impl PowerSwitch {
    /// Answers what is asked on these hosts, for each of them.
    ///
    /// # Errors
    /// When a host cannot be written to.
    pub fn over(lab: &Arc<Hosts>) -> anyhow::Result<Self> {
        lab.on_each(|host| host.run(&format!("mkdir -p {ASKS}")).map(drop))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let last = Arc::default();
        let (hosts, over, answered) = (lab.clone(), is_over.clone(), Arc::clone(&last));
        let watch = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                // One after the other: of two that ask for each other's end the second is off by then.
                for asker in hosts.all().iter().filter(|it| it.is_on()) {
                    answer(&hosts, asker, &answered)?;
                }
                std::thread::sleep(GLANCE);
            }
            Ok(())
        });
        Ok(Self { is_over, last, watch: Some(watch) })
    }

    /// When it was answered last, if the last that was asked for was this host's end.
    pub fn answered_for(&self, name: &str) -> Option<Instant> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(victim, _)| victim == name).map(|(_, at)| *at)
    }

    /// Ends it.
    ///
    /// # Errors
    /// The first answer that failed.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        let watch = self.watch.take().context("it was ended before")?;
        watch.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for PowerSwitch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // How it ended is told to who asks.
        let _ = self.watch.take().map(JoinHandle::join);
    }
}

fn answer(
    lab: &Hosts,
    asker: &Host,
    last: &Mutex<Option<(String, Instant)>>,
) -> anyhow::Result<()> {
    for victim in lab.all() {
        let asked = asker.file(&format!("{ASKS}/{}.off", victim.name));
        if !asked.exists() || !asker.is_on() {
            continue;
        }
        // It may have lost its power otherwise, even now.
        if let Err(error) = victim.power_off()
            && victim.is_on()
        {
            return Err(error);
        }
        std::fs::remove_file(&asked)?;
        std::fs::write(asker.file(&format!("{ASKS}/{}.is-off", victim.name)), "")?;
        let answered = Some((victim.name.clone(), Instant::now()));
        *last.lock().unwrap_or_else(PoisonError::into_inner) = answered;
    }
    Ok(())
}
