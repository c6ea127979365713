//! roles/client
