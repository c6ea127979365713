//! What other brokers ask of this one.

use abide_auth::{Answer, LoginDesk};
use abide_model::{BrokerId, Timestamp};
use abide_peers::{MAX_MESSAGE, who};
use abide_raft::{NodeId, Peer, ProposeError};
use abide_tls::{Node, PeerIdentity};
use abide_wire::peer::cooperation_server::{Cooperation, CooperationServer};
use abide_wire::peer::{
    AnswerReply, AnswerRequest, Blank, ClockReply, ClockRequest, ConfigureReply, ConfigureRequest,
    CountFailuresRequest, EnrollReply, EnrollRequest, Greeting, HearsayReply, HearsayRequest,
    LeaderReply, ProposeReply, ProposeRequest, RelayRequest, RemoveReply, RemoveRequest,
    ReserveReply, ReserveRequest, SupersedeReply, SupersedeRequest, answer_reply, reserve_reply,
};
use bytes::Bytes;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

use super::failures;
use super::leader::{outcome_out, session_in};
use crate::broker::Broker;
use crate::clock;
use crate::desk::Asked;
use crate::hearsay::{self, RelayStream};
use crate::http::login;
use crate::policy::Wanted;
use crate::problem::Refused;
use crate::reservation;

/// The service.
pub struct CooperationService {
    broker: Broker,
    logins: LoginDesk,
}

impl CooperationService {
    /// The service of this broker.
    pub fn server(broker: Broker, logins: LoginDesk) -> CooperationServer<Self> {
        CooperationServer::new(Self { broker, logins })
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// The broker that asks.
    fn check<T>(&self, request: &Request<T>) -> Result<BrokerId, Status> {
        match who(request.extensions())? {
            PeerIdentity { node: Node::Broker(id), .. } if self.broker.admits(id) => Ok(id.clone()),
            _ => Err(Status::permission_denied("only brokers of this cluster may ask this")),
        }
    }
}

#[tonic::async_trait]
impl Cooperation for CooperationService {
    type RelayStream = RelayStream;

    async fn propose(
        &self,
        request: Request<ProposeRequest>,
    ) -> Result<Response<ProposeReply>, Status> {
        self.check(&request)?;
        let command = abide_wire::read_command(&request.into_inner().command)
            .map_err(|cause| Status::invalid_argument(cause.to_string()))?;
        let outcome = self.broker.commit(command.change).await.map_err(|cause| refused(&cause))?;
        Ok(Response::new(outcome_out(outcome)))
    }

    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveReply>, Status> {
        self.check(&request)?;
        let ReserveRequest { user, profile, resume, key, groups } = request.into_inner();
        let bad = |cause: abide_model::InvalidId| Status::invalid_argument(cause.to_string());
        let profile = (!profile.is_empty()).then(|| profile.parse()).transpose().map_err(bad)?;
        let asked = Asked {
            user: user.parse().map_err(bad)?,
            groups,
            profile,
            resume,
            key: key.parse().map_err(bad)?,
        };
        let reply = match reservation::reserve_here(&self.broker, &asked).await {
            Ok(session) => reserve_reply::Reply::Session(session.0.as_bytes().to_vec().into()),
            Err(cause) => reserve_reply::Reply::Problem(problem_out(cause)?),
        };
        Ok(Response::new(ReserveReply { reply: Some(reply) }))
    }

    async fn supersede(
        &self,
        request: Request<SupersedeRequest>,
    ) -> Result<Response<SupersedeReply>, Status> {
        self.check(&request)?;
        let old = session_in(&request.into_inner().old)?;
        match reservation::supersede_here(&self.broker, old).await {
            Ok(replaced) => Ok(Response::new(SupersedeReply { replaced })),
            Err(Refused::NotLeader) => Err(not_leader()),
            Err(_) => Ok(Response::new(SupersedeReply { replaced: false })),
        }
    }

    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollReply>, Status> {
        let broker = self.check(&request)?;
        let EnrollRequest { node, address, generation, claimant, pristine, speech } =
            request.into_inner();
        let speaks = speech.into();
        self.broker.speeches.hear(&broker, speaks);
        let speech = Some(self.broker.speaks().into());
        let leadership = self.broker.raft.leadership().borrow().clone();
        if !leadership.is_serving() {
            let leader = leadership.leader.map(|(_, peer)| peer.address).unwrap_or_default();
            return Ok(Response::new(EnrollReply { leader, speech, ..EnrollReply::default() }));
        }
        let claim = self.broker.raft.claim();
        let (node, peer) = (NodeId(node), Peer { address, name: broker.to_string() });
        let votes = self.broker.roster.is_settled(node, &peer);
        // Whoever has data of another claim sets them aside first.
        let suits = pristine || (generation, claimant) == (claim.generation, claim.claimant.0);
        match self.broker.suits(&speaks) {
            Ok(()) if suits => self.broker.roster.take_in(node, peer),
            Ok(()) => {}
            Err(cause) => warn!(%broker, %cause, "A broker is not taken in"),
        }
        Ok(Response::new(EnrollReply {
            votes,
            leader: String::new(),
            generation: claim.generation,
            claimant: claim.claimant.0,
            speech,
        }))
    }

