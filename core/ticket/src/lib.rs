//! What the cluster signs: login tokens, tickets, status tokens, start orders and the certificates
//! of the keys that sign them. All are PASETO v4.public tokens (Ed25519).
//!
//! Owns the token's bytes, the claims, and the rules by which they are believed. Refuses to know
//! the time or to make chance: ids and times are arguments. Keeps no list of what was used or
//! revoked: the ledger and the replicated table do.
//!
//! ```text
//! text ──KeyRing::verify──▶ Authentic<C> ──judge(now)──▶ C
//!         whose signature?                 in its time?
//! ```
//!
//! The two steps are apart because the second needs the first's answer: an agent judges a ticket
//! by the clock of the broker that signed it.
#![forbid(unsafe_code)]

mod authentic;
mod claims;
mod keys;
mod order;
mod paseto;
mod ring;
#[cfg(test)]
mod tests;

pub use authentic::{Authentic, TimeError};
pub use claims::{
    Claims, LoginToken, Purpose, Role, StatusToken, Ticket, Timed, TokenId, ViewMode,
};
pub use claims::{TICKET_LEEWAY_MS, TICKET_LIFETIME_MS, TOKEN_LEEWAY_MS, WrongPlace};
pub use keys::{InvalidKey, KeyId, SigningKey, VerifyingKey};
pub use order::StartOrder;
pub use paseto::{MAX_TOKEN_BYTES, TokenError};
pub use ring::{CertifiedKey, KeyCertificate, KeyRing, VerifyError};
