//! The engine's messages, out.

use std::time::Duration;

use abide_raft::{
    AppendAnswer, AppendRequest, Ballot, Hearing, SnapshotHeader, Stamp, Transport, TransportError,
    VoteAnswer, VoteRequest,
};
use abide_wire::peer::SnapshotPiece;
use abide_wire::peer::consensus_client::ConsensusClient;
use abide_wire::peer::{HearingRequest, ReadIndexRequest};
use async_trait::async_trait;
use bytes::BytesMut;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::MAX_MESSAGE;
use crate::convert::{
    Malformed, append_out, appended_in, ballot_in, ballot_out, hearing_in, stamp_out, vote_out,
    voted_in,
};
use crate::line::Lines;

/// One piece of a snapshot. A few are on their way at once.
const PIECE: usize = 256 << 10;
const PIECES: usize = 8;

/// The [`Transport`] over mTLS.
#[derive(Clone)]
pub struct Wire(pub Lines);

/// No answer within the deadline.
#[derive(Debug, thiserror::Error)]
#[error("no answer in time")]
struct Late;

impl Wire {
    fn client(&self, address: &str) -> ConsensusClient<Channel> {
        client(self.0.to(address))
    }

    /// Waits for an answer, and tells the line whether one came.
    async fn answer<T>(
        &self,
        stamp: Stamp,
        address: &str,
        deadline: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, TransportError> {
        let answer = timeout(deadline, call).await;
        match &answer {
            // Refused by the other side: the line is good.
            Ok(Ok(_)) => self.0.answered(address),
            Ok(Err(status)) if status.code() != tonic::Code::Unavailable => {
                self.0.answered(address);
            }
            Ok(Err(_)) | Err(_) => self.0.missed(address),
        }
        match answer {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(unreachable(stamp, status)),
            Err(_) => Err(unreachable(stamp, Late)),
        }
    }
}

fn client(channel: Channel) -> ConsensusClient<Channel> {
    ConsensusClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

fn unreachable(
    stamp: Stamp,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TransportError {
    TransportError::Unreachable { peer: stamp.to, cause: cause.into() }
}

#[async_trait]
impl Transport for Wire {
    async fn append(
        &self,
        stamp: Stamp,
        address: &str,
        request: AppendRequest,
        deadline: Duration,
    ) -> Result<AppendAnswer, TransportError> {
        let malformed = |cause: Malformed| unreachable(stamp, cause);
        let message = append_out(stamp, request).map_err(malformed)?;
        let mut client = self.client(address);
        let reply = self.answer(stamp, address, deadline, client.append(message)).await?;
        appended_in(reply).map_err(malformed)
    }

    async fn vote(
        &self,
        stamp: Stamp,
        address: &str,
        request: VoteRequest,
        deadline: Duration,
    ) -> Result<VoteAnswer, TransportError> {
        let mut client = self.client(address);
        let call = client.vote(vote_out(stamp, &request));
        let reply = self.answer(stamp, address, deadline, call).await?;
        voted_in(reply).map_err(|cause| unreachable(stamp, cause))
    }

    async fn snapshot(
        &self,
        stamp: Stamp,
        address: &str,
        ballot: Ballot,
        header: SnapshotHeader,
        mut file: File,
    ) -> Result<Ballot, TransportError> {
        let header = serde_json::to_vec(&header).map_err(|cause| unreachable(stamp, cause))?;
        let (pieces, queue) = mpsc::channel(PIECES);
        let first = SnapshotPiece {
            stamp: Some(stamp_out(stamp)),
            ballot: Some(ballot_out(ballot)),
            header: header.into(),
            ..SnapshotPiece::default()
        };
        let sending = async move {
            let mut next = first;
            // An error of the file cuts the stream short, and the receiver finds it incomplete.
            while pieces.send(next).await.is_ok() {
                let mut data = BytesMut::with_capacity(PIECE);
                match file.read_buf(&mut data).await {
                    Ok(read) if read > 0 => {}
                    _ => break,
                }
                next = SnapshotPiece { data: data.freeze(), ..SnapshotPiece::default() };
            }
            drop(pieces);
            std::future::pending::<()>().await;
        };
        // A connection of its own: its pieces delay no heartbeat.
        let mut client = client(self.0.apart(address));
        let reply = tokio::select! {
            reply = client.snapshot(ReceiverStream::new(queue)) => reply,
            () = sending => unreachable!("it never ends by itself"),
        };
        let reply = reply.map_err(|status| unreachable(stamp, status))?.into_inner();
        ballot_in(reply.ballot).map_err(|cause| unreachable(stamp, cause))
    }

    async fn hearing(
        &self,
        stamp: Stamp,
        address: &str,
        deadline: Duration,
    ) -> Result<Hearing, TransportError> {
        let mut client = self.client(address);
        let call = client.hearing(HearingRequest { stamp: Some(stamp_out(stamp)) });
        self.answer(stamp, address, deadline, call).await.map(hearing_in)
    }

    async fn read_index(
        &self,
        stamp: Stamp,
        address: &str,
        deadline: Duration,
    ) -> Result<u64, TransportError> {
        let mut client = self.client(address);
        let call = client.read_index(ReadIndexRequest { stamp: Some(stamp_out(stamp)) });
        self.answer(stamp, address, deadline, call).await.map(|reply| reply.next)
    }
}
