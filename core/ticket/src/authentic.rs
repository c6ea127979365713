//! Claims whose signature was checked.

use abide_model::{BrokerId, Timestamp};

use crate::claims::{Claims, Timed};
use crate::keys::KeyId;

/// Why claims do not hold at the time asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Too late.
    #[error("expired {} ms ago", now.since(*expires_at))]
    Expired {
        /// When it ended.
        expires_at: Timestamp,
        /// When it was judged.
        now: Timestamp,
    },
    /// Too early: the judging clock, or the issuer's, is wrong by more than the leeway.
    #[error("made {} ms in the future: some clock is wrong", made_at.since(*now))]
    NotYet {
        /// When it claims to have been made.
        made_at: Timestamp,
        /// When it was judged.
        now: Timestamp,
    },
}

/// Claims that a certified key has signed. What holds for a time must be judged before it is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentic<C> {
    claims: C,
    issuer: BrokerId,
    key: KeyId,
}

impl<C: Claims> Authentic<C> {
    pub(crate) fn new(claims: C, issuer: BrokerId, key: KeyId) -> Self {
        Self { claims, issuer, key }
    }

    /// The broker whose key signed: by whose clock to judge.
    pub fn issuer(&self) -> &BrokerId {
        &self.issuer
    }

    /// The key that signed.
    pub fn key(&self) -> KeyId {
        self.key
    }

    pub(crate) fn into_claims(self) -> C {
        self.claims
    }
}

impl<C: Timed> Authentic<C> {
    /// The claims, if they hold at `now`: the issuer's clock, as well as the caller knows it.
    ///
    /// # Errors
    /// [`TimeError`] when they do not hold yet, or no longer.
    pub fn judge(&self, now: Timestamp) -> Result<&C, TimeError> {
        self.claims.check(now).map(|()| &self.claims)
    }

    /// From when on [`Authentic::judge`] refuses for age.
    pub fn forgettable_at(&self) -> Timestamp {
        self.claims.expires_at().plus(C::LEEWAY_MS)
    }
}
