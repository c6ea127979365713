//! io/raft
