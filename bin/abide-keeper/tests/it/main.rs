//! `abide-keeper` with real processes: Xvnc, dbus, Xsession, PAM.
//!
//! Root is needed: the launcher, the login helper and cgroups are. Accounts and PAM services are
//! the tests' own, bound over the host's in a private mount namespace that ends with the test.
#![expect(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

mod account;
mod control;
mod desk;
mod ending;
mod keep;
mod launcher;
mod login;
mod namespace;
mod rfb;
