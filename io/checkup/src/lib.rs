//! Looking at an installation: what is wrong with a host, where, and how to mend it.
//!
//! Owns what any role may want to know of its host: folders, units, ports, programs, certificates'
//! ends, space, and what a server here says of itself. Which of these a role needs, and what else,
//! is the role's business. Changes nothing.
//!
//! ```text
//! role ──looks, one by one──▶ Finding ──▶ Report ──▶ text for people, JSON, exit code
//! ```

mod account;
mod belongings;
mod certificate;
mod cgroup;
mod clock;
mod finding;
mod folder;
mod local;
mod metrics;
mod place;
mod port;
mod program;
mod unit;

pub use account::Account;
pub use belongings::belongings;
pub use certificate::{CertificateOf, certificate};
pub use cgroup::cgroups;
pub use clock::clock_is_kept;
pub use finding::{Finding, Grade, Report, with_causes};
pub use folder::{Closed, folder};
pub use local::Local;
pub use metrics::{Metrics, Sample};
pub use place::{file, free_port, nothing_here, rights};
pub use port::{listens, reached};
pub use program::{find_program, program};
pub use unit::{Start, Unit};
