//! Having the leader do something, whoever that is.

use std::time::Duration;

use abide_api::ProblemKind;
use abide_model::{BrokerId, Change, Command, Outcome, Refusal, SessionId, Timestamp};
use abide_raft::{
    EncodeError, Leadership, Machine, MembersError, NodeId, Peer, ProposeError, Role,
};
use abide_wire::peer::cooperation_client::CooperationClient;
use abide_wire::peer::{
    self, ConfigureRequest, ProposeReply, ProposeRequest, RemoveRequest, ReserveRequest,
    SupersedeRequest, propose_reply, reserve_reply,
};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tracing::debug;

use super::RosterError;
use crate::broker::Broker;
use crate::desk::Asked;
use crate::policy::Wanted;
use crate::problem::Refused;
use crate::timing;

/// Before a leader that refused, or could not be reached, is asked again.
const PAUSE: Duration = Duration::from_millis(20);

impl Broker {
    /// Commits a change, at this moment by what the leader holds to be the time.
    ///
    /// # Errors
    /// Those of [`Raft::propose`](abide_raft::Raft::propose).
    pub async fn propose(&self, change: Change) -> Result<Outcome, ProposeError> {
        let command = Command { at: Timestamp(0), change };
        let message = self.raft.latest().encode(&command).map_err(|it| self.unspoken(it))?;
        let here = || {
            let change = command.change.clone();
            async move { self.commit(change).await }
        };
        let there = |mut leader: CooperationClient<Channel>| {
            let request = ProposeRequest { command: message.clone().into() };
            async move { outcome_in(leader.propose(request).await?.into_inner()) }
        };
        self.at_leader(here, there).await
    }

    /// Commits a change as the leader.
    ///
    /// # Errors
    /// Those of [`Raft::propose`](abide_raft::Raft::propose).
    pub async fn commit(&self, change: Change) -> Result<Outcome, ProposeError> {
        let at = self.clock.certain().await;
        self.raft.propose(Command { at, change }).await.map_err(|cause| match cause {
            ProposeError::Unspoken(cause) => self.unspoken(cause),
            cause => cause,
        })
    }

    /// Has the leader reserve a session, or find the one that is there.
    ///
    /// # Errors
    /// The problem, for the person.
    pub async fn reserve(&self, asked: &Asked) -> Result<SessionId, Refused> {
        let here =
            || async move { leaderless(crate::reservation::reserve_here(self, asked).await) };
        let there = |mut leader: CooperationClient<Channel>| {
            let request = ReserveRequest {
                user: asked.user.to_string(),
                profile: asked.profile.as_ref().map_or_else(String::new, ToString::to_string),
                resume: asked.resume,
                key: asked.key.to_string(),
                groups: asked.groups.clone(),
            };
            async move {
                match leader.reserve(request).await?.into_inner().reply {
                    Some(reserve_reply::Reply::Session(id)) => Ok(Ok(session_in(&id)?)),
                    Some(reserve_reply::Reply::Problem(json)) => Ok(Err(problem_in(&json)?)),
                    None => Err(Status::internal("an empty reply")),
                }
            }
        };
        self.at_leader(here, there).await?
    }

    /// Has the leader reserve another session instead of one whose agent is not heard; false if that
    /// cannot be done now.
    ///
    /// # Errors
    /// Nobody led in time.
    pub async fn supersede(&self, old: SessionId) -> Result<bool, Refused> {
        let here =
            || async move { leaderless(crate::reservation::supersede_here(self, old).await) };
        let there = |mut leader: CooperationClient<Channel>| {
            let request = SupersedeRequest { old: old.0.as_bytes().to_vec().into() };
            async move { Ok(Ok(leader.supersede(request).await?.into_inner().replaced)) }
        };
        self.at_leader(here, there).await?
    }

    /// Has the leader take another configuration of the cluster.
    ///
    /// # Errors
    /// The problem, for the person: what is wrong with it, or that another was taken meanwhile.
    pub async fn configure(&self, wanted: &Wanted) -> Result<(), Refused> {
        // A leader that is too old to know the call would not say why it cannot be done.
        self.table()
            .await?
            .encode(&Command { at: Timestamp(0), change: wanted.change() })
            .map_err(ProposeError::from)?;
        let here = || async move { leaderless(self.configure_here(wanted).await) };
        let there = |mut leader: CooperationClient<Channel>| {
            let request = ConfigureRequest {
                base: wanted.base,
                text: wanted.text.to_string(),
                by: wanted.by.to_string(),
                note: wanted.note.to_string(),
            };
            async move {
                let problem = leader.configure(request).await?.into_inner().problem;
                Ok(if problem.is_empty() { Ok(()) } else { Err(problem_in(&problem)?) })
            }
        };
        self.at_leader(here, there).await?
    }

