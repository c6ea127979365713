//! io/auth
