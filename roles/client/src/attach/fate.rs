//! What became of a session whose agent cannot be reached: a broker is asked, with the status
//! token, and its answer told in news.

use std::time::Duration;

use abide_api::{ProblemKind, SessionState, SessionStatus};

use super::{Ending, News, Way};
use crate::brokers::Brokers;
use crate::error::CallError;

/// After this long without the agent the brokers are asked, and again this often.
const ASK_AFTER: Duration = Duration::from_secs(3);
const ASK_EVERY: Duration = Duration::from_secs(5);
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// Asks for as long as it is polled; returns once the session is over. The same news is told once.
pub(super) async fn watch(brokers: &Brokers, way: &Way, tell: &(dyn Fn(News) + Sync)) -> Ending {
    let mut told = None;
    let mut wait = ASK_AFTER;
    loop {
        tokio::time::sleep(wait).await;
        wait = ASK_EVERY;
        let news = match ask(brokers, way).await {
            Some(Ok(status)) => match over(&status) {
                Some(ending) => return ending,
                None if status.reachable => News::OnlyHere,
                None => News::Unreachable { since: status.unreachable_since },
            },
            Some(Err(error)) if error.kind() == Some(ProblemKind::SessionEnded) => {
                return Ending::Over { lost: false, reason: None };
            }
            // A broker that answers without knowing is no reason to give up what may well run.
            Some(Err(CallError::Refused { .. } | CallError::Garbled { .. })) => News::OnlyHere,
            Some(Err(_)) | None => News::Nobody,
        };
        if told != Some(news) {
            tell(news);
            told = Some(news);
        }
    }
}

/// The agent said that it is over; whether it was lost, the table knows.
pub(super) async fn of(brokers: &Brokers, way: &Way, reason: Option<String>) -> Ending {
    let known = match ask(brokers, way).await {
        Some(Ok(status)) => over(&status),
        _ => None,
    };
    known.unwrap_or(Ending::Over { lost: false, reason })
}

async fn ask(brokers: &Brokers, way: &Way) -> Option<Result<SessionStatus, CallError>> {
    let asked = brokers.status(&way.session, &way.status_token);
    tokio::time::timeout(ASK_WITHIN, asked).await.ok()
}

fn over(status: &SessionStatus) -> Option<Ending> {
    let lost = match status.state {
        SessionState::Ended => false,
        SessionState::Lost => true,
        _ => return None,
    };
    Some(Ending::Over { lost, reason: status.reason.clone() })
}
