//! Changes as server-sent events: each only says that it is time to ask again.

use std::convert::Infallible;
use std::time::Duration;

use abide_api as api;
use abide_model::UserName;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::App;
use super::caller::Caller;
use crate::view;

/// Viewers come and go without changing the table, so it is looked at this often besides.
const LOOK: Duration = Duration::from_secs(1);
/// A storm of changes is told once in this time.
const PAUSE: Duration = Duration::from_millis(100);
/// Silence in which a proxy might give up is broken after this.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What one listener has been told.
struct Listener {
    app: App,
    user: Option<UserName>,
    changes: watch::Receiver<u64>,
    told: Option<Vec<api::Session>>,
    next: Instant,
}

/// Says `sessions` at once, and whenever the caller's sessions change; everybody's for administrators.
#[utoipa::path(get, tag = "events", path = "/api/v1/events", responses(
    (status = 200, content_type = "text/event-stream", body = String),
    (status = "4XX", body = api::Problem)))]
pub async fn stream(
    State(app): State<App>,
    caller: Caller,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let user = (!caller.is_admin()).then(|| caller.0.user.clone());
    let changes = app.broker.raft.changes();
    let listener = Listener { app, user, changes, told: None, next: Instant::now() };
    let events = stream::unfold(listener, |mut listener| async {
        listener.wait().await?;
        // Browsers drop an event without data, and axum writes no line for an empty text.
        let event = Event::default().event("sessions").data("{}");
        Some((Ok(event), listener))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

impl Listener {
    /// Waits for a difference; `None` when the broker stops.
    async fn wait(&mut self) -> Option<()> {
        loop {
            sleep_until(self.next).await;
            self.changes.borrow_and_update();
            let now = self.sessions();
            self.next = Instant::now() + PAUSE;
            if self.told.as_ref() != Some(&now) {
                self.told = Some(now);
                return Some(());
            }
            if let Ok(Err(_)) = timeout(LOOK, self.changes.changed()).await {
                return None;
            }
        }
    }

    fn sessions(&self) -> Vec<api::Session> {
        let (replica, hub) = (self.app.broker.raft.latest(), &self.app.broker.hub);
        let seen = |row| view::session(&replica.0, hub, row);
        match &self.user {
            Some(user) => replica.0.sessions_of(user).map(|row| seen(row)).collect(),
            None => replica.0.sessions().map(|row| seen(row)).collect(),
        }
    }
}
