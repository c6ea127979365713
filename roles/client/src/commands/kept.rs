//! The pass of the desktop that is open, as this computer keeps it, and the way in by it while no
//! broker serves.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::CommandError;
use super::connect::Target;
use super::console::tell;
use crate::api::Api;
use crate::attach::{Ending, Way};
use crate::passes::{Desktop, Hold, Passes, Recalled, Wanted};
use crate::store::StoreError;

/// Longer than any failover takes.
const SERVE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The pass of the desktop that is open.
pub(super) struct Kept<'a> {
    passes: &'a Passes,
    pub(super) desktop: Desktop,
    hold: Mutex<Option<Hold>>,
}

impl<'a> Kept<'a> {
    /// Nothing is kept yet.
    pub(super) fn new(passes: &'a Passes, desktop: Desktop) -> Self {
        Self { passes, desktop, hold: Mutex::new(None) }
    }

    /// Keeps this way's pass in place of an earlier one. That it cannot is told, and keeps nobody from
    /// the desktop.
    pub(super) fn keep(&self, way: &Way) {
        match self.passes.keep(way, &self.desktop) {
            Ok(hold) => *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = hold,
            Err(error) => tell(&format!(
                "The way back cannot be kept: {error}. While no broker answers, this desktop cannot \
                 be opened anew from here."
            )),
        }
    }

    /// Forgets the pass with which nobody gets in any more.
    pub(super) fn end(self, ending: &Ending) -> Result<(), StoreError> {
        let hold = self.hold.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (ending, hold) {
            (Ending::Over { .. } | Ending::PassRefused, Some(hold)) => hold.forget(),
            _ => Ok(()),
        }
    }
}

/// The way into the wanted desktop by the pass that is kept here, if one is and no broker serves.
pub(super) async fn way_back<'a>(
    api: &Api,
    passes: &'a Passes,
    target: &Target,
) -> Result<Option<(Way, Kept<'a>)>, CommandError> {
    let wanted = match target {
        Target::New(_) => return Ok(None),
        Target::ResumeOrStart(profile) => Wanted::Latest(profile.as_deref()),
        Target::Session(name) => Wanted::Session(name),
    };
    let recalled = passes.recall(wanted);
    // A file that cannot be read is no matter while a broker serves.
    if matches!(recalled, Ok(Recalled::Nothing)) || somebody_serves(api).await {
        return Ok(None);
    }
    match recalled? {
        Recalled::Nothing => Ok(None),
        Recalled::InUse(desktop) => Err(CommandError::OpenHere(desktop)),
        Recalled::Kept(way, desktop, hold) => {
            tell(&format!("No broker answers. This computer keeps a pass for {desktop}."));
            Ok(Some((*way, Kept { passes, desktop, hold: Mutex::new(Some(hold)) })))
        }
    }
}

async fn somebody_serves(api: &Api) -> bool {
    let look = async {
        while !api.cluster().await.is_ok_and(|now| now.leader.is_some()) {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(SERVE_WITHIN, look).await.is_ok()
}
