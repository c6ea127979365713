//! What a running program tells its operators and their service manager: log lines, numbers, that it
//! serves.
//!
//! Owns how both look. What is said is everyone's own business, with one rule that no code here
//! can check: no passwords, tokens, tickets or passes.

mod expiries;
mod log;
mod metrics;
mod process;
mod supervisor;

pub use expiries::Expiries;
pub use log::{LogError, LogFormat, LogOptions, init_log};
pub use metrics::{METRICS_CONTENT_TYPE, OUR_PREFIX, ours, registry, render};
pub use process::ProcessMetrics;
pub use supervisor::tell_ready;
