//! The socket's other end.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, warn};

use super::words::{Code, Order, Reply};
use crate::settings::Settings;

/// Orders that wait. There is one cluster manager, and it waits for each answer.
const ASKS: usize = 16;
/// An order is far shorter.
const MAX_ORDER: u64 = 4096;
/// For the order's line to arrive, and for its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// An order that was given.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Which.
    pub(crate) order: Order,
    /// When its time is over.
    pub(crate) deadline: Instant,
    /// Who waits.
    pub(crate) reply: oneshot::Sender<Reply>,
}

/// Makes the socket.
pub(crate) fn listen(settings: &Settings) -> io::Result<UnixListener> {
    let path = super::socket(&settings.run_dir);
    std::fs::create_dir_all(&settings.run_dir)?;
    match std::fs::remove_file(&path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves it, for ever. What is given goes to `asks`, whoever takes it there.
pub(crate) fn serve(listener: UnixListener) -> (mpsc::Receiver<Ask>, JoinSet<()>) {
    let (asks, taken) = mpsc::channel(ASKS);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut callers = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        callers.spawn(answer(stream, asks.clone()));
                    }
                    Err(cause) => {
                        warn!(%cause, "A caller of `abide ha` could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_) = callers.join_next() => {}
            }
        }
    });
    (taken, tasks)
}

async fn answer(mut stream: UnixStream, asks: mpsc::Sender<Ask>) {
    let reply = match timeout(PATIENCE, read(&mut stream)).await {
        Ok(Ok(order)) => give(order, &asks).await,
        Ok(Err(cause)) => Reply::new(Code::Failed, cause.to_string()),
        Err(_) => return,
    };
    let Ok(mut line) = serde_json::to_vec(&reply) else { return };
    line.push(b'\n');
    if let Ok(Err(cause)) | Err(cause) =
        timeout(PATIENCE, stream.write_all(&line)).await.map_err(io::Error::from)
    {
        debug!(%cause, "Whoever gave an order has not waited for the answer");
    }
}

async fn read(stream: &mut UnixStream) -> io::Result<Order> {
    let caller = stream.peer_cred()?.uid();
    let own = rustix::process::geteuid().as_raw();
    if caller != 0 && caller != own {
        let text = "only root and the broker's own user may give orders";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let mut line = String::new();
    BufReader::new(stream.take(MAX_ORDER)).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

async fn give(order: Order, asks: &mpsc::Sender<Ask>) -> Reply {
    let late =
        || Reply::new(Code::NoQuorum, "the broker is starting, and has not answered in time");
    let deadline = Instant::now() + order.timeout();
    let (reply, answer) = oneshot::channel();
    let ask = Ask { order, deadline, reply };
    match timeout_at(deadline, asks.send(ask)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Reply::new(Code::Down, "down: the broker is stopping"),
        Err(_) => return late(),
    }
    // Whoever has taken it answers by the deadline; if nobody has, this does.
    match timeout_at(deadline + Duration::from_millis(500), answer).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(_)) | Err(_) => late(),
    }
}
