//! Users of the host, by name.

use nix::unistd::{Uid, User};

use crate::{Finding, Unit};

/// A user of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The user id.
    pub uid: u32,
}

impl Account {
    /// The user of this name, if the host knows it.
    pub fn named(name: &str) -> Option<Self> {
        let user = User::from_name(name).ok().flatten()?;
        Some(Self { name: user.name, uid: user.uid.as_raw() })
    }
}

/// A unit is to run as a user that the host does not know.
pub fn no_user(unit: &Unit) -> Finding {
    let what = format!("its user {} does not exist", unit.property("User"));
    Finding::wrong(
        unit.name(),
        what,
        "systemd-sysusers abide.conf && systemd-tmpfiles --create abide.conf",
    )
}

/// What people call this user.
pub(crate) fn name_of(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => format!("user {uid}"),
    }
}
