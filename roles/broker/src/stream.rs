//! The listener for agents: joining, and one stream from each.
//!
//! Who an agent is comes from its certificate. Joining is the one call without.

use std::pin::Pin;

use abide_model::{AgentId, Change, Outcome};
use abide_peers::{shown, who};
use abide_tls::{Node, NodeRole, PeerIdentity, certified_names, secret_hash};
use abide_wire::agent::brokerage_server::Brokerage;
use abide_wire::agent::{
    self, AgentMessage, BrokerMessage, JoinBrokerReply, JoinBrokerRequest, JoinReply, JoinRequest,
    RenewReply, RenewRequest, broker_message,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use tracing::info;

use crate::admit;
use crate::broker::Broker;
use crate::hub::OUTBOX;
use crate::listener::{Listener, Said};

/// The service.
pub struct AgentService(pub Broker);

#[tonic::async_trait]
impl Brokerage for AgentService {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<BrokerMessage, Status>> + Send>>;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let request = request.into_inner();
        let hash = secret_hash(&request.token_secret);
        let (authority, now) = (&self.0.authority, self.0.clock.system_time());
        let issued = authority
            .issue(&request.certificate_request, NodeRole::Agent, &request.names, now)
            .map_err(|cause| Status::invalid_argument(chain(&cause)))?;
        let Node::Agent(agent) = issued.node else {
            return Err(Status::invalid_argument("the request is not an agent's"));
        };
        let name: String = request.name.chars().filter(|c| !c.is_control()).take(64).collect();
        let change = Change::AdmitAgent { hash, agent: agent.clone(), name };
        match self.0.propose(change).await {
            Ok(Outcome::Refused(refusal)) => Err(Status::permission_denied(refusal.to_string())),
            Ok(_) => {
                info!(%agent, "Agent joined");
                let table = self.0.raft.latest();
                Ok(Response::new(JoinReply {
                    cluster: authority.cluster().to_string(),
                    agent: agent.to_string(),
                    certificate: issued.pem,
                    ca: authority.ca_pem(),
                    root_key: authority.root_key().to_string(),
                    brokers: table.0.brokers().map(|it| it.agent_address.clone()).collect(),
                }))
            }
            Err(cause) => Err(Status::unavailable(chain(&cause))),
        }
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let agent = self.who(&request)?;
        if self.0.raft.latest().0.agent(&agent).is_none() {
            return Err(not_in_the_table());
        }
        let names = certified_names(shown(request.extensions())?)
            .map_err(|cause| Status::unauthenticated(chain(&cause)))?;
        let asked = &request.get_ref().certificate_request;
        let now = self.0.clock.system_time();
        let issued = self.0.authority.issue(asked, NodeRole::Agent, &names, now);
        let issued = issued.map_err(|cause| Status::invalid_argument(chain(&cause)))?;
        if issued.node != Node::Agent(agent.clone()) {
            return Err(Status::permission_denied("the request is for another key"));
        }
        info!(%agent, "Agent's certificate renewed");
        Ok(Response::new(RenewReply { certificate: issued.pem }))
    }

    async fn join_broker(
        &self,
        request: Request<JoinBrokerRequest>,
    ) -> Result<Response<JoinBrokerReply>, Status> {
        admit::broker(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn attach(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let agent = self.who(&request)?;
        if !self.0.lets_in(&agent) {
            return Err(not_in_the_table());
        }
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let (number, dropped) = self.0.hub.connect(&agent, outbox.clone(), self.0.clock.heard());
        info!(%agent, "Agent connected");
        let table = self.0.raft.latest();
        let welcome = broker_message::Message::Welcome(agent::Welcome {
            broker: self.0.id.to_string(),
            cluster: Some(self.0.cluster_view(&table.0)),
            config: self.0.cluster_config(&table.0),
        });
        // The outbox is new and empty.
        let _ = outbox.try_send(BrokerMessage { message: Some(welcome) });
        let (broker, clock) = (self.0.clone(), self.0.clock.clone());
        let listener = Listener { broker, agent, via: None, number, outbox, dropped };
        let said = request.into_inner().map(move |message| {
            let AgentMessage { message } = message?;
            Ok(Said { message, heard: clock.heard() })
        });
        tokio::spawn(listener.run(said));
        Ok(Response::new(Box::pin(ReceiverStream::new(messages).map(Ok))))
    }
}

impl AgentService {
    fn who<T>(&self, request: &Request<T>) -> Result<AgentId, Status> {
        match who(request.extensions())? {
            PeerIdentity { node: Node::Agent(agent), cluster }
                if *cluster == self.0.identity.cluster() =>
            {
                Ok(agent.clone())
            }
            _ => Err(Status::unauthenticated("the certificate is no agent's of this cluster")),
        }
    }
}

fn not_in_the_table() -> Status {
    Status::permission_denied("this agent is not in the cluster's table")
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
