//! What the person at a viewer should know, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use abide_api::Note;
use abide_policy::Limit;
use axum::extract::{Path, Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use tokio::time::Instant;

use super::App;
use super::answer::Failure;
use super::door::{Place, at_door};
use crate::owner::{Door, Warning};

/// Silence in which a proxy might give up is broken after this.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The warning that stands now, and from then on every change, for whoever shows a pass. Ends with the session.
pub(super) async fn stream(
    State(app): State<App>,
    Path(place): Path<Place>,
    request: Request,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let (session, view_key) = place.parse()?;
    // From a cookie a page of another origin gets nothing: without CORS headers browsers keep it.
    let pass = at_door(request.headers(), session)?;
    let door = Door { session, view_key, pass: pass.hash() };
    let mut warnings = app.0.owner.warnings(door.clone()).await?;
    warnings.mark_changed();
    let events = stream::unfold((warnings, app, door), |(mut warnings, app, door)| async {
        warnings.changed().await.ok()?;
        // The pass may have been revoked meanwhile.
        app.0.owner.show(door.clone()).await.ok()?;
        let note = note(*warnings.borrow_and_update());
        let text = serde_json::to_string(&note).ok()?;
        Some((Ok(Event::default().data(text)), (warnings, app, door)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn note(warning: Option<Warning>) -> Note {
    let Some(Warning { limit, at }) = warning else {
        return Note::Limit { text: None, ends_in_s: None };
    };
    let text = match limit {
        Limit::Idle => {
            "Nobody has done anything in this desktop for long, so it will be ended. Press a key or move \
             the pointer to keep it."
        }
        Limit::Disconnected => "Nobody has looked at this desktop for long, so it will be ended.",
        Limit::Total => {
            "This desktop has been there for as long as it may, so it will be ended. Save your work."
        }
    };
    let left = at.saturating_duration_since(Instant::now());
    Note::Limit { text: Some(text.to_owned()), ends_in_s: Some(left.as_secs()) }
}
