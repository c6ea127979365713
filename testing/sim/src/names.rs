//! Who is called what.

use std::str::FromStr;

use abide_model::{AgentId, BootId, BrokerId, ClusterId, SessionId};
use uuid::Uuid;

/// The one cluster.
pub const CLUSTER: ClusterId = ClusterId(Uuid::from_u128(7));

/// The identifier with this text, which is one.
pub fn id<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no identifier"))
}

/// A desktop host's agent.
pub fn agent(number: usize) -> AgentId {
    id(&format!("{number:032x}"))
}

/// A broker.
pub fn broker(number: usize) -> BrokerId {
    id(&format!("{:032x}", number + 0x100))
}

/// A boot of a host.
pub fn boot(agent: usize, boot: u64) -> BootId {
    id(&format!("boot-{agent}-{boot}"))
}

/// Enough of an id to find it in a trace.
pub fn short(session: SessionId) -> String {
    session.0.simple().to_string()[20..].to_owned()
}
