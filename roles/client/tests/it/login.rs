use std::convert::Infallible;

use abide_api::{
    LoginReply, LoginRequest, Message, MessageStyle, ProblemKind, Prompt, PromptStyle,
};
use abide_client::Asker;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use zeroize::Zeroizing;

use crate::mock::*;

/// Answers "password" and "code" in this order, and counts the questions.
#[derive(Default)]
struct Person {
    asked: Vec<String>,
    shown: Vec<String>,
}

impl Asker for Person {
    type Error = Infallible;

    fn show(&mut self, message: &Message) {
        self.shown.push(message.text.clone());
    }

    fn ask(&mut self, prompt: &Prompt) -> Result<Zeroizing<String>, Infallible> {
        self.asked.push(prompt.text.clone());
        Ok(prompt.text.to_lowercase().into())
    }
}

fn prompt(text: &str) -> Json<LoginReply> {
    Json(LoginReply::Prompts {
        conversation: "c".to_owned(),
        messages: Vec::new(),
        prompts: vec![Prompt { style: PromptStyle::EchoOff, text: text.to_owned() }],
    })
}

fn accepted() -> Json<LoginReply> {
    Json(LoginReply::Accepted {
        token: "token".to_owned(),
        user: "ada".to_owned(),
        messages: vec![Message { style: MessageStyle::Info, text: "Welcome".to_owned() }],
        expires_at: time(),
    })
}

/// Asks for a password, then for a code; takes answers that are held in the first request.
fn two_questions(heard: &Heard) -> Router {
    let noted = heard.clone();
    let begin = post(async move |Json(request): Json<LoginRequest>| {
        noted.note(format!("begin {:?}", request.answers));
        match request.answers.len() {
            0 => prompt("Password"),
            1 => prompt("Code"),
            _ => accepted(),
        }
    });
    Router::new().route("/api/v1/login", begin)
}

#[tokio::test]
async fn answers_that_are_held_are_given_again_where_the_conversation_is_unknown() {
    let heard = Heard::default();
    // This broker holds no conversation for longer than a request, as after its restart.
    let forgetful = two_questions(&heard).route(
        "/api/v1/login/{conversation}",
        post(async |Path(_): Path<String>| refusal(ProblemKind::NotFound)),
    );
    let server = Server::start(forgetful).await;
    let mut person = Person::default();
    let login = brokers(vec![server.url()]).login("ada", &mut person).await.unwrap();
    assert_eq!(login.user, "ada");
    assert_eq!(person.asked, ["Password", "Code"]);
    assert_eq!(person.shown, ["Welcome"]);
    assert_eq!(heard.all(), ["begin []", "begin [\"password\"]", "begin [\"password\", \"code\"]"]);
}

#[tokio::test]
async fn a_refusal_ends_the_login_and_says_why() {
    let refusing: fn() -> Response = || {
        let mut refusal = ProblemKind::LoginRefused.because("wrong user name or password");
        refusal.messages =
            vec![Message { style: MessageStyle::Error, text: "Closed until noon".to_owned() }];
        problem(refusal).into_response()
    };
    let heard = Heard::default();
    let router =
        two_questions(&heard).route("/api/v1/login/{conversation}", post(async move || refusing()));
    let server = Server::start(router).await;
    let mut person = Person::default();
    let error = brokers(vec![server.url()]).login("ada", &mut person).await.unwrap_err();
    assert_eq!(person.shown, ["Closed until noon"]);
    assert!(error.to_string().contains("wrong user name or password"), "{error}");
}
