//! The way into a session: a ticket, and the pass that it gives.

use std::fmt;
use std::time::Duration;

use abide_api::{ProblemKind, RedeemRequest, Redeemed, SessionReply};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::api::{Api, WishKey};
use crate::backoff;
use crate::error::CallError;
use crate::http::is_distrust;

/// An agent that a broker hears but this computer does not is tried for so long.
const ENTER_WITHIN: Duration = Duration::from_secs(30);
const TRY_FOR: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(1);

/// What lets one viewer come back to one session without any broker.
#[derive(Clone)]
pub struct Way {
    /// The session's id.
    pub session: String,
    /// The RFB WebSocket.
    pub rfb_url: String,
    pub(crate) pass: Zeroizing<String>,
    pub(crate) status_token: Zeroizing<String>,
}

impl fmt::Debug for Way {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Why a ticket did not lead into the session.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The agent was not reached in time.
    #[error("the desktop's server ({agent}) cannot be reached from this computer")]
    Unreachable {
        /// The agent, for people.
        agent: String,
        /// Why not.
        #[source]
        cause: Option<reqwest::Error>,
    },
    /// Its certificate is not believed.
    #[error(
        "the certificate of the desktop's server ({agent}) is not by a CA that is trusted here"
    )]
    Distrusted {
        /// The agent, for people.
        agent: String,
        /// What TLS says.
        #[source]
        cause: reqwest::Error,
    },
    /// It refuses the ticket, or answers nonsense.
    #[error("the desktop's server ({agent}) refused: {said}")]
    Refused {
        /// The agent, for people.
        agent: String,
        /// What it said.
        said: String,
    },
    /// No further ticket could be had.
    #[error(transparent)]
    Call(#[from] CallError),
}

enum NotYet {
    /// Another try may help.
    Cut(Option<reqwest::Error>),
    /// This ticket is used or too old; another may help.
    Ticket(String),
    Never(EnterError),
}

/// Redeems the ticket. One that was used up by an answer that got lost is replaced.
///
/// # Errors
/// [`EnterError`].
pub async fn enter(api: &Api, mut reply: SessionReply) -> Result<Way, EnterError> {
    let agent = reply.session.agent_name.clone();
    let start = Instant::now();
    let mut renewed = false;
    for failures in 0.. {
        let cause = match redeem(api.brokers().http(), &reply, &agent).await {
            Ok(way) => return Ok(way),
            Err(NotYet::Never(error)) => return Err(error),
            Err(NotYet::Ticket(said)) if renewed => {
                return Err(EnterError::Refused { agent, said });
            }
            Err(NotYet::Ticket(_)) => {
                renewed = true;
                reply = api.connect(&reply.session.id, &WishKey::random()).await?;
                continue;
            }
            Err(NotYet::Cut(cause)) => cause,
        };
        if start.elapsed() > ENTER_WITHIN {
            return Err(EnterError::Unreachable { agent, cause });
        }
        tokio::time::sleep(backoff::wait(failures, FIRST_RETRY, MOST)).await;
    }
    unreachable!("the tries end by their return")
}

async fn redeem(http: &reqwest::Client, reply: &SessionReply, agent: &str) -> Result<Way, NotYet> {
    let connect = &reply.connect;
    let request = RedeemRequest { ticket: connect.ticket.clone() };
    let agent = agent.to_owned();
    let post = http.post(&connect.redeem_url).json(&request).timeout(TRY_FOR);
    let response = match post.send().await {
        Ok(response) => response,
        Err(cause) if is_distrust(&cause) => {
            return Err(NotYet::Never(EnterError::Distrusted { agent, cause }));
        }
        Err(cause) => return Err(NotYet::Cut(Some(cause))),
    };
    let status = response.status();
    let body = response.bytes().await.map_err(|cause| NotYet::Cut(Some(cause)))?;
    if status.is_success() {
        let redeemed: Redeemed = serde_json::from_slice(&body).map_err(|_| {
            let said = "its answer makes no sense here".to_owned();
            NotYet::Never(EnterError::Refused { agent, said })
        })?;
        return Ok(Way {
            session: redeemed.session,
            rfb_url: connect.rfb_url.clone(),
            pass: redeemed.pass.into(),
            status_token: redeemed.status_token.into(),
        });
    }
    let problem = serde_json::from_slice::<abide_api::Problem>(&body).ok();
    let said = match &problem {
        Some(problem) => problem.detail.as_ref().unwrap_or(&problem.title).clone(),
        None => status.to_string(),
    };
    match problem.and_then(|problem| problem.known()) {
        Some(ProblemKind::PassRefused) => Err(NotYet::Ticket(said)),
        Some(ProblemKind::Unavailable) | None if status.is_server_error() => Err(NotYet::Cut(None)),
        _ => Err(NotYet::Never(EnterError::Refused { agent, said })),
    }
}
