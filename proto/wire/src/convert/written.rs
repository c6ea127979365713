//! Commands as they stand in the log and go between brokers: which version each kind needs, and whether
//! bytes are of one that this build reads.

use abide_model::{Change, Command, Grounds, WireVersion};
use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::shared::{ConvertError, spoken};
use crate::table;
use crate::version::Unspoken;

/// The last field of `table.v1.Command` that this build knows.
const LAST_FIELD: u32 = 30;
/// Its number for ever: by it older builds tell what they cannot read.
const RAISE_WIRE: u32 = 28;

/// The one that brought the cluster's configuration.
const SECOND: WireVersion = WireVersion(2);

/// The first version in which a change can be said.
fn first_version(change: &Change) -> WireVersion {
    match change {
        Change::PutBroker(_)
        | Change::AdmitBroker { .. }
        | Change::RemoveBroker { .. }
        | Change::BeginRebuild
        | Change::DoubtTable { .. }
        | Change::ExpectAgents { .. }
        | Change::RestoreAgent { .. }
        | Change::RestoreKey { .. }
        | Change::AgentRebuilt { .. }
        | Change::PlaceAgain { .. }
        | Change::PassTime
        | Change::RaiseGeneration { .. }
        | Change::AddJoinToken { .. }
        | Change::AdmitAgent { .. }
        | Change::AgentHeard { .. }
        | Change::AgentUnheard { .. }
        | Change::Reserve { pool: None, .. }
        | Change::Resume { .. }
        | Change::Supersede { grounds: Grounds::Unheard, .. }
        | Change::Report { .. }
        | Change::Unlisted { .. }
        | Change::End { .. }
        | Change::Abandon { .. }
        | Change::RevokeToken { .. }
        | Change::LogOutEverywhere { .. }
        // Said in the version before: whoever proposes it knows that every broker reads it.
        | Change::RaiseWire { .. } => WireVersion::FIRST,
        Change::Adopt(session) if session.pool.is_none() => WireVersion::FIRST,
        Change::Supersede { grounds: Grounds::Disobeyed, .. }
        | Change::SetConfig { .. }
        | Change::Drain { .. }
        | Change::Reserve { pool: Some(_), .. }
        | Change::Adopt(_) => SECOND,
    }
}

/// A command's bytes, in a form that every broker reads of a cluster that has come to this version.
///
/// # Errors
/// [`Unspoken`]: it has none.
pub fn write_command(command: &Command, spoken: WireVersion) -> Result<Vec<u8>, Unspoken> {
    let needed = first_version(&command.change);
    if needed > spoken {
        return Err(Unspoken { needed, spoken });
    }
    let bytes = table::Command::from(command).encode_to_vec();
    #[cfg(feature = "next-wire")]
    let bytes = super::next::wrap(bytes, spoken);
    Ok(bytes)
}

/// The opposite of [`write_command`], for every version that this build speaks.
///
/// # Errors
/// [`ConvertError`].
pub fn read_command(bytes: &[u8]) -> Result<Command, ConvertError> {
    #[cfg(feature = "next-wire")]
    let bytes = &*super::next::unwrap(bytes)?;
    let command = table::Command::decode(bytes)?;
    if command.change.is_none() {
        check_command(bytes)?;
    }
    command.try_into()
}

/// A quick look at whether a command, or one after it in the log, is of a newer version than this build
/// speaks; reading may still find that it is damaged.
///
/// # Errors
/// [`ConvertError::Version`]; or the bytes are no message.
pub fn check_command(bytes: &[u8]) -> Result<(), ConvertError> {
    #[cfg(feature = "next-wire")]
    let bytes = &*super::next::unwrap(bytes)?;
    let mut bytes = bytes;
    while bytes.has_remaining() {
        let (field, kind) = decode_key(&mut bytes)?;
        match (field, kind) {
            (RAISE_WIRE, WireType::Varint) => {
                let to = decode_varint(&mut bytes)?;
                spoken(u32::try_from(to).unwrap_or(u32::MAX))?;
            }
            (..=LAST_FIELD, _) => {
                skip_field(kind, field, &mut bytes, DecodeContext::default())?;
            }
            _ => return Err(ConvertError::Version { found: None }),
        }
    }
    Ok(())
}
