//! Framed messages over tokio's streams.

use std::io;

use abide_wire::frame;
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Reads whole messages. What came of an unfinished one is kept, so a read that is dropped halfway
/// loses nothing.
#[derive(Debug, Default)]
pub struct Inbox {
    received: Vec<u8>,
}

impl Inbox {
    /// The next message; `None` when the other side closed between two.
    ///
    /// # Errors
    /// Those of reading; `UnexpectedEof` inside a message, `InvalidData` when it is too long or
    /// malformed.
    pub async fn next<M: Message + Default>(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Option<M>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if from.read_buf(&mut self.received).await? == 0 {
                return match self.received.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    fn take<M: Message + Default>(&mut self) -> io::Result<Option<M>> {
        let Some((header, body)) = self.received.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = frame::checked_length(*header).map_err(invalid)?;
        let Some(body) = body.get(..length) else {
            return Ok(None);
        };
        let message = M::decode(body).map_err(invalid)?;
        self.received.drain(..4 + length);
        Ok(Some(message))
    }
}

/// Writes one message.
///
/// # Errors
/// Those of writing; `InvalidInput` when it is too long.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Message) -> io::Result<()> {
    to.write_all(&frame::encode(message)?).await?;
    to.flush().await
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use abide_wire::keeper::CleanUpRequest;

    use super::*;

    #[tokio::test]
    async fn messages_come_whole_however_they_are_cut() {
        let sent = ["a", "b"].map(|session| CleanUpRequest { session: session.into() });
        let bytes: Vec<u8> = sent.iter().flat_map(|m| frame::encode(m).unwrap()).collect();
        let (mut far, mut near) = tokio::io::duplex(1);
        let write = tokio::spawn(async move { far.write_all(&bytes).await });
        let mut inbox = Inbox::default();
        for expected in sent {
            assert_eq!(inbox.next(&mut near).await.unwrap(), Some(expected));
        }
        write.await.unwrap().unwrap();
        let end = inbox.next::<CleanUpRequest>(&mut near).await.unwrap();
        assert_eq!(end, None);
    }

    #[tokio::test]
    async fn an_end_inside_a_message_and_rubbish_are_errors() {
        for (bytes, kind) in [
            (&[0, 0][..], io::ErrorKind::UnexpectedEof),
            (&[0xff; 4], io::ErrorKind::InvalidData),
            (&[0, 0, 0, 1, 0xff], io::ErrorKind::InvalidData),
        ] {
            let mut from = bytes;
            let next = Inbox::default().next::<CleanUpRequest>(&mut from).await;
            assert_eq!(next.unwrap_err().kind(), kind);
        }
    }
}