    async fn remove(
        &self,
        request: Request<RemoveRequest>,
    ) -> Result<Response<RemoveReply>, Status> {
        self.check(&request)?;
        let broker = request.into_inner().broker.parse();
        let broker = broker
            .map_err(|cause: abide_model::InvalidId| Status::invalid_argument(cause.to_string()))?;
        let problem = match self.broker.remove_here(&broker).await {
            Ok(()) => Bytes::new(),
            Err(cause) => problem_out(cause)?,
        };
        Ok(Response::new(RemoveReply { problem }))
    }

    async fn configure(
        &self,
        request: Request<ConfigureRequest>,
    ) -> Result<Response<ConfigureReply>, Status> {
        self.check(&request)?;
        let ConfigureRequest { base, text, by, note } = request.into_inner();
        let wanted = Wanted { base, text: text.into(), by: by.into(), note: note.into() };
        let problem = match self.broker.configure_here(&wanted).await {
            Ok(()) => Bytes::new(),
            Err(cause) => problem_out(cause)?,
        };
        Ok(Response::new(ConfigureReply { problem }))
    }

    async fn answer(
        &self,
        request: Request<AnswerRequest>,
    ) -> Result<Response<AnswerReply>, Status> {
        self.check(&request)?;
        let AnswerRequest { conversation, answers } = request.into_inner();
        let answers = answers.into_iter().map(Answer::new).collect();
        let reply =
            match login::answer_here(&self.broker, &self.logins, &conversation, answers).await {
                Ok(reply) => answer_reply::Reply::Login(json(&reply)?),
                Err(cause) => answer_reply::Reply::Problem(problem_out(cause)?),
            };
        Ok(Response::new(AnswerReply { reply: Some(reply) }))
    }

    async fn hearsay(
        &self,
        request: Request<HearsayRequest>,
    ) -> Result<Response<HearsayReply>, Status> {
        let broker = self.check(&request)?;
        let taken = self.broker.hearsay.take(broker, request.into_inner());
        taken.map_err(|cause| Status::invalid_argument(cause.to_string()))?;
        Ok(Response::new(HearsayReply {}))
    }

    async fn relay(
        &self,
        request: Request<Streaming<RelayRequest>>,
    ) -> Result<Response<RelayStream>, Status> {
        let broker = self.check(&request)?;
        hearsay::relay(&self.broker, broker, request.into_inner()).await.map(Response::new)
    }

    async fn count_failures(
        &self,
        request: Request<CountFailuresRequest>,
    ) -> Result<Response<Blank>, Status> {
        self.check(&request)?;
        failures::count(self.logins.throttle(), request.into_inner())?;
        Ok(Response::new(Blank {}))
    }

    async fn clock(&self, request: Request<ClockRequest>) -> Result<Response<ClockReply>, Status> {
        let other = self.check(&request)?;
        let ClockRequest { now_ms, speech } = request.into_inner();
        self.broker.clock.hear_broker(&other, Timestamp(now_ms));
        self.broker.speeches.hear(&other, speech.into());
        let speech = Some(self.broker.speaks().into());
        Ok(Response::new(ClockReply { now_ms: clock::host().0, speech }))
    }

    async fn leader(&self, request: Request<Blank>) -> Result<Response<LeaderReply>, Status> {
        self.check(&request)?;
        let heard = self.broker.group().leading_broker();
        let leader = self.broker.raft.leadership().borrow().leader.clone();
        let address = leader.filter(|_| heard.is_some()).map(|(_, peer)| peer.address);
        Ok(Response::new(LeaderReply { address: address.unwrap_or_default() }))
    }

    async fn greet(&self, request: Request<Greeting>) -> Result<Response<Greeting>, Status> {
        self.check(&request)?;
        let answer = self.broker.pair.hear(request.get_ref(), &self.broker.raft);
        answer
            .map(Response::new)
            .ok_or_else(|| Status::unavailable("this broker goes on alone now"))
    }
}

fn refused(cause: &ProposeError) -> Status {
    match cause {
        ProposeError::DiskFull { .. } => Status::resource_exhausted(cause.to_string()),
        ProposeError::TooLarge { .. } => Status::invalid_argument(cause.to_string()),
        ProposeError::Unspoken(_) => Status::unimplemented(cause.to_string()),
        ProposeError::Unknown => Status::deadline_exceeded(cause.to_string()),
        ProposeError::Busy => Status::aborted(cause.to_string()),
        ProposeError::NotLeader { .. } | ProposeError::Stopping | ProposeError::Failed(_) => {
            not_leader()
        }
    }
}

fn not_leader() -> Status {
    Status::failed_precondition("this broker does not lead")
}

/// What the person is told; a broker that does not lead is asked no more.
fn problem_out(cause: Refused) -> Result<Bytes, Status> {
    match cause {
        Refused::NotLeader => Err(not_leader()),
        Refused::Problem(problem) => json(&*problem),
        Refused::Unreachable(it) => json(&it.problem),
    }
}

fn json(value: &impl serde::Serialize) -> Result<Bytes, Status> {
    let text = serde_json::to_vec(value).map_err(|cause| Status::internal(cause.to_string()))?;
    Ok(text.into())
}
