//! The replicated table.
#![forbid(unsafe_code)]
mod ids;
pub use ids::*;
