//! Standing on a line to an agent that cuts it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide_api::{
    CLOSE_ENDED, CLOSE_TAKEN_OVER, ProblemKind, RedeemRequest, Redeemed, SessionState,
    SessionStatus,
};
use abide_client::{Api, Attachment, Ending, Local, News, Socket, enter};
use abide_rfb::{
    ClientHandshake, ClientSecurity, ServerHandshake, ServerInit, ServerSecurity, VncPassword,
};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::mock::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// What the agent does with the next line. With none left, it is not ready for any.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Sends everything back, until the client goes.
    Echo,
    /// Sends one piece back, then drops the connection.
    EchoAndCut,
    /// Closes as after a takeover.
    TakenOver,
    /// Closes as when the session ends.
    CloseAsEnded,
    /// Answers that the session has ended.
    Ended,
    /// Answers that the pass is no good.
    Refuse,
    /// Goes through RFB's handshake as a display server of 640 by 480, then sends everything back.
    Display,
}

#[derive(Clone)]
struct Agent {
    heard: Heard,
    acts: Arc<Mutex<Vec<Act>>>,
}

impl Agent {
    fn new(acts: &[Act]) -> Self {
        let acts = acts.iter().rev().copied().collect();
        Self { heard: Heard::default(), acts: Arc::new(Mutex::new(acts)) }
    }

    fn router(&self) -> Router {
        let (redeeming, lines) = (self.clone(), self.clone());
        let redeem = post(async move |Json(request): Json<RedeemRequest>| {
            redeeming.heard.note(format!("ticket {}", request.ticket));
            Json(Redeemed {
                session: SESSION.to_owned(),
                pass: format!("pass-of-{}", request.ticket),
                status_token: "status".to_owned(),
                expires_at: time(),
            })
        });
        let line = get(async move |headers: HeaderMap, upgrade: WebSocketUpgrade| {
            lines.line(&headers, upgrade)
        });
        Router::new().route("/api/v1/redeem", redeem).route("/s/rfb", line)
    }

    fn line(&self, headers: &HeaderMap, upgrade: WebSocketUpgrade) -> Response {
        self.heard.note(header_of(headers, "authorization"));
        let Some(act) = self.acts.lock().unwrap().pop() else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        match act {
            Act::Refuse => refusal(ProblemKind::PassRefused),
            Act::Ended => problem(ProblemKind::SessionEnded.because("logged out")),
            _ => upgrade.protocols(["binary"]).on_upgrade(move |socket| play(socket, act)),
        }
    }
}

async fn play(mut socket: WebSocket, act: Act) {
    let closing = match act {
        Act::TakenOver => Some(CLOSE_TAKEN_OVER),
        Act::CloseAsEnded => Some(CLOSE_ENDED),
        _ => None,
    };
    if let Some(code) = closing {
        let frame = CloseFrame { code, reason: "".into() };
        socket.send(Message::Close(Some(frame))).await.unwrap();
        return;
    }
    if matches!(act, Act::Display) {
        greet(&mut socket).await;
    }
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Binary(bytes) = message {
            socket.send(Message::Binary(bytes)).await.unwrap();
            if matches!(act, Act::EchoAndCut) {
                return;
            }
        }
    }
}

async fn greet(socket: &mut WebSocket) {
    let mut send = async |bytes: Vec<u8>| {
        socket.send(Message::Binary(bytes.into())).await.unwrap();
        match socket.recv().await {
            Some(Ok(Message::Binary(bytes))) => bytes,
            other => panic!("{other:?}"),
        }
    };
    let mut handshake = ServerHandshake::new(ServerSecurity::None);
    let mut out = ServerHandshake::GREETING.to_vec();
    while {
        let said = send(std::mem::take(&mut out)).await;
        handshake.feed(&mut &said[..], &mut out).unwrap().is_none()
    } {}
    out.extend(display().encode());
    socket.send(Message::Binary(out.into())).await.unwrap();
}

fn display() -> ServerInit {
    ServerInit { width: 640, height: 480, pixel_format: [0; 16], name: b"a desktop".to_vec() }
}

