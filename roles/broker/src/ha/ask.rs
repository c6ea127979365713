//! Asking this host's broker.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::words::{Code, Order, Reply};
use crate::pair;
use crate::settings::Settings;

/// What the broker is given beyond the order's own time, to answer.
const GRACE: Duration = Duration::from_secs(2);

/// Gives the order, and waits for the answer no longer than the order's time and a little more.
pub async fn ask(settings: &Settings, order: Order) -> Reply {
    match timeout(order.timeout() + GRACE, exchange(settings, order)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(cause)) if is_down(&cause) => down(settings, order),
        Ok(Err(cause)) if cause.kind() == io::ErrorKind::PermissionDenied => Reply::new(
            Code::Failed,
            format!("the broker answers root and its own user only: {cause}"),
        ),
        Ok(Err(cause)) => Reply::new(Code::Failed, format!("cannot ask the broker: {cause}")),
        Err(_) => Reply::new(Code::NoQuorum, "the broker runs, and has not answered in time"),
    }
}

async fn exchange(settings: &Settings, order: Order) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(super::socket(&settings.run_dir)).await?;
    let mut line = serde_json::to_vec(&order)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    if answer.is_empty() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(serde_json::from_str(&answer)?)
}

fn is_down(cause: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    matches!(cause.kind(), NotFound | ConnectionRefused | ConnectionReset)
}

/// A broker that does not run serves nobody; when it is started again it is not to serve by an order that
/// was taken back meanwhile.
fn down(settings: &Settings, order: Order) -> Reply {
    let text = match order {
        Order::Release { .. } => match pair::drop_order(&settings.data_dir) {
            Ok(()) => {
                "down: no broker runs here, and it will not serve by an earlier order".to_owned()
            }
            Err(cause) => {
                return Reply::new(Code::Failed, format!("cannot take the order back: {cause}"));
            }
        },
        _ => "down: no broker answers here; start it: systemctl start abide-broker".to_owned(),
    };
    Reply { details: serde_json::json!({ "state": "down" }), ..Reply::new(Code::Down, text) }
}
