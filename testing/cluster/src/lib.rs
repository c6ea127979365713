//! testing/cluster
