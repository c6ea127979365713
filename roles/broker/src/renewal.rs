//! Keeps this broker's certificate from ending: it is a CA's neighbour, and asks nobody.

use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;
use tracing::{error, info};

use crate::broker::Broker;

/// How often it is looked whether the certificate is due; months are left then.
const LOOK_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks at once, then daily, for ever.
pub async fn keep(broker: Broker) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        renew_if_due(&broker, broker.clock.system_time());
    }
}

fn renew_if_due(broker: &Broker, now: SystemTime) {
    let identity = &broker.identity;
    if !identity.is_due(now) {
        return;
    }
    match broker.authority.renew(identity, &broker.settings.identity_dir, now) {
        Ok(()) => info!(names = ?identity.names(), "Certificate renewed"),
        Err(cause) => {
            let cause: &dyn std::error::Error = &cause;
            error!(cause, "The certificate cannot be renewed; it is tried again tomorrow");
        }
    }
}
