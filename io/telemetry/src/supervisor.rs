//! Word to the service manager, where there is one that asked for it (sd_notify(3)).

use sd_notify::NotifyState;
use tracing::warn;

/// Tells that the program serves. Without a service manager that waits for it, does nothing.
pub fn tell_ready() {
    if let Err(cause) = sd_notify::notify(&[NotifyState::Ready]) {
        warn!(cause = %cause, "The service manager cannot be told that this program is ready");
    }
}
