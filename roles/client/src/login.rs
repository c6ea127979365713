//! The login conversation: the broker asks, the person answers, until there is a token.
//!
//! ```text
//! username ──► prompts ──► answers ──► prompts ──► … ──► token
//!                 ▲                       │ the broker that held the conversation is gone
//!                 └── all answers held ◄──┘ they are given again, elsewhere
//! ```

use abide_api::{
    AnswerRequest, LoginReply, LoginRequest, Message, ProblemKind, Prompt, PromptStyle, Time,
};
use reqwest::Method;
use zeroize::Zeroizing;

use crate::brokers::Brokers;
use crate::call::{Call, Length};
use crate::error::CallError;

/// A broker's conversation that dies so often is not the broker's death.
const MOST_BEGINNINGS: u32 = 5;

/// Who answers: a person at a terminal, or a test.
pub trait Asker {
    /// Why there is no answer.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Shows a text of the login's back end.
    fn show(&mut self, message: &Message);

    /// The answer to a question.
    ///
    /// # Errors
    /// When none can be had.
    fn ask(&mut self, prompt: &Prompt) -> Result<Zeroizing<String>, Self::Error>;
}

/// A login that succeeded.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// For `Authorization: Bearer`.
    pub token: Zeroizing<String>,
    /// The canonical user name.
    pub user: String,
    /// When the token ends.
    pub expires_at: Time,
}

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError<E: std::error::Error + 'static> {
    /// The brokers.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A question stays without an answer.
    #[error("the login needs an answer that nobody gave")]
    NoAnswer(#[source] E),
}

impl Brokers {
    /// Logs this person in.
    ///
    /// # Errors
    /// [`LoginError`]: refused, no broker, or no answer.
    pub async fn login<A: Asker>(
        &self,
        username: &str,
        asker: &mut A,
    ) -> Result<LoggedIn, LoginError<A::Error>> {
        let mut held: Vec<Zeroizing<String>> = Vec::new();
        let mut beginnings = 1;
        let mut reply = heard(asker, self.begin(username, &held).await)?;
        loop {
            let (conversation, prompts) = match reply {
                LoginReply::Accepted { token, user, messages, expires_at } => {
                    messages.iter().for_each(|message| asker.show(message));
                    return Ok(LoggedIn { token: token.into(), user, expires_at });
                }
                LoginReply::Prompts { conversation, messages, prompts } => {
                    messages.iter().for_each(|message| asker.show(message));
                    (conversation, prompts)
                }
            };
            let mut answers = Vec::new();
            for prompt in &prompts {
                answers.push(asker.ask(prompt).map_err(LoginError::NoAnswer)?);
            }
            held.extend(answers.iter().cloned());
            reply = match self.answer(&conversation, &answers).await {
                Err(CallError::Refused { problem, .. })
                    if problem.known() == Some(ProblemKind::NotFound)
                        && beginnings < MOST_BEGINNINGS =>
                {
                    beginnings += 1;
                    heard(asker, self.begin(username, &held).await)?
                }
                other => heard(asker, other)?,
            };
        }
    }

    async fn begin(
        &self,
        username: &str,
        held: &[Zeroizing<String>],
    ) -> Result<LoginReply, CallError> {
        let request = LoginRequest { username: username.to_owned(), answers: plain(held) };
        let call = Call::new(Method::POST, "/api/v1/login");
        self.call(Call { length: Length::Long, ..call }.body(&request)).await
    }

    async fn answer(
        &self,
        conversation: &str,
        answers: &[Zeroizing<String>],
    ) -> Result<LoginReply, CallError> {
        let request = AnswerRequest { answers: plain(answers) };
        let path = format!("/api/v1/login/{conversation}");
        let call = Call::new(Method::POST, &path);
        self.call(Call { length: Length::Long, ..call }.body(&request)).await
    }
}

/// Shows what the login said besides its no, such as until when the host is closed.
fn heard<A: Asker>(
    asker: &mut A,
    reply: Result<LoginReply, CallError>,
) -> Result<LoginReply, CallError> {
    if let Err(CallError::Refused { problem, .. }) = &reply {
        problem.messages.iter().for_each(|message| asker.show(message));
    }
    reply
}

fn plain(answers: &[Zeroizing<String>]) -> Vec<String> {
    answers.iter().map(|answer| answer.to_string()).collect()
}

/// Gives one secret to every question that hides its answer, and nothing to any other.
#[derive(Debug)]
pub struct OneSecret(pub Zeroizing<String>);

/// A question that one secret does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the login asks \"{0}\", which a password alone does not answer")]
pub struct OtherQuestion(String);

impl Asker for OneSecret {
    type Error = OtherQuestion;

    fn show(&mut self, _message: &Message) {}

    fn ask(&mut self, prompt: &Prompt) -> Result<Zeroizing<String>, OtherQuestion> {
        match prompt.style {
            PromptStyle::EchoOff => Ok(self.0.clone()),
            PromptStyle::EchoOn => Err(OtherQuestion(prompt.text.clone())),
        }
    }
}
