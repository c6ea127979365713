//! The daemon against a broker that is a test, with real keepers and display servers.
//!
//! The programs `abide-keeper` and `Xvnc` are needed; the former is built with the workspace.

mod abuse;
mod adoption;
mod broker;
mod config;
mod life;
mod limits;
mod viewer;
mod world;
