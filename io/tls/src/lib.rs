//! io/tls
