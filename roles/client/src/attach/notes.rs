//! What the desktop's server wants the person to know.

use std::future::pending;
use std::time::Duration;

use abide_api::Note;
use tokio::sync::watch;
use tokio::time::sleep;

use super::line::http_url;
use super::way::Way;

/// Before a server that went, or is too old to tell, is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// A longer note is none.
const MOST: usize = 64 * 1024;

/// Tells each note of a session's agent, for ever; nothing while it does not answer. Goes by the newest way.
pub async fn notes(
    http: &reqwest::Client,
    mut ways: watch::Receiver<Way>,
    tell: &(dyn Fn(Note) + Sync),
) {
    loop {
        let way = ways.borrow_and_update().clone();
        let listening = async {
            // What went wrong shows on the desktop's own line.
            let _ = listen(http, &way, tell).await;
            sleep(AGAIN).await;
        };
        tokio::select! {
            () = listening => {}
            changed = ways.changed() => if changed.is_err() { pending::<()>().await },
        }
    }
}

async fn listen(
    http: &reqwest::Client,
    way: &Way,
    tell: &(dyn Fn(Note) + Sync),
) -> Result<(), reqwest::Error> {
    let url = format!("{}/notes", http_url(&way.rfb_url));
    let request = http.get(url).bearer_auth(way.pass.as_str());
    let mut response = request.send().await?.error_for_status()?;
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await? {
        bytes.extend_from_slice(&piece);
        take_notes(&mut bytes).into_iter().for_each(tell);
        if bytes.len() > MOST {
            break;
        }
    }
    Ok(())
}

/// Takes the whole events off the beginning. What a newer agent says that this client does not know is passed over.
fn take_notes(bytes: &mut Vec<u8>) -> Vec<Note> {
    let mut notes = Vec::new();
    while let Some(end) = bytes.windows(2).position(|it| it == b"\n\n") {
        let event: Vec<u8> = bytes.drain(..end + 2).collect();
        let data = event.strip_prefix(b"data:");
        notes.extend(data.and_then(|it| serde_json::from_slice(it).ok()));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_when_they_are_whole_and_others_are_passed_over() {
        let note = r#"{"kind":"limit","text":"Soon.","ends_in_s":60}"#;
        let stream =
            format!(":\n\ndata: {note}\n\ndata: {{\"kind\":\"news\"}}\n\ndata: {note}\n\n");
        let expected = Note::Limit { text: Some("Soon.".into()), ends_in_s: Some(60) };
        for cut in 0..=stream.len() {
            let (first, second) = stream.as_bytes().split_at(cut);
            let mut bytes = first.to_vec();
            let mut found = take_notes(&mut bytes);
            bytes.extend_from_slice(second);
            found.extend(take_notes(&mut bytes));
            assert_eq!(found, [expected.clone(), expected.clone()], "cut at {cut}");
            assert!(bytes.is_empty());
        }
    }
}
