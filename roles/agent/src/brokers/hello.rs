//! What a broker is greeted with: the whole ledger, in pieces.

use abide_policy::ClusterConfig;
use abide_wire::agent::{ClusterView, Fence, Hello, LedgerRow, Profile};
use abide_wire::greeting_in_pieces;

use crate::profiles::offered;
use crate::settings::Settings;

/// The version of the protocol that this agent speaks.
const PROTOCOL: u32 = 1;

/// The kinds of desktop on offer, as brokers are told of them.
pub(super) fn offers(settings: &Settings, config: &ClusterConfig) -> Vec<Profile> {
    let all = offered(settings, config).into_iter();
    all.map(|it| Profile { name: it.profile.name.to_string(), title: it.profile.title }).collect()
}

/// The greeting.
pub(super) fn hello(
    settings: &Settings,
    boot: &str,
    fence: Fence,
    rows: Vec<LedgerRow>,
    told: ClusterView,
    profiles: Vec<Profile>,
) -> Vec<Hello> {
    let greeting = Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: boot.to_owned(),
        name: settings.name.clone(),
        public_url: settings.public_url.to_string(),
        weight: settings.weight,
        profiles,
        fence: Some(fence),
        sessions: Vec::new(),
        more: false,
        cluster: Some(told),
        labels: settings.labels.iter().map(ToString::to_string).collect(),
        max_sessions: settings.max_sessions,
    };
    greeting_in_pieces(greeting, rows)
}
