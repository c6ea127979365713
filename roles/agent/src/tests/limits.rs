//! The limits of the cluster's configuration.

use std::time::Duration;

use abide_api::Note;
use abide_rfb::{KeyState, key_event};
use abide_ticket::StartOrder;
use abide_wire::agent::{Asked, end_reason};
use reqwest::{Response, StatusCode};
use tokio::time::timeout;

use super::broker::PORTAL;
use super::viewer::{Viewer, http, pass, post};
use super::world::{World, within};

/// Longer than the shortest limit.
const A_LIMIT: Duration = Duration::from_secs(90);

/// What the agent tells a viewer's person.
struct Notes {
    response: Response,
    text: String,
}

impl Notes {
    async fn open(world: &World, order: &StartOrder, pass: &str) -> Result<Self, StatusCode> {
        let url = world.url(&format!("{}/rfb/notes", World::path(order)));
        let response = http().get(url).bearer_auth(pass).send().await.unwrap();
        match response.status() {
            StatusCode::OK => Ok(Self { response, text: String::new() }),
            other => Err(other),
        }
    }

    /// The next one; `None` at the end.
    async fn next(&mut self) -> Option<Note> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let note = event.strip_prefix("data: ").map(|it| serde_json::from_str(it).unwrap());
                self.text = rest.to_owned();
                match note {
                    Some(note) => return Some(note),
                    // Keeps the line alive.
                    None => continue,
                }
            }
            let bytes = timeout(A_LIMIT, self.response.chunk()).await.expect("a note").ok()??;
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

fn is_free(note: &Note) -> bool {
    matches!(note, Note::Limit { text: None, ends_in_s: None })
}

#[tokio::test]
async fn a_desktop_that_nobody_uses_is_ended_after_a_warning_that_input_takes_back() {
    let world = World::new().await;
    let order = world.session().await;
    let pass = pass(&world, &world.ticket(&order)).await.unwrap();
    let bearer = format!("Bearer {pass}");
    let mut viewer = Viewer::look(&world, &order, &[("authorization", bearer.as_str())]).await;
    let mut notes = Notes::open(&world, &order, &pass).await.unwrap();
    assert!(is_free(&within("the first", notes.next()).await.unwrap()));

    // The shortest that can be said, and the longest warning of it.
    world.broker.tell_config(1, "[limits]\nidle = '60s'\nwarn = '58s'").await;
    let note = within("a warning", notes.next()).await.unwrap();
    let Note::Limit { text: Some(text), ends_in_s: Some(left) } = &note else { panic!("{note:?}") };
    assert!(text.contains("Press a key") && (50..=58).contains(left), "{note:?}");
    viewer.send(key_event(KeyState::Down, 0x61)).await;
    assert!(is_free(&within("the end of the warning", notes.next()).await.unwrap()));

    assert!(!is_free(&within("another warning", notes.next()).await.unwrap()));
    let late = Notes::open(&world, &order, &pass).await.unwrap().next().await.unwrap();
    assert!(!is_free(&late), "also for whoever comes late");
    let end = timeout(A_LIMIT, viewer.closed()).await.expect("the limit ends it");
    assert_eq!(end, abide_api::CLOSE_ENDED);
    let reason = world.broker.ended(order.session).await.reason;
    let by = "the limit on idle time".to_owned();
    assert_eq!(reason, Some(end_reason::Reason::Asked(Asked { by })));
    world.until_nothing_is_left(order.session).await;
}

#[tokio::test]
async fn notes_are_for_whoever_has_a_pass() {
    let world = World::new().await;
    let (order, other) = (world.session().await, world.session().await);
    let pass = pass(&world, &world.ticket(&other)).await.unwrap();
    let refused = Notes::open(&world, &order, &pass).await.err();
    assert_eq!(refused, Some(StatusCode::UNAUTHORIZED));
    let path = format!("{}/rfb/notes", World::path(&order));
    let posted = post(&world, &path, Some(PORTAL), "x").await;
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    let bare = http().get(world.url(&path)).send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
}
