//! The broker: knows which sessions run where, chooses an agent for a new one, logs people in.
//!
//! Needed to start a session or to find it again, never while one is in use: it hands out a ticket, and
//! the client talks to the agent alone.
//!
//! ```text
//! people ─▶ http ─▶ abide-auth      (who are you?)
//!            │
//!            └───▶ desk ─▶ raft ─▶ Table ─▶ driver ─▶ hub ─▶ agents
//!                   ▲               ▲  │                │
//!                   └── waits for ──┘  └── reports ◀────┘
//! ```
//! The desk commits what people want and waits. The driver, on the leader alone, makes the agents do
//! what the table says, and writes into the table what they say. Neither calls the other.

mod admit;
mod broker;
mod checkup;
mod clock;
mod desk;
mod digest;
mod draining;
mod driver;
mod formation;
mod ha;
mod hearsay;
mod http;
mod hub;
mod init;
mod join;
mod listener;
mod listing;
mod load_history;
mod log_outs;
mod metrics;
mod openapi;
mod pair;
mod peers;
mod pid;
mod placing;
mod policy;
mod problem;
mod rebuild;
mod recover;
mod renewal;
mod replica;
mod reservation;
mod rivals;
mod run;
mod serve;
mod service_address;
mod settings;
mod speech;
mod standing;
mod stream;
mod timing;
mod view;
mod waiting;

pub use checkup::{check_up, is_wanted};
pub use ha::{Code, Order, Reply, ask};
pub use init::{Founding, InitError, InitOptions, InitReport, init};
pub use join::{JoinError, join};
pub use openapi::openapi;
pub use peers::{AdmitError, admit, is_settled};
pub use pid::pid_file;
pub use placing::{Counts, Placed, Placing, Sign, Told, Unplaced, View, Wish};
pub use recover::{RecoverError, recover};
pub use replica::Replica;
pub use run::{BrokerError, run};
pub use settings::{Login, LoginBackend, PairSettings, Settings, WebTls, settings_from};
