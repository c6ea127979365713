//! testing/e2e
