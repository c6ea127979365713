//! The engine's messages, in.

use std::io;
use std::sync::Arc;

use abide_model::BrokerId;
use abide_raft::{Machine, Raft, Refusal, SnapshotHeader};
use abide_tls::{Node, PeerIdentity};
use abide_wire::peer::consensus_server::{Consensus, ConsensusServer};
use abide_wire::peer::{
    AppendReply, AppendRequest, HearingReply, HearingRequest, ReadIndexReply, ReadIndexRequest,
    SnapshotPiece, SnapshotReply, VoteReply, VoteRequest,
};
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status, Streaming};

use crate::MAX_MESSAGE;
use crate::convert::{
    Malformed, append_in, appended_out, ballot_in, ballot_out, hearing_out, stamp_in, vote_in,
    voted_out,
};
use crate::who::who;

/// Whether this broker belongs to the cluster now.
type Admits = Arc<dyn Fn(&BrokerId) -> bool + Send + Sync>;

/// The receiving side of [`Wire`](crate::Wire).
pub struct ConsensusService<M: Machine> {
    raft: Raft<M>,
    admits: Admits,
}

impl<M: Machine> ConsensusService<M> {
    /// The service; `admits` says who may speak.
    pub fn server(
        raft: Raft<M>,
        admits: impl Fn(&BrokerId) -> bool + Send + Sync + 'static,
    ) -> ConsensusServer<Self> {
        ConsensusServer::new(Self { raft, admits: Arc::new(admits) })
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        match who(request.extensions())? {
            PeerIdentity { node: Node::Broker(broker), .. } if (self.admits)(broker) => Ok(()),
            _ => Err(Status::permission_denied("only brokers of this cluster may speak here")),
        }
    }
}

#[tonic::async_trait]
impl<M: Machine> Consensus for ConsensusService<M> {
    async fn append(
        &self,
        request: Request<AppendRequest>,
    ) -> Result<Response<AppendReply>, Status> {
        self.check(&request)?;
        let (stamp, append) = append_in(request.into_inner()).map_err(malformed)?;
        let answer = self.raft.inbound().append(stamp, append).await.map_err(refused)?;
        Ok(Response::new(appended_out(answer)))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        self.check(&request)?;
        let (stamp, vote) = vote_in(request.into_inner()).map_err(malformed)?;
        let answer = self.raft.inbound().vote(stamp, vote).await.map_err(refused)?;
        Ok(Response::new(voted_out(&answer)))
    }

    async fn hearing(
        &self,
        request: Request<HearingRequest>,
    ) -> Result<Response<HearingReply>, Status> {
        self.check(&request)?;
        let stamp = stamp_in(request.into_inner().stamp).map_err(malformed)?;
        let hearing = self.raft.inbound().hearing(stamp).map_err(refused)?;
        Ok(Response::new(hearing_out(hearing)))
    }

    async fn read_index(
        &self,
        request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexReply>, Status> {
        self.check(&request)?;
        let stamp = stamp_in(request.into_inner().stamp).map_err(malformed)?;
        let next = self.raft.inbound().read_index(stamp).await.map_err(refused)?;
        Ok(Response::new(ReadIndexReply { next }))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<SnapshotPiece>>,
    ) -> Result<Response<SnapshotReply>, Status> {
        self.check(&request)?;
        let mut pieces = request.into_inner();
        let first = pieces.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("there is no first piece"))?;
        let stamp = stamp_in(first.stamp).map_err(malformed)?;
        let ballot = ballot_in(first.ballot).map_err(malformed)?;
        let header: SnapshotHeader =
            serde_json::from_slice(&first.header).map_err(|cause| malformed(cause.into()))?;
        let data = pieces.map(|piece| piece.map(|it| it.data).map_err(io::Error::other));
        let body = tokio_util::io::StreamReader::new(data);
        let ballot = self.raft.inbound().snapshot(stamp, ballot, header, body).await;
        let ballot = ballot.map_err(refused)?;
        Ok(Response::new(SnapshotReply { ballot: Some(ballot_out(ballot)) }))
    }
}

fn malformed(cause: Malformed) -> Status {
    Status::invalid_argument(cause.to_string())
}

fn refused(cause: Refusal) -> Status {
    Status::failed_precondition(cause.to_string())
}
