//! One message at a time over a pipe or a Unix socket: its length as four bytes, most significant
//! first, then the message. A length over the bound is refused before anything is allocated.

use std::io::{self, Read, Write};

use prost::Message;

/// The largest message, bytes: a start order with its certificates is far below.
pub const MAX_FRAME: usize = 256 * 1024;

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The other side closed between two messages.
    #[error("the other side closed the connection")]
    Closed,
    /// Reading failed, or the other side closed inside a message.
    #[error("cannot read a message")]
    Io(#[source] io::Error),
    /// The length is over [`MAX_FRAME`].
    #[error("a message of {0} bytes is over the bound of {MAX_FRAME}")]
    TooLarge(usize),
    /// The bytes are not such a message.
    #[error("the message is malformed")]
    Malformed(#[source] prost::DecodeError),
}

/// Writes one message and flushes.
///
/// # Errors
/// Those of the writer; `InvalidInput` when the message is over [`MAX_FRAME`].
pub fn write(out: &mut impl Write, message: &impl Message) -> io::Result<()> {
    out.write_all(&encode(message)?)?;
    out.flush()
}

/// The bytes of one framed message.
///
/// # Errors
/// `InvalidInput` when the message is over [`MAX_FRAME`].
pub fn encode(message: &impl Message) -> io::Result<Vec<u8>> {
    let length = message.encoded_len();
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, ReadError::TooLarge(length)));
    }
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&(length as u32).to_be_bytes());
    message.encode_raw(&mut bytes);
    Ok(bytes)
}

/// Reads one message.
///
/// # Errors
/// See [`ReadError`].
pub fn read<M: Message + Default>(from: &mut impl Read) -> Result<M, ReadError> {
    let mut header = [0; 4];
    let first = from.read(&mut header).map_err(ReadError::Io)?;
    if first == 0 {
        return Err(ReadError::Closed);
    }
    from.read_exact(&mut header[first..]).map_err(ReadError::Io)?;
    let mut body = vec![0; checked_length(header)?];
    from.read_exact(&mut body).map_err(ReadError::Io)?;
    M::decode(body.as_slice()).map_err(ReadError::Malformed)
}

/// The length that a header announces, bytes.
///
/// # Errors
/// [`ReadError::TooLarge`].
pub fn checked_length(header: [u8; 4]) -> Result<usize, ReadError> {
    let length = u32::from_be_bytes(header) as usize;
    if length > MAX_FRAME { Err(ReadError::TooLarge(length)) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::EndSession;

    #[test]
    fn a_message_comes_back_as_it_went() {
        let sent = EndSession { reason: "asked".into() };
        let mut bytes = Vec::new();
        write(&mut bytes, &sent).unwrap();
        assert_eq!(read::<EndSession>(&mut bytes.as_slice()).unwrap(), sent);
    }

    #[test]
    fn a_huge_length_is_refused_before_it_is_allocated() {
        let bytes = [0xff; 4];
        assert!(matches!(
            read::<EndSession>(&mut bytes.as_slice()),
            Err(ReadError::TooLarge(0xffff_ffff))
        ));
    }

    #[test]
    fn an_end_between_messages_is_told_from_one_inside() {
        assert!(matches!(read::<EndSession>(&mut [].as_slice()), Err(ReadError::Closed)));
        assert!(matches!(read::<EndSession>(&mut [0, 0].as_slice()), Err(ReadError::Io(_))));
    }
}
