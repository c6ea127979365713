//! The portal's and the console's files, and the description of this interface.

use abide_api::ProblemKind;
use abide_pages::{Asset, Header, PAGE};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::App;
use crate::problem::Refused;

/// The portal. It may send people to the agents of now.
pub async fn portal(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refused> {
    page(&app, abide_pages::portal(PAGE), abide_pages::portal_headers, &headers)
}

/// The administrators' console. Who may see what is decided call by call.
pub async fn console(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refused> {
    page(&app, abide_pages::console(PAGE), abide_pages::console_headers, &headers)
}

/// One of the portal's files.
pub async fn portal_asset(
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    send(abide_pages::portal(&path), &headers)
}

/// One of the console's files.
pub async fn console_asset(
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    send(abide_pages::console(&path), &headers)
}

/// A page, with what it may do: `allowed` says it for agents and brokers by their public URLs.
fn page(
    app: &App,
    page: Option<Asset>,
    allowed: fn(&[String], &[String]) -> Vec<Header>,
    request: &HeaderMap,
) -> Result<Response, Refused> {
    let replica = app.broker.raft.latest();
    let agents: Vec<_> = replica
        .0
        .agents()
        .filter_map(|agent| agent.facts.as_deref())
        .map(|facts| facts.public_url.clone())
        .collect();
    let brokers: Vec<_> = replica.0.brokers().map(|it| it.public_url.clone()).collect();
    let mut response = send(page, request)?;
    for (name, value) in allowed(&agents, &brokers) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// How to use this interface, for programs.
pub async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(crate::openapi())
}

fn send(asset: Option<Asset>, request: &HeaderMap) -> Result<Response, Refused> {
    let Some(asset) = asset else {
        return Err(ProblemKind::NotFound.bare().into());
    };
    let is_known = request.get(header::IF_NONE_MATCH).is_some_and(|it| it == asset.etag.as_str());
    let cache = HeaderValue::from_static(asset.cache_control());
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(asset.bytes.into_owned())),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.mime));
    headers.insert(header::CACHE_CONTROL, cache);
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(header::ETAG, etag);
    }
    Ok(response)
}
