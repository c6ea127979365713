//! Logging in and out.

use abide_api::{
    Account, AnswerRequest, LoginReply, LoginRequest, LogoutRequest, Problem, ProblemKind, Time,
};
use abide_auth::{Answer, ConversationId, DeskReply, LoginDesk, LoginError, RefusalReason};
use abide_model::Change;
use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use super::App;
use super::caller::{Body, Caller};
use super::origin::From;
use crate::broker::Broker;
use crate::problem::Refused;

/// Begins a login.
#[utoipa::path(post, tag = "login", path = "/api/v1/login", request_body = LoginRequest,
    responses((status = 200, body = LoginReply), (status = "4XX", body = Problem)))]
pub async fn begin(
    State(app): State<App>,
    From(from): From,
    Body(request): Body<LoginRequest>,
) -> Result<Json<LoginReply>, Refused> {
    let answers = request.answers.into_iter().map(Answer::new).collect();
    let reply = app.logins.begin(&request.username, answers, from).await.map_err(in_words)?;
    Ok(Json(answered(&app.broker, reply).await))
}

/// Answers a login's prompts.
#[utoipa::path(post, tag = "login", path = "/api/v1/login/{conversation}", request_body = AnswerRequest,
    params(("conversation" = String, Path, description = "as the last reply named it")),
    responses((status = 200, body = LoginReply), (status = "4XX", body = Problem)))]
pub async fn answer(
    State(app): State<App>,
    Path(conversation): Path<String>,
    Body(request): Body<AnswerRequest>,
) -> Result<Json<LoginReply>, Refused> {
    let id: ConversationId = conversation.parse().map_err(in_words)?;
    if *id.broker() != app.broker.id {
        return app.broker.answer_elsewhere(&id, conversation, request.answers).await.map(Json);
    }
    let answers = request.answers.into_iter().map(Answer::new).collect();
    answer_here(&app.broker, &app.logins, &conversation, answers).await.map(Json)
}

/// Answers prompts of a conversation that this broker holds.
///
/// # Errors
/// The problem, for the person.
pub async fn answer_here(
    broker: &Broker,
    logins: &LoginDesk,
    conversation: &str,
    answers: Vec<Answer>,
) -> Result<LoginReply, Refused> {
    let conversation = conversation.parse().map_err(in_words)?;
    let reply = logins.answer(&conversation, answers).await.map_err(in_words)?;
    Ok(answered(broker, reply).await)
}

async fn answered(broker: &Broker, reply: DeskReply) -> LoginReply {
    match reply {
        DeskReply::Prompts { conversation, messages, prompts } => {
            LoginReply::Prompts { conversation: conversation.to_string(), messages, prompts }
        }
        DeskReply::Accepted(accepted) => {
            let lifetime = broker.settings.login.token_lifetime;
            let now = broker.clock.certain().await;
            let (token, claims) = broker.issuer.login(&accepted, now, lifetime);
            LoginReply::Accepted {
                token,
                user: accepted.user.to_string(),
                messages: accepted.messages,
                expires_at: Time(claims.expires_at),
            }
        }
    }
}

fn in_words(cause: LoginError) -> Refused {
    let detail = cause.to_string();
    match cause {
        LoginError::Refused(refused) => {
            let mut problem = refusal_in_words(refused.reason);
            problem.messages = refused.messages;
            problem.into()
        }
        LoginError::Name | LoginError::Answers { .. } => {
            ProblemKind::BadRequest.because(detail).into()
        }
        LoginError::Throttled(_) => ProblemKind::TooMany.because(detail).into(),
        LoginError::UnknownConversation => ProblemKind::NotFound.because(detail).into(),
        LoginError::Busy => ProblemKind::Unavailable.because(detail).into(),
    }
}

fn refusal_in_words(reason: RefusalReason) -> Problem {
    let detail = match reason {
        RefusalReason::Credentials => "The user name or an answer is wrong.",
        RefusalReason::AccountExpired => "Your account has expired. Ask your administrator.",
        RefusalReason::PasswordExpired => "Your password has expired and must be changed first.",
        RefusalReason::AccessDenied => "You may not log in here now.",
        RefusalReason::Unavailable => {
            let detail = "The login service does not work. Ask your administrator.";
            return ProblemKind::Unavailable.because(detail);
        }
    };
    ProblemKind::LoginRefused.because(detail)
}

/// Ends this login, or all of this user's with their passes. Ends no desktop.
#[utoipa::path(post, tag = "login", path = "/api/v1/logout", request_body = Option<LogoutRequest>,
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn logout(
    State(app): State<App>,
    caller: Caller,
    request: Option<Body<LogoutRequest>>,
) -> Result<StatusCode, Refused> {
    let token = caller.0;
    let everywhere = request.is_some_and(|Body(it)| it.everywhere);
    let jti = *token.jti.0.as_bytes();
    app.broker.propose(Change::RevokeToken { jti, until: token.expires_at }).await?;
    if everywhere {
        let lifetime = app.broker.settings.login.token_lifetime.as_millis();
        let until =
            app.broker.clock.certain().await.plus(u64::try_from(lifetime).unwrap_or(u64::MAX));
        let user = token.user.clone();
        // The driver tells the agents, also those that come back later.
        app.broker.propose(Change::LogOutEverywhere { user, until }).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Who the token says one is.
#[utoipa::path(get, tag = "login", path = "/api/v1/account",
    responses((status = 200, body = Account), (status = "4XX", body = Problem)))]
pub async fn account(caller: Caller) -> Json<Account> {
    let admin = caller.is_admin();
    let token = caller.0;
    Json(Account { user: token.user.to_string(), groups: token.groups.clone(), admin })
}
