//! roles/agent
