//! Which agent gets the next session, and why.
//!
//! A pure function over the candidates, in this order:
//!
//! 1. **Who can take it:** heard, not drained, of the person's pool, offers the profile, has the labels
//!    that the profile requires, has fewer sessions than it takes at most. No others.
//! 2. **Who is best in favour:** see [`Favour`]. Those of the best favour that is there, and no others: an
//!    agent that is under pressure, or failed a start lately, or whose load is not known, is for when there
//!    is no better.
//! 3. **All of a person's sessions together:** where some of these have sessions of the same person, only
//!    they.
//! 4. **The share by weight:** of those that are left, each should have of all their sessions, the new one
//!    counted, the part that its weight is of all their weights. Who has its share already is passed over;
//!    of the others, the one takes it that has the fewest sessions for its weight with the new one. (The
//!    quota method of Balinski and Young, "The Quota Method of Apportionment", 1975: from an empty
//!    cluster on, no agent is ever a whole session from its ideal share.)
//! 5. The lower id, so that the choice is the same everywhere.
//!
//! [`explain`] says of each candidate where it stands, with the numbers; [`choose`] is the same choice
//! without the words.
#![forbid(unsafe_code)]

mod candidate;
mod choose;
mod explain;

pub use candidate::{Candidate, Favour, Hearing, Load, Pressure};
pub use choose::choose;
pub use explain::{Explained, Ground, Verdict, explain};

#[cfg(test)]
mod tests;
