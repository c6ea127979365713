//! The command line's side: finding a broker, logging in, and standing on a session's line.
//!
//! Owns the list of brokers and the way round it, the login conversation, what a person's
//! computer remembers, and the local end of a desktop (TigerVNC's viewer, a socket, a port).
//! Decides nothing about sessions: the brokers do, and the agents know.

mod api;
mod attach;
mod backoff;
mod brokers;
mod call;
pub mod commands;
mod contact;
mod error;
mod http;
mod login;
mod passes;
mod pulse;
mod store;

pub use api::{Api, PlacementQuery, WishKey};
pub use attach::{
    AttachError, Attachment, Ending, EnterError, Local, News, OneTimePassword, Socket, Viewer, Way,
    enter, find_viewer,
};
pub use brokers::{Brokers, PATIENCE};
pub use contact::{Contact, ContactError, UnknownCa, first_contact};
pub use error::{CallError, Silence};
pub use http::Trust;
pub use login::{Asker, LoggedIn, LoginError, OneSecret, OtherQuestion};
pub use passes::{Desktop, Hold, Passes, Recalled, Wanted};
pub use store::{KnownCluster, Store, StoreError};
