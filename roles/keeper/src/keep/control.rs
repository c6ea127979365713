//! The control socket: says how the session is, and takes the word to end it.
//!
//! Whoever may open the socket is the agent (or the session's own user in agent-user mode). What
//! comes in is bounded all the same: a peer that sends rubbish loses its connection, and no other
//! peer and no session notices.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use abide_wire::frame;
use abide_wire::keeper::{
    ControlEvent, ControlRequest, KeeperStatus, SessionEnded, control_event::Event,
    control_request::Request,
};
use prost::Message;

/// One agent, and one more while the old one's connection is not yet known to be dead; the rest
/// for people who look.
const MAX_PEERS: usize = 8;

/// The longest request, bytes: an EndSession with its reason.
const MAX_REQUEST: usize = 4096;

/// The socket and those connected.
pub struct Control {
    listener: UnixListener,
    peers: Vec<Peer>,
    greeting: Vec<u8>,
}

struct Peer {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Control {
    /// Serves on `listener`; each peer is told `status` first.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn new(listener: UnixListener, status: &KeeperStatus) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            peers: Vec::with_capacity(MAX_PEERS),
            greeting: event(Event::Status(status.clone()))?,
        })
    }

    /// What to poll for reading.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let peers = self.peers.iter().map(|peer| peer.stream.as_fd());
        std::iter::once(self.listener.as_fd()).chain(peers)
    }

    /// Serves whoever is ready, without waiting. The reason, if a peer asked for the end.
    pub fn serve(&mut self) -> Option<String> {
        let mut asked = None;
        self.peers.retain_mut(|peer| match peer.receive() {
            Ok(None) => true,
            Ok(Some(reason)) => {
                asked.get_or_insert(reason);
                true
            }
            Err(Leaves) => false,
        });
        self.accept();
        asked
    }

    /// Tells everybody that it is over.
    pub fn say_ended(&mut self, ended: &SessionEnded) {
        self.accept();
        let Ok(bytes) = event(Event::Ended(ended.clone())) else {
            return;
        };
        for peer in &mut self.peers {
            // A peer that has not even read its greeting learns it from the closed connection.
            let _ = peer.stream.write(&bytes);
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.peers.len() == MAX_PEERS {
                continue;
            }
            let mut peer = Peer { stream, received: Vec::new() };
            let greeted =
                peer.stream.set_nonblocking(true).and_then(|()| peer.stream.write(&self.greeting));
            if greeted.is_ok_and(|length| length == self.greeting.len()) {
                self.peers.push(peer);
            }
        }
    }
}

/// The peer closed, or must be.
struct Leaves;

impl Peer {
    /// The reason, if a whole request to end has come.
    fn receive(&mut self) -> Result<Option<String>, Leaves> {
        loop {
            let mut some = [0; 1024];
            match self.stream.read(&mut some) {
                Ok(0) => return Err(Leaves),
                Ok(length) => self.received.extend_from_slice(&some[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(Leaves),
            }
            if let Some(reason) = parse(&self.received)? {
                self.received.clear();
                return Ok(Some(reason));
            }
        }
    }
}

/// The first request in these bytes, if all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<String>, Leaves> {
    let Some((header, body)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = frame::checked_length(*header).map_err(|_| Leaves)?;
    if length > MAX_REQUEST {
        return Err(Leaves);
    }
    let Some(body) = body.get(..length) else {
        return Ok(None);
    };
    match ControlRequest::decode(body).map(|request| request.request) {
        Ok(Some(Request::End(end))) => Ok(Some(end.reason)),
        Ok(None) | Err(_) => Err(Leaves),
    }
}

fn event(event: Event) -> io::Result<Vec<u8>> {
    frame::encode(&ControlEvent { event: Some(event) })
}

#[cfg(test)]
mod tests {
    use abide_wire::keeper::EndSession;

    use super::*;

    fn request(reason: &str) -> Vec<u8> {
        let reason = reason.to_owned();
        let request = Some(Request::End(EndSession { reason }));
        frame::encode(&ControlRequest { request }).unwrap()
    }

    #[test]
    fn a_request_is_read_when_it_is_whole_and_rubbish_ends_the_connection() {
        let whole = request("asked");
        for length in 0..whole.len() {
            assert!(matches!(parse(&whole[..length]), Ok(None)), "{length}");
        }
        assert!(matches!(parse(&whole), Ok(Some(reason)) if reason == "asked"));
        let long = request(&"x".repeat(MAX_REQUEST));
        for rubbish in [&[0xff; 8][..], &[0, 0, 0, 0], &[0, 0, 0, 1, 0xff], &long] {
            assert!(parse(rubbish).is_err(), "{:?}", &rubbish[..4]);
        }
    }

    #[test]
    fn a_peer_with_rubbish_goes_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut control = Control::new(listener, &KeeperStatus::default()).unwrap();
        let mut good = UnixStream::connect(&path).unwrap();
        let mut bad = UnixStream::connect(&path).unwrap();
        assert_eq!(control.serve(), None);
        assert_eq!(control.peers.len(), 2);

        bad.write_all(&[0xff; 64]).unwrap();
        good.write_all(&request("enough")).unwrap();
        assert_eq!(control.serve().as_deref(), Some("enough"));
        assert_eq!(control.peers.len(), 1);

        control.say_ended(&SessionEnded::default());
        drop(control);
        let mut events = Vec::new();
        while let Ok(event) = frame::read::<ControlEvent>(&mut good) {
            events.push(event.event.unwrap());
        }
        assert!(matches!(events[..], [Event::Status(_), Event::Ended(_)]));
    }

    #[test]
    fn more_peers_than_there_is_room_for_are_turned_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut control = Control::new(listener, &KeeperStatus::default()).unwrap();
        let crowd: Vec<_> =
            (0..MAX_PEERS + 3).map(|_| UnixStream::connect(&path).unwrap()).collect();
        control.serve();
        assert_eq!(control.peers.len(), MAX_PEERS);
        drop(crowd);
        control.serve();
        assert_eq!(control.peers.len(), 0);
    }
}
