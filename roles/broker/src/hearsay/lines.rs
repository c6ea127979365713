//! The leader's lines to agents, through other brokers that hear them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use abide_model::{AgentId, BrokerId};
use abide_wire::agent::{BrokerMessage, broker_message};
use abide_wire::peer::{RelayReply, RelayRequest, relay_request};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::{info, warn};

use crate::broker::Broker;
use crate::clock::Clock;
use crate::hub::OUTBOX;
use crate::listener::{Listener, Said};
use crate::timing;

/// How often it is looked whether an agent's link is still good.
const LOOK: Duration = Duration::from_millis(200);
/// Before one that could not be opened is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// Lines that are being opened at once: a leader that many agents have yet to come to is not kept from
/// them.
const OPENINGS: usize = 64;

/// Runs for ever: while this broker leads, each agent that only others hear has a line through one of them.
pub async fn keep_lines(broker: Broker) {
    let begun = Instant::now();
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut openings, mut opening) = (JoinSet::new(), HashSet::new());
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = broker.hearsay.news.notified() => {}
            Some(opened) = openings.join_next() => {
                if let Ok(agent) = opened {
                    opening.remove(&agent);
                }
                continue;
            }
        }
        if broker.fence().is_none() {
            openings.abort_all();
            opening.clear();
            broker.hub.hang_up_all();
            continue;
        }
        for (agent, carrier) in due(&broker, begun) {
            if opening.len() < OPENINGS && opening.insert(agent.clone()) {
                let broker = broker.clone();
                openings.spawn(async move {
                    if let Err(status) = open(&broker, &agent, &carrier).await {
                        warn!(%agent, via = %carrier, %status, "No line to an agent");
                        sleep(AGAIN).await;
                    }
                    agent
                });
            }
        }
    }
}

/// Who is to be spoken to through whom from now on.
fn due(broker: &Broker, begun: Instant) -> Vec<(AgentId, BrokerId)> {
    let now = Instant::now();
    let mut book = broker.hearsay.book();
    book.forget_silent(now);
    let lines = broker.hub.lines(book.agents().into_iter());
    let due = lines.into_iter().filter_map(|(agent, line)| {
        let carrier = book.carrier(agent, &line, begun, now)?;
        broker.lets_in(agent).then(|| (agent.clone(), carrier.clone()))
    });
    due.collect()
}

/// Opens a line; done when the agent's link is this line, and somebody listens to it.
async fn open(broker: &Broker, agent: &AgentId, carrier: &BrokerId) -> Result<(), Status> {
    let table = broker.raft.latest();
    let row = table.0.broker(carrier);
    let address = &row.ok_or_else(|| Status::not_found("there is no such broker"))?.agent_address;
    let (outbox, messages) = mpsc::channel(OUTBOX);
    let with = RelayRequest { message: Some(relay_request::Message::Agent(agent.to_string())) };
    let commands = ReceiverStream::new(messages).filter_map(command_in);
    let requests = tokio_stream::once(with).chain(commands);
    let mut client = broker.peers.relay_client(address);
    let within = timing::silences(broker.settings.timing).line;
    let answer = timeout(within, client.relay(requests)).await.ok();
    broker.peers.judge_relay(address, answer.as_ref());
    let late = || Status::deadline_exceeded("no answer in time");
    let clock = broker.clock.clone();
    let said = answer.ok_or_else(late)??.into_inner();
    let mut said = said.map(move |reply| reply.map(|reply| said_in(&clock, reply)));
    let first = timeout(within, said.next()).await.map_err(|_| late())?;
    let first = first.ok_or_else(|| Status::aborted("the line ended"))??;
    let via = carrier.clone();
    let link = broker.hub.connect_through(agent, via, outbox.clone(), first.heard);
    // The agent was heard in another way meanwhile.
    let Some((number, dropped)) = link else { return Ok(()) };
    info!(%agent, via = %carrier, "Agent is spoken to through another broker");
    let (broker, agent, via) = (broker.clone(), agent.clone(), Some(carrier.clone()));
    let listener = Listener { broker, agent, via, number, outbox, dropped };
    tokio::spawn(listener.run(tokio_stream::once(Ok(first)).chain(said)));
    Ok(())
}

/// The carrier tells its agents everything else itself.
fn command_in(message: BrokerMessage) -> Option<RelayRequest> {
    match message.message {
        Some(broker_message::Message::Command(command)) => {
            Some(RelayRequest { message: Some(relay_request::Message::Command(command)) })
        }
        _ => None,
    }
}

fn said_in(clock: &Clock, reply: RelayReply) -> Said {
    let heard = clock.heard().before(Duration::from_millis(reply.ago_ms.into()));
    Said { message: reply.message.and_then(|it| it.message), heard }
}
