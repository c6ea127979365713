//! roles/broker
