//! What the site has decided, for the whole cluster: who is offered which agents and desktops, for how
//! long, and how administrators may look in.
//!
//! Pure: the configuration's text is read elsewhere; what it means is here, the same on brokers and
//! on agents.
#![forbid(unsafe_code)]

mod config;
mod limits;
mod pattern;
mod pools;

pub use config::{
    ClusterConfig, DesktopSize, HostRules, PressureLimits, ProfileRules, Shadow, ShadowMode,
};
pub use limits::{Limit, Limits, Seen, Standing};
pub use pattern::{InvalidPattern, Pattern};
pub use pools::{EVERYBODY, NoPool, Pool};
