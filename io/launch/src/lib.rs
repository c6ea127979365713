//! io/launch
