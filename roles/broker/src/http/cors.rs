//! Which pages may read the answers: those of this cluster's own servers.
//!
//! The portal moves on to another broker when its own dies, and a viewer page asks brokers what became
//! of its session. Nobody's credentials travel along: there are no cookies here.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};

use super::App;

/// Adds the permission where it is due, and answers the browser's question whether it will be.
pub async fn allow(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let may = may_read(&app, request.uri().path(), &origin);
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match asks {
        true => StatusCode::NO_CONTENT.into_response(),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    if may {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    if may && asks {
        let say = HeaderValue::from_static;
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, say("GET, POST, PUT, DELETE"));
        let names = "authorization, content-type, idempotency-key";
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, say(names));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, say("600"));
    }
    response
}

/// Brokers' pages may read everything, agents' only what a status token opens.
fn may_read(app: &App, path: &str, origin: &HeaderValue) -> bool {
    let is_it = |url: &str| url.trim_end_matches('/').as_bytes() == origin.as_bytes();
    let table = &app.broker.raft.latest().0;
    let is_status = path.ends_with("/status");
    table.brokers().any(|broker| is_it(&broker.public_url))
        || is_status
            && table.agents().filter_map(|it| it.facts.as_deref()).any(|it| is_it(&it.public_url))
}
