//! Recording histories: clients of one person, each with its own view of the brokers, at once.

use std::sync::{Arc, Mutex, PoisonError};

use abide_api::{ProblemKind, StartRequest, Want};
use abide_client::{Api, CallError, WishKey};
use abide_cluster::TestUser;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::history::{Answer, Ask, Event, Name};
use crate::people::People;

/// More, and the search for an order takes too long.
const CLIENTS: u8 = 3;
const CALLS: u8 = 10;

type Log = Arc<Mutex<Vec<Event>>>;

/// Lets three clients of this person do ten things each, at once, and again until it is to stop.
/// Connects and ends are about sessions that any of them has started in the same history.
///
/// # Errors
/// When the person cannot log in. A call without an answer is part of its history.
pub async fn record(
    people: &People,
    user: &TestUser,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<Vec<Vec<Event>>> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Arc::new(people.log_in(user).await?));
    }
    let mut histories = Vec::new();
    while !*stop.borrow() {
        histories.push(record_one(&clients).await?);
    }
    Ok(histories)
}

async fn record_one(clients: &[Arc<Api>]) -> anyhow::Result<Vec<Event>> {
    let log = Log::default();
    let names = Arc::new(Mutex::new(Vec::new()));
    let mut acting = JoinSet::new();
    for (client, api) in (0..).zip(clients) {
        acting.spawn(act(client, Arc::clone(api), log.clone(), names.clone()));
    }
    while let Some(end) = acting.join_next().await {
        end?;
    }
    // Desktops that stay would make the next ones slow.
    let started = std::mem::take(&mut *lock(&names));
    for name in started {
        let _ = clients[0].end(&name).await;
    }
    Ok(std::mem::take(&mut *lock(&log)))
}

async fn act(client: u8, api: Arc<Api>, log: Log, names: Arc<Mutex<Vec<Name>>>) {
    for call in 0..CALLS {
        let ask = choose(client, call, &lock(&names));
        lock(&log).push(Event::Asked(client, ask.clone()));
        let Some(answer) = answer(&api, &ask).await else {
            // A client that does not know what happened does nothing more.
            return;
        };
        // Known to others before it is answered: they may only use what they could have heard.
        lock(&log).push(Event::Answered(client, answer.clone()));
        if let Answer::Started(name) = answer {
            lock(&names).push(name);
        }
    }
}

/// A fixed mix, since what makes histories differ is the time.
fn choose(client: u8, call: u8, names: &[Name]) -> Ask {
    let newest = names.last().cloned();
    match (newest, (client + call) % 5) {
        (Some(name), 1 | 3 | 4) => Ask::Connect(name),
        (Some(name), 2) => Ask::End(name),
        _ => Ask::Start,
    }
}

/// `None` when it is not known whether the call took effect.
async fn answer(api: &Api, ask: &Ask) -> Option<Answer> {
    let key = WishKey::random();
    let outcome = match ask {
        Ask::Start => {
            let request = StartRequest { profile: None, want: Want::Start };
            api.start(&request, &key).await.map(|it| Answer::Started(it.session.id))
        }
        Ask::Connect(name) => api.connect(name, &key).await.map(|_| Answer::Way),
        Ask::End(name) => api.end(name).await.map(|()| Answer::Ended),
    };
    outcome.or_else(|error| over(&error).ok_or(error)).ok()
}

fn over(error: &CallError) -> Option<Answer> {
    let over = [Some(ProblemKind::SessionEnded), Some(ProblemKind::Conflict)];
    over.contains(&error.kind()).then_some(Answer::Over)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