    /// Has the leader let a broker go for good.
    ///
    /// # Errors
    /// The problem, for the person: the others could not go on without it.
    pub async fn remove_broker(&self, broker: &BrokerId) -> Result<(), Refused> {
        let here = || async move { leaderless(self.remove_here(broker).await) };
        let there = |mut leader: CooperationClient<Channel>| {
            let request = RemoveRequest { broker: broker.to_string() };
            async move {
                let problem = leader.remove(request).await?.into_inner().problem;
                Ok(if problem.is_empty() { Ok(()) } else { Err(problem_in(&problem)?) })
            }
        };
        self.at_leader(here, there).await?
    }

    /// Lets a broker go for good, as the leader.
    ///
    /// # Errors
    /// The problem, for the person; or this broker does not lead.
    pub async fn remove_here(&self, broker: &BrokerId) -> Result<(), Refused> {
        if self.table().await?.0.broker(broker).is_none() {
            return Err(ProblemKind::NotFound.because("There is no such broker.").into());
        }
        self.roster.remove(broker).await.map_err(|cause| match cause {
            RosterError::Members(MembersError::NotLeader) => Refused::NotLeader,
            RosterError::Members(cause) => {
                ProblemKind::Unavailable.because(cause.to_string()).into()
            }
            cause => ProblemKind::Conflict.because(cause.to_string()).into(),
        })?;
        match self.commit(Change::RemoveBroker { broker: broker.clone() }).await? {
            Outcome::Refused(refusal) => {
                Err(ProblemKind::Conflict.because(refusal.to_string()).into())
            }
            _ => Ok(()),
        }
    }

    /// Does it `here` if this broker leads, else has the leader do it. Waits while nobody leads, and asks
    /// the new one when the leader changes.
    async fn at_leader<T, H, A>(
        &self,
        here: impl Fn() -> H,
        there: impl Fn(CooperationClient<Channel>) -> A,
    ) -> Result<T, ProposeError>
    where
        H: Future<Output = Result<T, ProposeError>>,
        A: Future<Output = Result<T, Status>>,
    {
        let deadline = Instant::now() + timing::request(self.settings.timing);
        let mut leadership = self.raft.leadership();
        loop {
            let known = leadership.wait_for(|now| !now.is_leaderless());
            let now = match timeout_at(deadline, known).await {
                Err(_) => return Err(ProposeError::NotLeader { leader: None }),
                Ok(Err(_)) => return Err(ProposeError::Stopping),
                Ok(Ok(now)) => now.clone(),
            };
            let leader = now.leader.filter(|_| now.role == Role::Following);
            let refusal = match &leader {
                None => match here().await {
                    Err(refusal @ ProposeError::NotLeader { .. }) => refusal,
                    result => return result,
                },
                Some(leader) => match self.ask(leader, deadline, &there).await {
                    Some(Ok(answer)) => return Ok(answer),
                    Some(Err(status)) => {
                        debug!(leader = %leader.0, %status, "The leader did not do it");
                        match status.code() {
                            Code::ResourceExhausted => {
                                return Err(ProposeError::DiskFull { free: 0, needed: 0 });
                            }
                            Code::DeadlineExceeded => return Err(ProposeError::Unknown),
                            Code::Unimplemented => {
                                let words = status.message().to_owned();
                                return Err(EncodeError(words).into());
                            }
                            _ => ProposeError::NotLeader { leader: None },
                        }
                    }
                    None => ProposeError::NotLeader { leader: None },
                },
            };
            if Instant::now() >= deadline {
                return Err(refusal);
            }
            let leader = leader.map(|(node, _)| node);
            let _ = timeout(PAUSE, leadership.wait_for(|now| is_other(now, leader))).await;
        }
    }

    /// One try at one leader, for as long as it leads; `None` if it does not any more.
    async fn ask<T, A: Future<Output = Result<T, Status>>>(
        &self,
        (node, peer): &(NodeId, Peer),
        deadline: Instant,
        there: impl Fn(CooperationClient<Channel>) -> A,
    ) -> Option<Result<T, Status>> {
        let mut leadership = self.raft.leadership();
        let call = there(self.peers.client(&peer.address));
        let answer = tokio::select! {
            answer = timeout_at(deadline, call) => answer.ok(),
            _ = leadership.wait_for(|now| is_other(now, Some(*node))) => None,
        };
        self.peers.judge(&peer.address, answer.as_ref());
        answer
    }
}

