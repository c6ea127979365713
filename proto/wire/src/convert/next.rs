//! The form of a version that exists in the upgrade test alone: each command in an envelope, which builds
//! without the feature do not read.

use std::borrow::Cow;

use abide_model::WireVersion;
use prost::Message;

use super::shared::ConvertError;
use crate::version::SPOKEN;

#[derive(Clone, PartialEq, Message)]
struct Envelope {
    /// Far beyond the fields of `table.v1.Command`.
    #[prost(bytes = "vec", optional, tag = "1000")]
    command: Option<Vec<u8>>,
}

/// Puts a command into an envelope, where the cluster reads those.
pub(super) fn wrap(command: Vec<u8>, spoken: WireVersion) -> Vec<u8> {
    if spoken < *SPOKEN.end() {
        return command;
    }
    Envelope { command: Some(command) }.encode_to_vec()
}

/// Takes a command out of its envelope, if it is in one.
pub(super) fn unwrap(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ConvertError> {
    Ok(Envelope::decode(bytes)?.command.map_or(Cow::Borrowed(bytes), Cow::Owned))
}
