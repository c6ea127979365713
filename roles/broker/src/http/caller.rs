//! Who calls: taken from `Authorization: Bearer` alone, never from a cookie.

use std::sync::Arc;

use abide_api::ProblemKind;
use abide_model::{SessionId, UserName};
use abide_ticket::{LoginToken, Role};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use http::request::Parts;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::App;
use crate::problem::Refused;

/// A person who is logged in.
#[derive(Debug)]
pub struct Caller(pub Arc<LoginToken>);

impl Caller {
    /// Whether the person administers the cluster.
    pub fn is_admin(&self) -> bool {
        self.0.role == Role::Administrator
    }

    /// Whose sessions the person sees: one's own, or for administrators everybody's.
    pub fn seen(&self) -> Option<&UserName> {
        (!self.is_admin()).then_some(&self.0.user)
    }

    /// Only administrators.
    ///
    /// # Errors
    /// The person is none.
    pub fn admin(self) -> Result<Self, Refused> {
        if self.is_admin() {
            Ok(self)
        } else {
            Err(ProblemKind::Forbidden.because("This is for administrators.").into())
        }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let token = bearer(parts).ok_or_else(|| not_logged_in("Log in first."))?;
        app.broker.ready().await?;
        let now = app.broker.clock.certain().await;
        let table = app.broker.raft.latest();
        let claims = app
            .broker
            .verifier
            .login(token, now, |claims| {
                table.0.is_revoked(claims.jti.0.as_bytes(), &claims.user, claims.issued_at)
            })
            .map_err(|cause| not_logged_in(&format!("Log in again: {cause}.")))?;
        Ok(Self(claims))
    }
}

/// Somebody who may ask what became of one session: with its status token, or logged in as its user.
#[derive(Debug)]
pub enum Asker {
    /// With a status token, for this session.
    Viewer(SessionId),
    /// Logged in.
    Person(Caller),
}

impl FromRequestParts<App> for Asker {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let token = bearer(parts).ok_or_else(|| not_logged_in("A status token is needed."))?;
        app.broker.ready().await?;
        let now = app.broker.clock.certain().await;
        if let Ok(claims) = app.broker.verifier.status(token, now) {
            return Ok(Self::Viewer(claims.session));
        }
        Caller::from_request_parts(parts, app).await.map(Self::Person)
    }
}

fn not_logged_in(detail: &str) -> Refused {
    ProblemKind::NotLoggedIn.because(detail).into()
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A JSON body; what is wrong with it is told as a problem.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match <Json<T> as FromRequest<S>>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(cause) => Err(refused(&cause)),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Refused> {
        match <Json<T> as OptionalFromRequest<S>>::from_request(request, state).await {
            Ok(body) => Ok(body.map(|Json(body)| Self(body))),
            Err(cause) => Err(refused(&cause)),
        }
    }
}

/// What stands behind the question mark; what is wrong with it is told as a problem.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(cause) => Err(ProblemKind::BadRequest.because(cause.body_text()).into()),
        }
    }
}

fn refused(cause: &JsonRejection) -> Refused {
    let kind = match cause.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
        _ => ProblemKind::BadRequest,
    };
    kind.because(cause.body_text()).into()
}
