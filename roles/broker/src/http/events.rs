//! Changes as server-sent events: each only says of what it is time to ask again.

use std::convert::Infallible;
use std::time::Duration;

use abide_api as api;
use abide_model::{Table, UserName};
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::App;
use super::caller::Caller;
use crate::broker::Broker;
use crate::digest;

/// Viewers come and go without changing the table, so it is looked at this often besides.
const LOOK: Duration = Duration::from_secs(1);
/// A storm of changes is told once in this time.
const PAUSE: Duration = Duration::from_millis(100);
/// A table that takes long to look at is looked at only after so many times as long.
const REST: u32 = 10;
/// Silence in which a proxy might give up is broken after this.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What there is news of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    Sessions,
    Agents,
    Cluster,
    Config,
}

impl Topic {
    /// What a person is told of.
    fn of(caller: &Caller) -> &'static [Topic] {
        if caller.is_admin() {
            &[Topic::Sessions, Topic::Agents, Topic::Cluster, Topic::Config]
        } else {
            &[Topic::Sessions]
        }
    }

    fn name(self) -> &'static str {
        match self {
            Topic::Sessions => "sessions",
            Topic::Agents => "agents",
            Topic::Cluster => "cluster",
            Topic::Config => "config",
        }
    }

    fn digest(self, broker: &Broker, table: &Table, of: Option<&UserName>) -> u64 {
        match self {
            Topic::Sessions => digest::sessions(broker, table, of),
            Topic::Agents => digest::agents(broker, table),
            Topic::Cluster => digest::cluster(broker, table),
            Topic::Config => table.config().number,
        }
    }
}

/// What one listener has been told.
struct Listener {
    app: App,
    /// Whose sessions; everybody's if `None`.
    of: Option<UserName>,
    changes: watch::Receiver<u64>,
    told: Vec<(Topic, Option<u64>)>,
    /// Not said yet.
    due: Vec<Topic>,
    next: Instant,
}

/// Says `sessions` at once, and whenever the caller's sessions change; everybody's for administrators, who
/// are told of `agents`, `cluster` and `config` too.
#[utoipa::path(get, tag = "events", path = "/api/v1/events", responses(
    (status = 200, content_type = "text/event-stream", body = String),
    (status = "4XX", body = api::Problem)))]
pub async fn stream(
    State(app): State<App>,
    caller: Caller,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let of = caller.seen().cloned();
    let told = Topic::of(&caller).iter().map(|topic| (*topic, None)).collect();
    let changes = app.broker.raft.changes();
    let listener = Listener { app, of, changes, told, due: Vec::new(), next: Instant::now() };
    let events = stream::unfold(listener, |mut listener| async {
        let topic = listener.wait().await?;
        // Browsers drop an event without data, and axum writes no line for an empty text.
        let event = Event::default().event(topic.name()).data("{}");
        Some((Ok(event), listener))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

impl Listener {
    /// Waits for a difference; `None` when the broker stops.
    async fn wait(&mut self) -> Option<Topic> {
        loop {
            if let Some(topic) = self.due.pop() {
                return Some(topic);
            }
            sleep_until(self.next).await;
            self.changes.borrow_and_update();
            let began = Instant::now();
            self.look();
            self.next = Instant::now() + PAUSE.max(began.elapsed() * REST);
            if !self.due.is_empty() {
                continue;
            }
            if let Ok(Err(_)) = timeout(LOOK, self.changes.changed()).await {
                return None;
            }
        }
    }

    fn look(&mut self) {
        let replica = self.app.broker.raft.latest();
        for (topic, told) in &mut self.told {
            let now = topic.digest(&self.app.broker, &replica.0, self.of.as_ref());
            if told.replace(now) != Some(now) {
                self.due.push(*topic);
            }
        }
    }
}
