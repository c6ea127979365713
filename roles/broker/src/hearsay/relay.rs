//! Lending the leader an agent's stream.

use std::pin::Pin;

use std::time::Instant;

use abide_model::{AgentId, BrokerId};
use abide_wire::peer::{RelayReply, RelayRequest, relay_request};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Status, Streaming};
use tracing::info;

use crate::broker::Broker;

/// What an agent says, as another broker hears it.
pub type RelayStream = Pin<Box<dyn Stream<Item = Result<RelayReply, Status>> + Send>>;

/// Messages of one agent that may wait for the leader. One that lets so many pile up does not read, and
/// comes again if it needs to.
const WAITING: usize = 1024;

/// Lets another broker listen in on an agent, and passes its commands on, until it goes or the agent's
/// stream ends.
///
/// # Errors
/// The first message names no agent, or one that this broker does not hear itself.
pub async fn relay(
    broker: &Broker,
    to: BrokerId,
    mut requests: Streaming<RelayRequest>,
) -> Result<RelayStream, Status> {
    let first = requests.message().await?.and_then(|first| first.message);
    let Some(relay_request::Message::Agent(agent)) = first else {
        return Err(Status::invalid_argument("the first message does not say with whom"));
    };
    let agent: AgentId = agent
        .parse()
        .map_err(|cause: abide_model::InvalidId| Status::invalid_argument(cause.to_string()))?;
    let (out, said) = mpsc::channel(WAITING);
    let Some(listening) = broker.hub.listen_in(&agent, out, Instant::now()) else {
        return Err(Status::not_found("this broker does not hear that agent"));
    };
    info!(%agent, %to, "Another broker speaks with an agent through this one");
    let (hub, listener) = (broker.hub.clone(), listening.number);
    tokio::spawn(async move {
        while let Ok(Some(request)) = requests.message().await {
            // What a newer broker says that this one does not know is passed over.
            if let Some(relay_request::Message::Command(command)) = request.message
                && !hub.pass_on(&agent, listener, command)
            {
                break;
            }
        }
        hub.hang_up(&agent, listener);
        info!(%agent, %to, "Another broker has left an agent");
    });
    let opening = tokio_stream::iter(listening.opening);
    Ok(Box::pin(opening.chain(ReceiverStream::new(said)).map(Ok)))
}
