//! Bytes that outlive a process or leave it: what brokers, agents, keepers and their helpers say
//! to each other, and what the log and the snapshots hold.
//!
//! Each package of messages is frozen by its version: fields are added, never changed, and a new
//! version comes with a `From` of the old one. When brokers write what older ones could not read is
//! decided by the wire version: see [`SPOKEN`].
#![forbid(unsafe_code)]

#[cfg(feature = "grpc")]
mod convert;
pub mod frame;
mod greeting;
mod version;

#[cfg(feature = "grpc")]
pub use convert::{ConvertError, check_command, labels, read_command, report_of, write_command};
pub use greeting::greeting_in_pieces;
pub use version::{SPOKEN, Speaks, Unspoken};

/// Broker ⇄ agent.
#[expect(missing_docs, reason = "generated; the .proto file has the comments")]
#[expect(clippy::large_enum_variant, reason = "generated; one at a time is read and used up")]
#[cfg_attr(
    feature = "grpc",
    expect(
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )
)]
pub mod agent {
    include!(concat!(env!("OUT_DIR"), "/abide.agent.v1.rs"));
}

/// Agent ⇄ keeper and launcher; broker ⇄ login helper.
#[expect(missing_docs, reason = "generated; the .proto file has the comments")]
#[expect(clippy::large_enum_variant, reason = "generated; one at a time is read and used up")]
pub mod keeper {
    include!(concat!(env!("OUT_DIR"), "/abide.keeper.v1.rs"));
}

/// Broker ⇄ broker.
#[cfg(feature = "grpc")]
#[expect(missing_docs, reason = "generated; the .proto file has the comments")]
#[expect(clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]
pub mod peer {
    include!(concat!(env!("OUT_DIR"), "/peer/abide.peer.v1.rs"));
}

/// The log and the snapshots of the replicated table.
#[expect(missing_docs, reason = "generated; the .proto file has the comments")]
pub mod table {
    include!(concat!(env!("OUT_DIR"), "/table/abide.table.v1.rs"));
}
