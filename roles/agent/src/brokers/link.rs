//! One broker's stream.
//!
//! ```text
//! dial ─▶ Hello … ─▶ commands in, answers, reports and load out ─▶ broken ─▶ wait ─▶ dial
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use abide_model::{BrokerId, SessionId, Timestamp};
use abide_policy::ClusterConfig;
use abide_wire::agent::brokerage_client::BrokerageClient;
use abide_wire::agent::{
    AgentMessage, Answer, BrokerMessage, ClockProbe, ClockReply, Command, FenceProbe, Fenced,
    LedgerRow, Obeyed, Obeys, Offer, Profile, Rejected, Viewers, agent_message::Message, answer,
    broker_message,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tracing::{debug, info, warn};

use super::Streams;
use super::dial::dial;
use super::hello::{hello, offers};
use crate::clock;
use crate::host;
use crate::keepers::chain;
use crate::owner::{Counts, Promise, Verdict};
use crate::random;

/// Messages on their way to one broker. A broker that takes none for [`SEND_WITHIN`] is left.
const OUTBOX: usize = 64;
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// For connecting and being let in.
const ATTACH_WITHIN: Duration = Duration::from_secs(10);
/// Commands of one broker that wait for the ledger; more wait to be read.
const COMMANDS: usize = 256;
const LOAD_EVERY: Duration = Duration::from_secs(1);
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// Measurements that took longer say too little.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("cannot connect")]
    Dial(#[source] tonic::transport::Error),
    #[error("the broker does not let this agent in: {}", .0.message())]
    Refused(#[source] Box<tonic::Status>),
    #[error("the stream broke")]
    Stream(#[source] Box<tonic::Status>),
    #[error("the broker closed the stream")]
    Closed,
    #[error("the broker is too slow")]
    Slow,
    #[error("the server's certificate is not a broker's")]
    Nobody,
    #[error("the agent stops")]
    Stopping,
}

/// The stream to the broker at one address.
pub(super) struct Link {
    streams: Streams,
    address: String,
}

impl Link {
    pub(super) fn new(streams: Streams, address: String) -> Self {
        Self { streams, address }
    }

    /// Keeps the stream, for ever.
    pub(super) async fn run(self) {
        let mut pause = FIRST_PAUSE;
        let mut quiet = false;
        loop {
            let begun = Instant::now();
            let broken = self.attach(&mut pause).await;
            let broker = &self.address;
            if quiet && begun.elapsed() < LONGEST_PAUSE {
                debug!(broker, cause = chain(&broken), "No stream to broker");
            } else {
                warn!(broker, cause = chain(&broken), "No stream to broker; trying on");
            }
            quiet = true;
            // Half of it is chance, so that a cluster's agents do not come all at once.
            let [chance] = random::bytes();
            sleep(pause / 2 + pause / 2 * u32::from(chance) / 255).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One stream, from its beginning to its end. Once it stands, the next pause is short.
    async fn attach(&self, pause: &mut Duration) -> Broken {
        let attached = timeout(ATTACH_WITHIN, self.begin()).await.unwrap_or(Err(Broken::Slow));
        let stream = match attached {
            Ok(stream) => stream,
            Err(broken) => return broken,
        };
        *pause = FIRST_PAUSE;
        info!(broker = %stream.broker, address = self.address, "Broker connected");
        let gauge = Up::new(&self.streams);
        let broken = stream.serve(&self.streams).await;
        drop(gauge);
        broken
    }

    async fn begin(&self) -> Result<Stream, Broken> {
        let tls = self.streams.tls.clone();
        let (channel, answered) = dial(&self.address, tls).await.map_err(Broken::Dial)?;
        let broker = answered.broker().ok_or(Broken::Nobody)?.clone();
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let inbox = BrokerageClient::new(channel).attach(ReceiverStream::new(messages)).await;
        let inbox = inbox.map_err(|status| Broken::Refused(status.into()))?.into_inner();
        let greeting = self.streams.owner.greet().await.ok_or(Broken::Stopping)?;
        let out = Out(outbox);
        let fence = greeting.fence.into();
        let Streams { settings, boot, cluster, .. } = &self.streams;
        let mut policy = self.streams.policy.watch();
        let offers = offers(settings, &policy.borrow_and_update());
        let told = cluster.last_told();
        for piece in hello(settings, boot, fence, greeting.rows, told, offers.clone()) {
            out.send(Message::Hello(piece)).await?;
        }
        let counts = self.streams.owner.counts();
        let reports = greeting.reports;
        let (probe, probes) = (None, 0);
        Ok(Stream { broker, inbox, out, reports, counts, policy, offers, probe, probes })
    }
}

/// Counts a stream that is up.
struct Up<'s>(&'s Streams);

impl<'s> Up<'s> {
    fn new(streams: &'s Streams) -> Self {
        streams.metrics.brokers.inc();
        Self(streams)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.metrics.brokers.dec();
    }
}

struct Out(mpsc::Sender<AgentMessage>);

impl Out {
    async fn send(&self, message: Message) -> Result<(), Broken> {
        let message = AgentMessage { message: Some(message) };
        match timeout(SEND_WITHIN, self.0.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Broken::Closed),
            Err(_) => Err(Broken::Slow),
        }
    }
}

/// A stream that stands.
struct Stream {
    /// Who it is, by its certificate.
    broker: BrokerId,
    inbox: Streaming<BrokerMessage>,
    out: Out,
    reports: mpsc::Receiver<LedgerRow>,
    counts: watch::Receiver<Counts>,
    policy: watch::Receiver<Arc<ClusterConfig>>,
    /// What this broker knows to be on offer.
    offers: Vec<Profile>,
    probe: Option<Probe>,
    probes: u64,
}

/// A measurement of the broker's clock under way.
struct Probe {
    number: u64,
    /// By our clock.
    sent: Timestamp,
    begun: Instant,
}

/// Answers that wait for the ledger; `None` from an owner that has stopped.
type Answers = JoinSet<Option<Message>>;

impl Stream {
    async fn serve(mut self, streams: &Streams) -> Broken {
        let Err::<Infallible, _>(broken) = self.go_on(streams).await;
        broken
    }

    async fn go_on(&mut self, streams: &Streams) -> Result<Infallible, Broken> {
        let mut answers = Answers::new();
        let (mut load, mut probe) = (interval(LOAD_EVERY), interval(PROBE_EVERY));
        for timer in [&mut load, &mut probe] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                message = self.inbox.message(), if answers.len() < COMMANDS => {
                    let message = message.map_err(|status| Broken::Stream(status.into()))?;
                    self.take(message.ok_or(Broken::Closed)?, streams, &mut answers).await?;
                }
                Some(answer) = answers.join_next() => {
                    let answer = answer.ok().flatten().ok_or(Broken::Stopping)?;
                    self.out.send(answer).await?;
                }
                report = self.reports.recv() => {
                    self.out.send(Message::Report(report.ok_or(Broken::Slow)?)).await?;
                }
                changed = self.counts.changed() => {
                    changed.map_err(|_| Broken::Stopping)?;
                    self.load(streams).await?;
                }
                changed = self.policy.changed() => {
                    changed.map_err(|_| Broken::Stopping)?;
                    self.offer(streams).await?;
                }
                _ = load.tick() => self.load(streams).await?,
                _ = probe.tick() => self.probe().await?,
            }
        }
    }

    async fn take(
        &mut self,
        message: BrokerMessage,
        streams: &Streams,
        answers: &mut Answers,
    ) -> Result<(), Broken> {
        use broker_message::Message;
        match message.message {
            Some(Message::Welcome(welcome)) => {
                if let Some(view) = welcome.cluster {
                    streams.owner.cluster(view).await;
                }
                if let Some(config) = welcome.config {
                    streams.owner.config(config).await;
                }
            }
            Some(Message::Cluster(view)) => streams.owner.cluster(view).await,
            Some(Message::Config(config)) => streams.owner.config(config).await,
            // Unasked for: the broker goes by another time now.
            Some(Message::Clock(ClockReply { probe: 0, .. })) => self.probe().await?,
            Some(Message::Clock(reply)) => self.measure(&reply, streams).await,
            Some(Message::Command(command)) => order(command, streams, answers).await?,
            Some(Message::Fence(probe)) => obeys(probe, streams, answers).await?,
            // What a newer broker says that this agent does not know.
            None => {}
        }
        Ok(())
    }

    /// Tells what is on offer now, if that is news.
    async fn offer(&mut self, streams: &Streams) -> Result<(), Broken> {
        let offers = offers(&streams.settings, &self.policy.borrow_and_update());
        if offers == self.offers {
            return Ok(());
        }
        self.offers.clone_from(&offers);
        self.out.send(Message::Offer(Offer { profiles: offers })).await
    }

    async fn load(&mut self, streams: &Streams) -> Result<(), Broken> {
        let counts = self.counts.borrow_and_update().clone();
        let viewers = counts
            .iter()
            .map(|(id, count): (&SessionId, _)| Viewers { session: id.to_string(), count: *count });
        let offset = streams.clocks.offset(&self.broker).unsigned_abs();
        let load = abide_wire::agent::Load {
            viewers: viewers.collect(),
            clock_offset_ms: u32::try_from(offset).unwrap_or(u32::MAX),
            ..host::load()
        };
        self.out.send(Message::Load(load)).await
    }

    async fn probe(&mut self) -> Result<(), Broken> {
        self.probes += 1;
        let number = self.probes;
        let sent = clock::now();
        self.probe = Some(Probe { number, sent, begun: Instant::now() });
        self.out.send(Message::Clock(ClockProbe { probe: number, now_ms: sent.0 })).await
    }

    async fn measure(&mut self, reply: &ClockReply, streams: &Streams) {
        let Some(probe) = self.probe.take_if(|probe| probe.number == reply.probe) else { return };
        let took = probe.begun.elapsed();
        if took > PROBE_WITHIN {
            return;
        }
        let answered = Timestamp(reply.now_ms);
        let kept = streams.clocks.measured(&self.broker, probe.sent, answered, took);
        let offset = streams.clocks.offset(&self.broker);
        streams.metrics.offset(&self.broker, offset);
        if let Some(kept) = kept {
            if offset.unsigned_abs() > 5_000 {
                warn!(broker = %self.broker, offset_ms = offset, "This host's clock and the broker's differ");
            }
            streams.owner.clock(kept).await;
        }
    }
}

/// Hands a command in, in its turn; the answer comes when it is durable.
async fn order(command: Command, streams: &Streams, answers: &mut Answers) -> Result<(), Broken> {
    let id = command.id;
    let verdict = streams.owner.command(command).await.ok_or(Broken::Stopping)?;
    answers.spawn(async move {
        let answer = match verdict.await.ok()? {
            Verdict::Obeyed => answer::Answer::Obeyed(Obeyed {}),
            Verdict::Fenced(highest) => {
                answer::Answer::Fenced(Fenced { highest: Some(highest.into()) })
            }
            Verdict::Rejected(detail) => answer::Answer::Rejected(Rejected { detail }),
        };
        Some(Message::Answer(Answer { command: id, answer: Some(answer) }))
    });
    Ok(())
}

/// Tells whom this agent obeys, and will obey; once that is durable.
async fn obeys(asked: FenceProbe, streams: &Streams, answers: &mut Answers) -> Result<(), Broken> {
    let FenceProbe { probe, promise } = asked;
    let promise = promise.map(|it| Promise {
        next: it.next.unwrap_or_default().into(),
        known: it.known.unwrap_or_default().into(),
    });
    let fence = streams.owner.fence(promise).await.ok_or(Broken::Stopping)?;
    let cluster = streams.cluster.clone();
    answers.spawn(async move {
        let fence = Some(fence.await.ok()?.into());
        let version = cluster.last_told().version;
        Some(Message::Obeys(Obeys { probe, fence, version }))
    });
    Ok(())
}
