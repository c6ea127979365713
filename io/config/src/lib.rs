//! io/config
