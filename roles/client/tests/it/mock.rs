//! Servers on loopback that do as they are told, and remember what they were asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use abide_api::{Problem, ProblemKind, Session, SessionReply, SessionState};
use abide_client::{Brokers, Trust};
use abide_config::BaseUrl;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What was heard, in order.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A server that ends, with its connections, when this is dropped.
pub struct Server {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, task }
    }

    pub fn url(&self) -> BaseUrl {
        url(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn url(address: SocketAddr) -> BaseUrl {
    format!("http://{address}").parse().unwrap()
}

/// An address where nothing listens.
pub async fn nobody() -> BaseUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    url(listener.local_addr().unwrap())
}

pub fn brokers(urls: Vec<BaseUrl>) -> Brokers {
    Brokers::new(urls, &Trust::System).unwrap()
}

pub fn problem(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap();
    let kind = [(header::CONTENT_TYPE, abide_api::PROBLEM_JSON)];
    (status, kind, serde_json::to_string(&problem).unwrap()).into_response()
}

pub fn refusal(kind: ProblemKind) -> Response {
    problem(kind.bare())
}

pub fn header_of(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default()
}

pub const SESSION: &str = "01a20a2a-7775-7760-9c8c-8e1cd9a82b65";

pub fn session() -> Session {
    Session {
        pool: None,
        id: SESSION.to_owned(),
        user: "ada".to_owned(),
        agent: "a1".to_owned(),
        agent_name: "agent1".to_owned(),
        profile: "plain".to_owned(),
        state: SessionState::Running,
        reachable: true,
        unreachable_since: None,
        viewers: 0,
        created_at: time(),
        ended_at: None,
        reason: None,
        verified: true,
    }
}

pub fn time() -> abide_api::Time {
    serde_json::from_str("\"2126-11-23T18:54:00.123Z\"").unwrap()
}

/// The way into the session, at this agent.
pub fn reply(agent: SocketAddr, ticket: &str) -> SessionReply {
    SessionReply {
        session: session(),
        connect: abide_api::Connect {
            ticket: ticket.to_owned(),
            viewer_url: format!("http://{agent}/s"),
            rfb_url: format!("ws://{agent}/s/rfb"),
            redeem_url: format!("http://{agent}/api/v1/redeem"),
            expires_at: time(),
        },
    }
}
