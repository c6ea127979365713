//! A viewer: HTTP, WebSocket and RFB, from libraries that are not ours where there are some.

use std::net::SocketAddr;

use abide_rfb::{ClientHandshake, ClientSecurity, ServerEvent, Viewer as Screen};
use abide_ticket::StartOrder;
use futures_util::{SinkExt, StreamExt};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::broker::PORTAL;
use super::world::{World, within};

/// Shows itself by these headers.
pub(super) type Headers<'h> = &'h [(&'static str, &'h str)];

pub(super) fn http() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

/// Posts the portal's form.
pub(super) async fn post(
    world: &World,
    path: &str,
    origin: Option<&str>,
    ticket: &str,
) -> Response {
    let body = format!("ticket={ticket}");
    let mut request = http()
        .post(world.url(path))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    request.send().await.unwrap()
}

/// Gets a pass as a browser does; gives the cookie as it sends it back.
pub(super) async fn cookie(world: &World, order: &StartOrder, ticket: &str) -> String {
    let response = post(world, &World::path(order), Some(PORTAL), ticket).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// Gets a pass as a program does.
pub(super) async fn pass(world: &World, ticket: &str) -> Result<String, StatusCode> {
    let body = serde_json::json!({ "ticket": ticket }).to_string();
    let response = http().post(world.url("/api/v1/redeem")).body(body).send().await.unwrap();
    if !response.status().is_success() {
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        return Err(response.status());
    }
    let redeemed: abide_api::Redeemed =
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    Ok(redeemed.pass)
}

pub(super) async fn state(world: &World, order: &StartOrder, headers: Headers<'_>) -> Response {
    let mut request = http().get(world.url(&format!("{}/rfb/state", World::path(order))));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// An open WebSocket.
pub(super) struct Viewer {
    socket: WebSocketStream<TcpStream>,
    /// Came with the last message but is not used up.
    rest: Vec<u8>,
}

impl Viewer {
    /// Opens the session's WebSocket.
    pub(super) async fn open(
        world: &World,
        order: &StartOrder,
        headers: Headers<'_>,
    ) -> Result<Self, StatusCode> {
        let address: SocketAddr = world.settings.http;
        let url = format!("ws://{address}{}/rfb", World::path(order));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "binary".parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let tcp = TcpStream::connect(address).await.unwrap();
        match within("a handshake", client_async(request, tcp)).await {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], "binary");
                Ok(Self { socket, rest: Vec::new() })
            }
            Err(Error::Http(response)) => {
                Err(StatusCode::from_u16(response.status().as_u16()).unwrap())
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Opens it, and looks until there is a picture.
    pub(super) async fn look(world: &World, order: &StartOrder, headers: Headers<'_>) -> Self {
        let mut viewer = Self::open(world, order, headers).await.unwrap();
        viewer.see().await;
        viewer
    }

    /// The handshake and one picture.
    pub(super) async fn see(&mut self) -> Screen {
        let mut handshake = ClientHandshake::new(ClientSecurity::None);
        let init = loop {
            let bytes = self.receive().await.unwrap();
            let (mut input, mut out) = (bytes.as_slice(), Vec::new());
            let done = handshake.feed(&mut input, &mut out).unwrap();
            self.rest = input.to_vec();
            if !out.is_empty() {
                self.send(out).await;
            }
            if let Some(init) = done {
                break init;
            }
        };
        let mut screen = Screen::new(&init).unwrap();
        self.send(screen.opening()).await;
        loop {
            let bytes = self.receive().await.unwrap();
            let events = screen.feed(&bytes).unwrap();
            if events.iter().any(|event| matches!(event, ServerEvent::Updated { .. })) {
                return screen;
            }
        }
    }

    pub(super) async fn send(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::Binary(bytes.into())).await.unwrap();
    }

    /// The next bytes, or the close code.
    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, u16> {
        if !self.rest.is_empty() {
            return Ok(std::mem::take(&mut self.rest));
        }
        loop {
            match within("a message", self.socket.next()).await {
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes.to_vec()),
                Some(Ok(Message::Close(Some(frame)))) => return Err(frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Waits for the close code, whatever comes before.
    pub(super) async fn closed(mut self) -> u16 {
        loop {
            if let Err(code) = self.receive().await {
                return code;
            }
        }
    }
}
