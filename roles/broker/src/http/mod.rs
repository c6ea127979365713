//! The HTTP interface: `/api/v1`, the portal's and the console's pages, health and metrics.

pub mod audit;
mod caller;
pub mod cluster;
pub mod config;
mod cors;
pub mod drain;
pub mod events;
pub mod history;
pub mod login;
mod origin;
mod pages;
pub mod placement;
pub mod recovery;
pub mod sessions;

use std::sync::Arc;

use abide_api::ProblemKind;
use abide_auth::LoginDesk;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post, put};
use http::{HeaderValue, Method, Request, header};

use crate::broker::Broker;
use crate::metrics::Metrics;
use crate::problem::Refused;

/// Larger bodies are refused before they are read.
const MAX_BODY: usize = 64 * 1024;
/// The same where a configuration comes: quotes and line ends count twice in JSON.
const MAX_CONFIG_BODY: usize = 4 * abide_model::CONFIG_TEXT;

/// What every handler may use.
#[derive(Clone)]
pub struct App {
    /// The broker.
    pub broker: Broker,
    /// Logins under way.
    pub logins: LoginDesk,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// All routes.
pub fn router(app: App) -> Router {
    let config = Router::new()
        .route("/", get(config::show).put(config::put))
        .route("/check", post(config::check))
        .route("/history", get(config::history))
        .route("/{version}", get(config::version))
        .layer(DefaultBodyLimit::max(MAX_CONFIG_BODY));
    let api = Router::new()
        .route("/login", post(login::begin))
        .route("/login/{conversation}", post(login::answer))
        .route("/logout", post(login::logout))
        .route("/account", get(login::account))
        .route("/profiles", get(cluster::profiles))
        .route("/placement", get(placement::explain))
        .route("/sessions", get(sessions::list).post(sessions::start))
        .route("/sessions/{id}", delete(sessions::end))
        .route("/sessions/{id}/connect", post(sessions::connect))
        .route("/sessions/{id}/abandon", post(sessions::abandon))
        .route("/sessions/{id}/status", get(sessions::status))
        .route("/agents", get(cluster::agents))
        .route("/agents/{id}/history", get(history::show))
        .route("/agents/{id}/drain", put(drain::begin).delete(drain::cancel))
        .route("/audit", get(audit::show))
        .route("/cluster", get(cluster::cluster))
        .route("/cluster/tokens", post(cluster::join_token))
        .route("/cluster/brokers/{id}", delete(cluster::remove_broker))
        .route("/cluster/recovery", get(recovery::show))
        .route("/cluster/recovery/expect", post(recovery::expect))
        .route("/cluster/recovery/go", post(recovery::go))
        .route("/cluster/recovery/confirm", post(recovery::confirm))
        .nest("/config", config)
        .route("/events", get(events::stream))
        .route("/openapi.json", get(pages::openapi))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(app.clone(), cors::allow));
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(cluster::healthz))
        .route("/readyz", get(cluster::readyz))
        .route("/metrics", get(cluster::metrics))
        .route("/", get(pages::portal))
        .route("/portal/{*path}", get(pages::portal_asset))
        .route("/console", get(pages::console))
        .route("/console/{*path}", get(pages::console_asset))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::map_response(no_referrer))
        .with_state(app)
}

async fn unknown<B>(request: Request<B>) -> Refused {
    ProblemKind::NotFound.because(format!("Nothing is at {}.", request.uri().path())).into()
}

async fn wrong_method(method: Method) -> Refused {
    ProblemKind::MethodNotAllowed.because(format!("{method} is not for this address.")).into()
}

/// Pages say this for themselves; they say other things than the rest.
async fn no_referrer<B>(mut response: http::Response<B>) -> http::Response<B> {
    let headers = response.headers_mut();
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    response
}