fn is_other(now: &Leadership, leader: Option<NodeId>) -> bool {
    now.leader.as_ref().map(|(node, _)| *node) != leader
}

/// Tells "not the leader any more", which is asked again elsewhere, from what the person is told.
fn leaderless<T>(result: Result<T, Refused>) -> Result<Result<T, Refused>, ProposeError> {
    match result {
        Err(Refused::NotLeader) => Err(ProposeError::NotLeader { leader: None }),
        result => Ok(result),
    }
}

pub(super) fn session_in(bytes: &[u8]) -> Result<SessionId, Status> {
    uuid::Uuid::from_slice(bytes)
        .map(SessionId)
        .map_err(|_| Status::invalid_argument("a session's id is 16 bytes"))
}

fn problem_in(json: &[u8]) -> Result<Refused, Status> {
    serde_json::from_slice::<abide_api::Problem>(json)
        .map(Refused::from)
        .map_err(|_| Status::internal("a problem that cannot be read"))
}

fn outcome_in(reply: ProposeReply) -> Result<Outcome, Status> {
    use propose_reply::Outcome as Wire;
    Ok(match reply.outcome.ok_or_else(|| Status::internal("an empty reply"))? {
        Wire::Done(_) => Outcome::Done,
        Wire::Unchanged(_) => Outcome::Unchanged,
        Wire::Reserved(id) => Outcome::Reserved(session_in(&id)?),
        Wire::Existing(id) => Outcome::Existing(session_in(&id)?),
        Wire::Refused(refusal) => {
            let refusal = peer::Refusal::try_from(refusal).ok().and_then(refusal_in);
            Outcome::Refused(refusal.ok_or_else(|| Status::internal("an unknown refusal"))?)
        }
    })
}

pub(super) fn outcome_out(outcome: Outcome) -> ProposeReply {
    use propose_reply::Outcome as Wire;
    let id = |session: SessionId| session.0.as_bytes().to_vec().into();
    let outcome = match outcome {
        Outcome::Done => Wire::Done(peer::Blank {}),
        Outcome::Unchanged => Wire::Unchanged(peer::Blank {}),
        Outcome::Reserved(session) => Wire::Reserved(id(session)),
        Outcome::Existing(session) => Wire::Existing(id(session)),
        Outcome::Refused(refusal) => Wire::Refused(refusal_out(refusal).into()),
    };
    ProposeReply { outcome: Some(outcome) }
}

fn refusal_out(refusal: Refusal) -> peer::Refusal {
    match refusal {
        Refusal::UnknownSession => peer::Refusal::UnknownSession,
        Refusal::UnknownAgent => peer::Refusal::UnknownAgent,
        Refusal::UnknownBroker => peer::Refusal::UnknownBroker,
        Refusal::LastBroker => peer::Refusal::LastBroker,
        Refusal::Rebuilding => peer::Refusal::Rebuilding,
        Refusal::AgentUnreachable => peer::Refusal::AgentUnreachable,
        Refusal::AgentDrained => peer::Refusal::AgentDrained,
        Refusal::WrongAgent => peer::Refusal::WrongAgent,
        Refusal::KeyReused => peer::Refusal::KeyReused,
        Refusal::Ended => peer::Refusal::Ended,
        Refusal::StillReachable => peer::Refusal::StillReachable,
        Refusal::NotReserved => peer::Refusal::NotReserved,
        Refusal::JoinToken => peer::Refusal::JoinToken,
        Refusal::ConfigChanged => peer::Refusal::ConfigChanged,
    }
}

fn refusal_in(refusal: peer::Refusal) -> Option<Refusal> {
    Some(match refusal {
        peer::Refusal::Unspecified => return None,
        peer::Refusal::UnknownSession => Refusal::UnknownSession,
        peer::Refusal::UnknownAgent => Refusal::UnknownAgent,
        peer::Refusal::UnknownBroker => Refusal::UnknownBroker,
        peer::Refusal::LastBroker => Refusal::LastBroker,
        peer::Refusal::Rebuilding => Refusal::Rebuilding,
        peer::Refusal::AgentUnreachable => Refusal::AgentUnreachable,
        peer::Refusal::AgentDrained => Refusal::AgentDrained,
        peer::Refusal::WrongAgent => Refusal::WrongAgent,
        peer::Refusal::KeyReused => Refusal::KeyReused,
        peer::Refusal::Ended => Refusal::Ended,
        peer::Refusal::StillReachable => Refusal::StillReachable,
        peer::Refusal::NotReserved => Refusal::NotReserved,
        peer::Refusal::JoinToken => Refusal::JoinToken,
        peer::Refusal::ConfigChanged => Refusal::ConfigChanged,
    })
}
