//! How the other tasks talk to the owner.

use std::collections::HashMap;
use std::sync::Arc;

use abide_ledger::ClockOffset;
use abide_model::{Fence, SessionId};
use abide_wire::agent::{ClusterConfig, ClusterView, Command, LedgerRow};
use tokio::sync::{mpsc, oneshot, watch};

use super::doors::{Attachment, Denied, Door, Redeem, Shown};
use super::limits::Warnings;

/// Viewers by session; sessions without are not listed.
pub(crate) type Counts = Arc<HashMap<SessionId, u32>>;

/// What came of a broker's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is durable.
    Obeyed,
    /// A higher fence counts.
    Fenced(Fence),
    /// It cannot be followed.
    Rejected(String),
}

/// What a broker is greeted with.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) fence: Fence,
    pub(crate) rows: Vec<LedgerRow>,
    /// What changes from then on. It ends when the broker falls too far behind, and must be greeted
    /// anew.
    pub(crate) reports: mpsc::Receiver<LedgerRow>,
}

/// What a broker wants promised that may have to lead without the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    /// To obey none lower from now on.
    pub(crate) next: Fence,
    /// Unless a higher one than this was obeyed.
    pub(crate) known: Fence,
}

pub(super) enum Request {
    Command(Command, oneshot::Sender<Verdict>),
    Greet(oneshot::Sender<Greeting>),
    Fence(Option<Promise>, oneshot::Sender<Fence>),
    Redeem(Redeem, oneshot::Sender<Result<(), Denied>>),
    Attach(Door, oneshot::Sender<Result<Attachment, Denied>>),
    Show(Door, oneshot::Sender<Result<Shown, Denied>>),
    Warnings(Door, oneshot::Sender<Result<Warnings, Denied>>),
    Cluster(ClusterView),
    Config(ClusterConfig),
    Clock(ClockOffset),
    Stop(oneshot::Sender<()>),
}

/// The owner, for others. When it has stopped, what is asked of it never comes.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    requests: mpsc::Sender<Request>,
    counts: watch::Receiver<Counts>,
}

impl Handle {
    pub(super) fn new(requests: mpsc::Sender<Request>, counts: watch::Receiver<Counts>) -> Self {
        Self { requests, counts }
    }

    /// The viewers, and their changes.
    pub(crate) fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.clone()
    }

    /// Hands a command in; commands are taken in the order in which they are handed in.
    pub(crate) async fn command(&self, command: Command) -> Option<oneshot::Receiver<Verdict>> {
        let (reply, verdict) = oneshot::channel();
        self.requests.send(Request::Command(command, reply)).await.ok()?;
        Some(verdict)
    }

    pub(crate) async fn greet(&self) -> Option<Greeting> {
        let (reply, greeting) = oneshot::channel();
        self.requests.send(Request::Greet(reply)).await.ok()?;
        greeting.await.ok()
    }

    /// The highest fence that was obeyed, or promised. Comes once a promise is durable.
    pub(crate) async fn fence(&self, promise: Option<Promise>) -> Option<oneshot::Receiver<Fence>> {
        let (reply, fence) = oneshot::channel();
        self.requests.send(Request::Fence(promise, reply)).await.ok()?;
        Some(fence)
    }

    /// Exchanges a ticket for a pass.
    pub(crate) async fn redeem(&self, redeem: Redeem) -> Result<(), Denied> {
        self.ask(|reply| Request::Redeem(redeem, reply)).await
    }

    /// Lets a viewer in with its pass.
    pub(crate) async fn attach(&self, door: Door) -> Result<Attachment, Denied> {
        self.ask(|reply| Request::Attach(door, reply)).await
    }

    /// What a viewer may know of the session that its pass is for.
    pub(crate) async fn show(&self, door: Door) -> Result<Shown, Denied> {
        self.ask(|reply| Request::Show(door, reply)).await
    }

    /// What a viewer's person should know of the session's limits, and its changes.
    pub(crate) async fn warnings(&self, door: Door) -> Result<Warnings, Denied> {
        self.ask(|reply| Request::Warnings(door, reply)).await
    }

    pub(crate) async fn cluster(&self, view: ClusterView) {
        // When the owner has stopped, so will we.
        let _ = self.requests.send(Request::Cluster(view)).await;
    }

    pub(crate) async fn config(&self, config: ClusterConfig) {
        let _ = self.requests.send(Request::Config(config)).await;
    }

    pub(crate) async fn clock(&self, offset: ClockOffset) {
        let _ = self.requests.send(Request::Clock(offset)).await;
    }

    /// Sends all viewers away, and ends the owner.
    pub(crate) async fn stop(&self) {
        let (reply, done) = oneshot::channel();
        if self.requests.send(Request::Stop(reply)).await.is_ok() {
            let _ = done.await;
        }
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, Denied>>) -> Request,
    ) -> Result<T, Denied> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Denied::NotNow)?;
        answer.await.unwrap_or(Err(Denied::NotNow))
    }
}
