//! Logins that were ended before their time.

use crate::table::{Expiring, LoggedOut};
use crate::{Outcome, Table, Timestamp, UserName};

impl Table {
    pub(super) fn revoke(&mut self, jti: [u8; 16], until: Timestamp) -> Outcome {
        if self.revoked.contains_key(&jti) || until <= self.now {
            return Outcome::Unchanged;
        }
        self.revoked.insert(jti, until);
        self.expiry.insert((until, Expiring::Revoked(jti)));
        Outcome::Done
    }

    pub(super) fn log_out_everywhere(&mut self, user: UserName, until: Timestamp) -> Outcome {
        if until <= self.now {
            return Outcome::Unchanged;
        }
        let mut until = until;
        if let Some(old) = self.logged_out.get(&user) {
            self.expiry.remove(&(old.until, Expiring::LoggedOut(user.clone())));
            until = until.max(old.until);
        }
        self.expiry.insert((until, Expiring::LoggedOut(user.clone())));
        self.logged_out.insert(user, LoggedOut { before: self.now, until });
        Outcome::Done
    }
}
