//! What browsers and programs reach: the viewer's page, tickets for passes, the RFB WebSocket.
//!
//! ```text
//! POST /s/{session}/{view key}            ticket ─▶ pass as a cookie, 303 to the page
//! GET  /s/{session}/{view key}            the page
//! GET  /s/{session}/{view key}/rfb        WebSocket, for a pass (cookie or Bearer) or a ticket
//! GET  /s/{session}/{view key}/rfb/state  what a pass is good for
//! GET  /s/{session}/{view key}/rfb/notes  what its person should know, as server-sent events
//! POST /api/v1/redeem                     ticket ─▶ pass, as JSON
//! GET  /viewer/…  /healthz  /readyz  /metrics
//! ```
//!
//! Invariant: no ticket and no pass is ever in a URL or in a log.

mod answer;
mod door;
mod notes;
mod page;
mod server;
mod socket;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use abide_api::{ProblemKind, RedeemRequest, Redeemed, Time, ViewerSession, ViewerState};
use abide_model::AgentId;
use abide_session::Phase;
use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use tokio_stream::StreamExt;

pub(crate) use server::{Listener, serve};

use crate::clock::{self, Clocks};
use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::owner::{Denied, Handle};
use crate::settings::{Settings, Tls};
use answer::Failure;
use door::{Carrier, Place, at_door};
use page::Pages;
use ticket::Shop;

/// Larger bodies are refused: a ticket has some hundred bytes.
const BODY: usize = 64 * 1024;
/// Of larger bodies so much is read for politeness.
const THROWN_AWAY: usize = 16 * 1024 * 1024;
/// For a body to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What the handlers work with. Clones share it.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

/// What the web server is made of.
pub(crate) struct Parts {
    pub(crate) me: AgentId,
    pub(crate) owner: Handle,
    pub(crate) cluster: Cluster,
    pub(crate) clocks: Arc<Clocks>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Arc<Settings>,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    fn shop(&self) -> Shop<'_> {
        let Parts { me, owner, cluster, clocks, metrics, .. } = &*self.0;
        Shop { me, owner, cluster, clocks, metrics }
    }

    fn pages(&self) -> Pages<'_> {
        Pages { settings: &self.0.settings, cluster: &self.0.cluster }
    }

    /// The routes.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/s/{session}/{view_key}", get(viewer_page).post(redeem_form))
            .route("/s/{session}/{view_key}/rfb", get(socket::open))
            .route("/s/{session}/{view_key}/rfb/state", get(viewer_state))
            .route("/s/{session}/{view_key}/rfb/notes", get(notes::stream))
            .route("/api/v1/redeem", post(redeem))
            .route("/viewer/{*path}", get(viewer_asset))
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .fallback(async || Failure::of(ProblemKind::NotFound))
            .method_not_allowed_fallback(async || Failure::of(ProblemKind::MethodNotAllowed))
            .layer(DefaultBodyLimit::disable())
            .layer(map_response(answer::harden))
            .with_state(self)
    }
}

async fn viewer_page(
    State(app): State<App>,
    Path(place): Path<Place>,
    headers: HeaderMap,
) -> Response {
    match place.parse() {
        // Whether the session exists is for its pass to find out.
        Ok(_) => app.pages().viewer(&headers),
        Err(failure) => failure.into_response(),
    }
}

async fn viewer_asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    page::asset(&path, &headers)
}

