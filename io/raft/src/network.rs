//! What openraft sends, handed to the [`Transport`].

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::error::{
    Fatal, InstallSnapshotError, RPCError, RaftError, ReplicationClosed, StreamingError,
    Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    SnapshotResponse, VoteRequest as RaftVoteRequest, VoteResponse,
};
use openraft::{LogId, OptionalSend, RaftNetwork, RaftNetworkFactory, Snapshot, Vote};
use tokio::time::Instant;

use crate::ids::{NodeId, Peer};
use crate::machine::Machine;
use crate::me::Me;
use crate::record::Record;
use crate::store::{LogStore, SnapshotHeader};
use crate::transport::{
    AppendAnswer, AppendRequest, Transport, TransportError, VoteAnswer, VoteRequest,
};
use crate::types::Types;

/// A peer that was not reached is tried again after this long: short against the lease, long enough
/// not to spin.
const BACKOFF: Duration = Duration::from_millis(50);

/// Makes a [`Link`] per peer.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) me: Arc<Me>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) log: LogStore,
    /// This leader lets go: it is silent, so that another stands.
    pub(crate) yields: Arc<AtomicBool>,
}

/// One peer, as openraft talks to it.
pub(crate) struct Link {
    network: Network,
    to: NodeId,
    address: String,
}

impl Network {
    /// Whether this node, as a leader, is silent.
    pub(crate) fn set_yields(&self, yields: bool) {
        self.yields.store(yields, Ordering::Relaxed);
    }
}

impl<M: Machine> RaftNetworkFactory<Types<M>> for Network {
    type Network = Link;

    async fn new_client(&mut self, to: NodeId, peer: &Peer) -> Link {
        Link { network: self.clone(), to, address: peer.address.clone() }
    }
}

impl<M: Machine> RaftNetwork<Types<M>> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types<M>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RPCError<NodeId, Peer, RaftError<NodeId>>> {
        let request = AppendRequest {
            ballot: rpc.vote.into(),
            previous: rpc.prev_log_id.map(Into::into),
            records: rpc.entries.into_iter().map(Record::from).collect(),
            committed: rpc.leader_commit.map(Into::into),
        };
        let Network { me, transport, log, yields } = &self.network;
        if yields.load(Ordering::Relaxed) {
            return Err(Unreachable::new(&Yielding).into());
        }
        let (began, is_heartbeat) = (Instant::now(), request.records.is_empty());
        let answer =
            transport.append(me.stamp(self.to), &self.address, request, option.hard_ttl()).await;
        // With entries it would hold the other side's sync too.
        if answer.is_ok() && is_heartbeat {
            log.meters().round_trip(self.to, began.elapsed());
        }
        Ok(match answer.map_err(|cause| unreachable(&cause))? {
            AppendAnswer::Accepted => AppendEntriesResponse::Success,
            AppendAnswer::AcceptedUpTo(at) => {
                AppendEntriesResponse::PartialSuccess(at.map(LogId::from))
            }
            AppendAnswer::Conflict => AppendEntriesResponse::Conflict,
            AppendAnswer::HigherBallot(ballot) => AppendEntriesResponse::HigherVote(ballot.into()),
        })
    }

    /// openraft's own way of sending snapshots piece by piece, which `full_snapshot` replaces.
    async fn install_snapshot(
        &mut self,
        _: InstallSnapshotRequest<Types<M>>,
        _: RPCOption,
    ) -> Result<
        InstallSnapshotResponse<NodeId>,
        RPCError<NodeId, Peer, RaftError<NodeId, InstallSnapshotError>>,
    > {
        Err(unreachable(&TransportError::UnknownPeer(self.to)).into())
    }

    async fn vote(
        &mut self,
        rpc: RaftVoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RPCError<NodeId, Peer, RaftError<NodeId>>> {
        let request =
            VoteRequest { ballot: rpc.vote.into(), last: rpc.last_log_id.map(Into::into) };
        let Network { me, transport, .. } = &self.network;
        let answer =
            transport.vote(me.stamp(self.to), &self.address, request, option.hard_ttl()).await;
        let VoteAnswer { ballot, granted, last } = answer.map_err(|cause| unreachable(&cause))?;
        Ok(VoteResponse::new(Vote::from(ballot), last.map(LogId::from), granted))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<NodeId>,
        snapshot: Snapshot<Types<M>>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<Types<M>, Fatal<NodeId>>> {
        let meta = snapshot.meta;
        let header = SnapshotHeader {
            last: meta.last_log_id.map(Into::into),
            members_at: meta.last_membership.log_id().map(Into::into),
            members: meta.last_membership.membership().into(),
            id: meta.snapshot_id,
        };
        let Network { me, transport, .. } = &self.network;
        let stamp = me.stamp(self.to);
        let sent =
            transport.snapshot(stamp, &self.address, vote.into(), header, *snapshot.snapshot);
        tokio::select! {
            answer = sent => {
                let ballot = answer.map_err(|cause| unreachable(&cause))?;
                Ok(SnapshotResponse::new(ballot.into()))
            }
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}

/// Nothing is sent meanwhile.
#[derive(Debug, thiserror::Error)]
#[error("this leader lets go")]
struct Yielding;

fn unreachable(cause: &TransportError) -> Unreachable {
    Unreachable::new(cause)
}
