//! The engine's transport over the simulated wires.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use abide_broker::Replica;
use abide_raft::{
    AppendAnswer, AppendRequest, Ballot, Hearing, Raft, SnapshotHeader, Stamp, Transport,
    TransportError, VoteAnswer, VoteRequest,
};
use async_trait::async_trait;
use tokio::fs::File;
use tokio::time::timeout;

use crate::net::End;
use crate::world::World;

/// One life of one broker, as a sender.
pub struct Wires {
    pub world: Arc<World>,
    pub broker: usize,
    pub life: u64,
}

impl Wires {
    async fn there(
        &self,
        stamp: Stamp,
        what: &str,
    ) -> Result<(End, Raft<Replica>), TransportError> {
        let lost = || lost(stamp, "the message is lost");
        let from = End::Broker(self.broker);
        let to = self.world.broker_of(stamp.to).ok_or(TransportError::UnknownPeer(stamp.to))?;
        if !self.world.is_alive(self.broker, self.life) {
            return Err(lost());
        }
        self.world.carry(from, End::Broker(to)).await.ok_or_else(lost)?;
        self.world.trace.add(&format!("b{} -> b{to} {what}", self.broker));
        let raft = self.world.raft(to).ok_or_else(lost)?;
        Ok((End::Broker(to), raft))
    }

    async fn back<T>(&self, stamp: Stamp, from: End, answer: T) -> Result<T, TransportError> {
        let came = self.world.carry(from, End::Broker(self.broker)).await;
        came.filter(|()| self.world.is_alive(self.broker, self.life))
            .map(|()| answer)
            .ok_or_else(|| lost(stamp, "the answer is lost"))
    }
}

fn lost(
    stamp: Stamp,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TransportError {
    TransportError::Unreachable { peer: stamp.to, cause: cause.into() }
}

#[async_trait]
impl Transport for Wires {
    async fn append(
        &self,
        stamp: Stamp,
        _: &str,
        request: AppendRequest,
        deadline: Duration,
    ) -> Result<AppendAnswer, TransportError> {
        let what = format!("append {:?} {}", request.ballot, request.records.len());
        let work = async {
            let (there, raft) = self.there(stamp, &what).await?;
            if self.world.chance.per_mille(self.world.doubled()) {
                let (raft, request) = (raft.clone(), request.clone());
                let again = self.world.chance.millis(0, 100);
                tokio::spawn(async move {
                    tokio::time::sleep(again).await;
                    let _ = raft.inbound().append(stamp, request).await;
                });
            }
            let answer = raft.inbound().append(stamp, request).await;
            self.back(stamp, there, answer.map_err(|cause| lost(stamp, cause))?).await
        };
        timeout(deadline, work).await.unwrap_or_else(|cause| Err(lost(stamp, cause)))
    }

    async fn vote(
        &self,
        stamp: Stamp,
        _: &str,
        request: VoteRequest,
        deadline: Duration,
    ) -> Result<VoteAnswer, TransportError> {
        let what = format!("vote {:?}", request.ballot);
        let work = async {
            let (there, raft) = self.there(stamp, &what).await?;
            let answer = raft.inbound().vote(stamp, request).await;
            self.back(stamp, there, answer.map_err(|cause| lost(stamp, cause))?).await
        };
        timeout(deadline, work).await.unwrap_or_else(|cause| Err(lost(stamp, cause)))
    }

    async fn snapshot(
        &self,
        stamp: Stamp,
        _: &str,
        ballot: Ballot,
        header: SnapshotHeader,
        file: File,
    ) -> Result<Ballot, TransportError> {
        let mut bytes = Vec::new();
        file.into_std().await.read_to_end(&mut bytes).map_err(|cause| lost(stamp, cause))?;
        let (there, raft) = self.there(stamp, &format!("snapshot {ballot:?}")).await?;
        let answer = raft.inbound().snapshot(stamp, ballot, header, bytes.as_slice()).await;
        self.back(stamp, there, answer.map_err(|cause| lost(stamp, cause))?).await
    }

    async fn hearing(
        &self,
        stamp: Stamp,
        _: &str,
        deadline: Duration,
    ) -> Result<Hearing, TransportError> {
        let work = async {
            let (there, raft) = self.there(stamp, "hearing").await?;
            let answer = raft.inbound().hearing(stamp);
            self.back(stamp, there, answer.map_err(|cause| lost(stamp, cause))?).await
        };
        timeout(deadline, work).await.unwrap_or_else(|cause| Err(lost(stamp, cause)))
    }

    async fn read_index(
        &self,
        stamp: Stamp,
        _: &str,
        deadline: Duration,
    ) -> Result<u64, TransportError> {
        let work = async {
            let (there, raft) = self.there(stamp, "read index").await?;
            let answer = raft.inbound().read_index(stamp).await;
            self.back(stamp, there, answer.map_err(|cause| lost(stamp, cause))?).await
        };
        timeout(deadline, work).await.unwrap_or_else(|cause| Err(lost(stamp, cause)))
    }
}
