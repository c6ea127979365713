//! Who may log in, and what proves it afterwards.
//!
//! Owns the conversation that every login is, the users file, the limits on guessing, the making
//! and checking of tokens, and the audit log. Knows no HTTP and no replicated table: what was
//! revoked is asked through a closure.
//!
//! ```text
//! LoginDesk ──▶ Throttle          may this one try?
//!     │  ├────▶ Backend           users file, PAM: who is it?
//!     │  └────▶ AuditLog          one line a decision
//!     ▼
//! Accepted ──▶ Issuer ──token──▶ … ──▶ Verifier     (at any broker)
//! ```

mod audit;
mod conversation;
mod desk;
mod hashing;
mod issuer;
mod pam;
#[cfg(test)]
mod tests;
mod throttle;
mod users;
mod users_backend;
mod verifier;

pub use audit::{AuditFound, AuditLog, AuditPlace, AuditRecord, AuditWish, Decision, Verdict};
pub use conversation::{Accepted, Answer, Backend, Conversation, RefusalReason, Refused, Step};
pub use desk::{ConversationId, DeskReply, LoginDesk, LoginError};
pub use hashing::{HashError, HashPool, PasswordHash};
pub use issuer::{Issuer, STATUS_LIFETIME, TicketGrant};
pub use pam::{HelperError, PamBackend};
pub use throttle::{Attempt, Failure, Failures, Limit, Throttle, Throttled};
pub use users::{Standing, User, Users, UsersError, UsersFile};
pub use users_backend::UsersBackend;
pub use verifier::{TokenRefused, Verifier};