/// What a VNC client with this password comes to see at the port.
async fn see(address: SocketAddr, password: &str) -> Result<(ServerInit, TcpStream), String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let security = ClientSecurity::VncAuth(VncPassword::new(password));
    let mut handshake = ClientHandshake::new(security);
    let mut piece = [0; 256];
    loop {
        let length = timeout(DEADLINE, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(length > 0, "the port closed without a word");
        let (mut said, mut answer) = (&piece[..length], Vec::new());
        let done = handshake.feed(&mut said, &mut answer).map_err(|error| error.to_string())?;
        stream.write_all(&answer).await.unwrap();
        if let Some(init) = done {
            return Ok((init, stream));
        }
    }
}

/// An agent, a broker that knows the session in this state, and a stand on a socket.
struct Scene {
    agent: Agent,
    agent_server: Server,
    broker: Server,
    news: Arc<Mutex<Vec<News>>>,
    folder: TempDir,
}

impl Scene {
    async fn new(acts: &[Act], status: SessionStatus) -> Self {
        let agent = Agent::new(acts);
        let agent_server = Server::start(agent.router()).await;
        let address = agent_server.address;
        let connect = post(async move || Json(reply(address, "second")));
        let broker = Router::new()
            .route("/api/v1/sessions/{id}/status", get(async move || Json(status.clone())))
            .route("/api/v1/sessions/{id}/connect", connect);
        Self {
            agent,
            agent_server,
            broker: Server::start(broker).await,
            news: Arc::default(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("desktop")
    }

    /// Stands on the line in a task of its own.
    async fn stand(&self) -> JoinHandle<Ending> {
        self.stand_at(Local::Socket(Socket::bind(self.socket()).unwrap())).await
    }

    async fn stand_at(&self, local: Local) -> JoinHandle<Ending> {
        let api = Api::new(brokers(vec![self.broker.url()]), "token".to_owned().into());
        let way = enter(&api, reply(self.agent_server.address, "first")).await.unwrap();
        let news = Arc::clone(&self.news);
        tokio::spawn(async move {
            let tell = move |item| news.lock().unwrap().push(item);
            Attachment::new(&api, way, &tell).run(local).await.unwrap()
        })
    }

    async fn client(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.unwrap()
    }
}

fn status(state: SessionState, reason: Option<&str>) -> SessionStatus {
    SessionStatus {
        id: SESSION.to_owned(),
        state,
        reachable: true,
        unreachable_since: None,
        reason: reason.map(str::to_owned),
    }
}

fn running() -> SessionStatus {
    status(SessionState::Running, None)
}

async fn says_back(client: &mut UnixStream, text: &[u8]) {
    client.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    timeout(DEADLINE, client.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, text);
}

async fn is_let_go(client: &mut UnixStream) {
    let mut rest = Vec::new();
    timeout(DEADLINE, client.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cut_line_is_opened_again_by_the_pass_alone() {
    let scene = Scene::new(&[Act::EchoAndCut, Act::Echo, Act::Echo], running()).await;
    let stand = scene.stand().await;
    let mut client = scene.client().await;
    says_back(&mut client, b"before").await;
    is_let_go(&mut client).await;
    let mut client = scene.client().await;
    says_back(&mut client, b"after").await;
    let heard = scene.agent.heard.all();
    assert_eq!(heard[0], "ticket first", "and no other");
    assert!(heard[1..].iter().all(|it| it == "Bearer pass-of-first"), "{heard:?}");
    assert_eq!(*scene.news.lock().unwrap(), [News::LineLost, News::LineBack]);
    stand.abort();
}

#[tokio::test]
async fn the_socket_goes_with_the_stand_and_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new(&[Act::Echo], running()).await;
    let stand = scene.stand().await;
    let mode = std::fs::metadata(scene.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    stand.abort();
    let _ = stand.await;
    assert!(!scene.socket().exists());
}

#[tokio::test]
async fn a_socket_that_is_there_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    std::fs::write(&path, "mine").unwrap();
    assert!(Socket::bind(path.clone()).is_err());
    assert_eq!(std::fs::read_to_string(path).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn who_is_taken_over_stays_away() {
    let scene = Scene::new(&[Act::TakenOver], running()).await;
    let stand = scene.stand().await;
    let mut client = scene.client().await;
    is_let_go(&mut client).await;
    assert_eq!(timeout(DEADLINE, stand).await.unwrap().unwrap(), Ending::TakenOver);
    assert_eq!(scene.agent.heard.all().len(), 2);
}

#[tokio::test]
async fn an_ended_session_is_told_with_its_reason() {
    let scene = Scene::new(&[Act::Ended], status(SessionState::Ended, Some("logged out"))).await;
    let stand = scene.stand().await;
    let _client = scene.client().await;
    let ended = Ending::Over { lost: false, reason: Some("logged out".to_owned()) };
    assert_eq!(timeout(DEADLINE, stand).await.unwrap().unwrap(), ended);
}

#[tokio::test]
async fn an_end_is_told_at_once_also_when_no_client_comes_any_more() {
    let scene = Scene::new(&[Act::CloseAsEnded, Act::Ended], running()).await;
    let stand = scene.stand().await;
    let mut client = scene.client().await;
    is_let_go(&mut client).await;
    let ended = Ending::Over { lost: false, reason: Some("logged out".to_owned()) };
    assert_eq!(timeout(DEADLINE, stand).await.unwrap().unwrap(), ended);
}

#[tokio::test]
async fn a_lost_session_is_told_by_the_broker_when_the_agent_is_silent() {
    let lost = status(SessionState::Lost, Some("its keeper is gone"));
    let scene = Scene::new(&[Act::EchoAndCut], lost).await;
    let stand = scene.stand().await;
    let mut client = scene.client().await;
    says_back(&mut client, b"before").await;
    is_let_go(&mut client).await;
    let ended = Ending::Over { lost: true, reason: Some("its keeper is gone".to_owned()) };
    assert_eq!(timeout(DEADLINE, stand).await.unwrap().unwrap(), ended);
}

#[tokio::test]
async fn a_pass_that_ended_is_replaced_by_a_new_ticket() {
    let scene = Scene::new(&[Act::Refuse, Act::Echo], running()).await;
    let stand = scene.stand().await;
    let mut client = scene.client().await;
    says_back(&mut client, b"in again").await;
    assert_eq!(
        scene.agent.heard.all(),
        ["ticket first", "Bearer pass-of-first", "ticket second", "Bearer pass-of-second"]
    );
    stand.abort();
}

#[tokio::test]
async fn a_port_is_for_those_who_know_its_password() {
    let scene = Scene::new(&[Act::Display], running()).await;
    let local = Local::port("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let Local::Port(listener, password) = &local else { panic!("{local:?}") };
    let (address, password) = (listener.local_addr().unwrap(), password.text().to_owned());
    let stand = scene.stand_at(local).await;

    let silent = TcpStream::connect(address).await.unwrap();
    let refused = see(address, "guess").await.unwrap_err();
    assert!(refused.contains("refused"), "{refused}");
    assert_eq!(scene.agent.heard.all(), ["ticket first"], "no line is opened for a guess");

    let (init, mut stream) = see(address, &password).await.unwrap();
    assert_eq!(init, display());
    stream.write_all(b"works").await.unwrap();
    let mut back = [0; 5];
    timeout(DEADLINE, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"works");
    drop(silent);
    stand.abort();
}

#[tokio::test]
async fn a_port_that_others_reach_is_refused() {
    for address in ["0.0.0.0:0", "192.0.2.1:5900", "[::]:0"] {
        assert!(Local::port(address.parse().unwrap()).await.is_err(), "{address}");
    }
}

#[tokio::test]
async fn an_agent_that_comes_back_is_found_again() {
    let scene = Scene::new(&[Act::EchoAndCut], running()).await;
    let stand = scene.stand().await;
    let mut client = scene.client().await;
    says_back(&mut client, b"before").await;
    is_let_go(&mut client).await;
    // It stays away until the broker was asked.
    let told = async {
        while !scene.news.lock().unwrap().contains(&News::OnlyHere) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, told).await.unwrap();
    scene.agent.acts.lock().unwrap().extend([Act::Echo, Act::Echo]);
    let mut client = scene.client().await;
    says_back(&mut client, b"after").await;
    assert_eq!(*scene.news.lock().unwrap(), [News::LineLost, News::OnlyHere, News::LineBack]);
    stand.abort();
}