/// The portal's form. Its page is a broker's, and only a broker's: else any page could put a
/// visitor into a session of its own choice.
async fn redeem_form(
    State(app): State<App>,
    Path(place): Path<Place>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let settings = &app.0.settings;
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    if !origin.is_some_and(|origin| app.0.cluster.view().is_brokers(origin)) {
        return app.pages().refusal(StatusCode::FORBIDDEN, page::FOREIGN);
    }
    let Ok((session, view_key)) = place.parse() else {
        return app.pages().refusal(StatusCode::NOT_FOUND, page::UNKNOWN);
    };
    let form = match read(body).await {
        Ok(form) => form,
        Err(failure) => return failure.into_response(),
    };
    let mut fields = url::form_urlencoded::parse(&form);
    let ticket = fields.find(|(name, _)| name == "ticket").map(|(_, value)| value);
    let shop = app.shop();
    let redeemed =
        shop.redeem(&ticket.unwrap_or_default(), Some((session, &view_key)), Carrier::Cookie).await;
    let pass = match redeemed {
        Ok(redeemed) => redeemed.pass.into_text(),
        Err(denied) => return app.pages().refusal(answer::status(&denied), page::words(&denied)),
    };
    let path = format!("/s/{session}/{view_key}");
    let secure = if settings.tls == Tls::Off { "" } else { "; Secure" };
    let cookie = format!(
        "{}={pass}; Path={path}/rfb; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        door::cookie_name(session),
        settings.pass_lifetime.as_secs(),
    );
    let headers = [(LOCATION, path), (SET_COOKIE, cookie), (CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::SEE_OTHER, headers).into_response()
}

async fn redeem(State(app): State<App>, body: Body) -> Result<Json<Redeemed>, Failure> {
    let body = read(body).await?;
    let request: RedeemRequest = serde_json::from_slice(&body)
        .map_err(|cause| Failure::because(ProblemKind::BadRequest, cause.to_string()))?;
    let redeemed = app.shop().redeem(&request.ticket, None, Carrier::Bearer).await?;
    let lifetime = app.0.settings.pass_lifetime.as_millis();
    let expires_at = clock::now().plus(u64::try_from(lifetime).unwrap_or(u64::MAX));
    Ok(Json(Redeemed {
        session: redeemed.session.to_string(),
        pass: redeemed.pass.into_text(),
        status_token: redeemed.status,
        expires_at: Time(expires_at),
    }))
}

async fn viewer_state(
    State(app): State<App>,
    Path(place): Path<Place>,
    request: Request,
) -> Result<Json<ViewerState>, Failure> {
    let (session, view_key) = place.parse()?;
    let parts = &app.0;
    // From a cookie a page of another origin gets nothing: without CORS headers browsers keep it.
    let pass = at_door(request.headers(), session)?;
    let door = crate::owner::Door { session, view_key, pass: pass.hash() };
    let shown = parts.owner.show(door).await?;
    Ok(Json(ViewerState {
        session: ViewerSession {
            id: session.to_string(),
            state: state(&shown.phase),
            profile: shown.profile.to_string(),
            agent_name: parts.settings.name.clone(),
            viewers: shown.viewers,
        },
        user: shown.user.to_string(),
        status_token: shown.status,
        brokers: parts.cluster.view().urls.clone(),
        mode: match shown.mode {
            abide_ticket::ViewMode::Control => abide_api::ViewMode::Control,
            abide_ticket::ViewMode::ViewOnly => abide_api::ViewMode::ViewOnly,
        },
    }))
}

fn state(phase: &Phase) -> abide_api::SessionState {
    use abide_api::SessionState;
    match phase {
        Phase::New => SessionState::Reserved,
        Phase::Starting => SessionState::Starting,
        Phase::Running => SessionState::Running,
        Phase::Ending { .. } => SessionState::Ending,
        Phase::Ended { reason, .. } if reason.is_loss() => SessionState::Lost,
        Phase::Ended { .. } | Phase::Cancelled => SessionState::Ended,
    }
}

/// Ready is an agent that some broker can send people to.
async fn ready(State(app): State<App>) -> Response {
    if app.0.metrics.brokers.get() > 0 {
        "ready\n".into_response()
    } else {
        Failure::because(ProblemKind::Unavailable, "no broker is connected").into_response()
    }
}

async fn metrics(State(app): State<App>) -> Response {
    let mut response = app.0.metrics.render().into_response();
    let kind = HeaderValue::from_static(abide_telemetry::METRICS_CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A body, if it is small and comes soon. Of a larger one some is taken and thrown away, since who is
/// still writing does not read the answer.
async fn read(body: Body) -> Result<Bytes, Failure> {
    let mut pieces = body.into_data_stream();
    let (mut kept, mut length) = (BytesMut::new(), 0);
    let reading = async {
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|cause| cause.to_string())?;
            length += piece.len();
            if length <= BODY {
                kept.extend_from_slice(&piece);
            } else if length > THROWN_AWAY {
                break;
            }
        }
        Ok(())
    };
    let read = tokio::time::timeout(BODY_WITHIN, reading).await;
    match read.unwrap_or_else(|_| Err("the request did not come in time".to_owned())) {
        Ok(()) if length <= BODY => Ok(kept.freeze()),
        Ok(()) => {
            let most = format!("a request has {BODY} bytes at most");
            Err(Failure::because(ProblemKind::TooLarge, most))
        }
        Err(why) => Err(Failure::because(ProblemKind::BadRequest, why)),
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        answer::failure(&denied)
    }
}
