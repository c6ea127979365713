//! What a daemon of either role has on its host.

use std::path::Path;

use crate::account::{Account, no_user};
use crate::finding::Report;
use crate::folder::{Closed, folder, space};
use crate::unit::Unit;

/// Looks at a daemon's identity and data folders, which are its user's alone: the unit's, else the host's
/// `user` of that name.
pub fn belongings(unit: &Unit, user: &str, identity: &Path, data: &Path, report: &mut Report) {
    match unit.user().or_else(|| Account::named(user)) {
        Some(owner) => {
            report.add(folder(identity, &owner, Closed::ToOthers));
            report.add(folder(data, &owner, Closed::ToOthers));
        }
        None if unit.exists() => report.add(no_user(unit)),
        // Neither unit nor user: it is run by hand, as whoever does.
        None => {}
    }
    if data.exists() {
        report.add(space(data));
    }
}
