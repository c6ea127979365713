//! Logging in by PAM, which the login helper asks: PAM needs root, and hashes passwords where Raft
//! must not be kept waiting.
//!
//! One connection to the helper's socket is one login. Closing it ends the helper's process.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use abide_api::{Message, MessageStyle, Prompt, PromptStyle};
use abide_model::UserName;
use abide_ticket::Role;
use abide_wire::frame;
use abide_wire::keeper::login_refused::Kind;
use abide_wire::keeper::login_reply::Reply;
use abide_wire::keeper::login_request::Request;
use abide_wire::keeper::{LoginAnswers, LoginMessage, LoginReply, LoginRequest, LoginStart};
use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tracing::error;
use zeroize::{Zeroize, Zeroizing};

use crate::conversation::{Accepted, Answer, Backend, Conversation, RefusalReason, Refused, Step};

/// PAM as a login back end.
#[derive(Debug, Clone)]
pub struct PamBackend(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    socket: PathBuf,
    service: String,
    administrators: Vec<String>,
}

/// Why the helper gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It cannot be reached.
    #[error("cannot reach the login helper at {path}")]
    Connect {
        /// Its socket.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It closed the connection: the login took too long, or the helper's process failed.
    #[error("the login helper ended the login without an answer")]
    Closed,
    /// The connection failed.
    #[error("the connection to the login helper failed")]
    Io(#[source] io::Error),
    /// It said what this version does not understand.
    #[error("the login helper's answer cannot be understood")]
    Malformed,
}

impl PamBackend {
    /// Logins by the helper at `socket`, under the PAM service that it is set to. Members of any
    /// of the groups `administrators` are administrators.
    pub fn new(socket: PathBuf, service: String, administrators: Vec<String>) -> Self {
        Self(Arc::new(Settings { socket, service, administrators }))
    }

    async fn connect(&self) -> Result<UnixStream, HelperError> {
        let path = &self.0.socket;
        let connected = UnixStream::connect(path).await;
        connected.map_err(|cause| HelperError::Connect { path: path.clone(), cause })
    }

    /// Says `request` and gives back the step that the helper's reply is.
    async fn step(&self, mut stream: UnixStream, request: Request) -> Result<Step, HelperError> {
        send(&mut stream, request).await?;
        Ok(match hear(&mut stream).await? {
            Reply::Prompts(asked) => {
                let prompts = asked.prompts.into_iter().map(|prompt| Prompt {
                    style: match prompt.echo {
                        true => PromptStyle::EchoOn,
                        false => PromptStyle::EchoOff,
                    },
                    text: prompt.text,
                });
                Step::Prompt {
                    messages: messages(asked.messages),
                    prompts: prompts.collect(),
                    next: Box::new(Asked { backend: self.clone(), stream }),
                }
            }
            Reply::Accepted(accepted) => {
                let is_admin = |group| self.0.administrators.contains(group);
                let role = match accepted.groups.iter().any(is_admin) {
                    true => Role::Administrator,
                    false => Role::User,
                };
                Step::Accepted(Accepted {
                    user: accepted.user.parse().map_err(|_| HelperError::Malformed)?,
                    groups: accepted.groups,
                    role,
                    messages: messages(accepted.messages),
                })
            }
            Reply::Refused(refused) => Step::Refused(Refused {
                reason: match refused.kind() {
                    Kind::Authentication => RefusalReason::Credentials,
                    Kind::AccountExpired => RefusalReason::AccountExpired,
                    Kind::PasswordExpired => RefusalReason::PasswordExpired,
                    Kind::AccessDenied => RefusalReason::AccessDenied,
                    Kind::System | Kind::Unspecified => RefusalReason::Unavailable,
                },
                messages: messages(refused.messages),
            }),
        })
    }
}

#[async_trait]
impl Backend for PamBackend {
    async fn begin(&self, user: &UserName, from: IpAddr) -> Step {
        let start = Request::Start(LoginStart {
            service: self.0.service.clone(),
            user: user.to_string(),
            remote_host: from.to_string(),
        });
        let step = match self.connect().await {
            Ok(stream) => self.step(stream, start).await,
            Err(error) => Err(error),
        };
        step.unwrap_or_else(unavailable)
    }
}

/// The helper's process waits for answers at the other end.
struct Asked {
    backend: PamBackend,
    stream: UnixStream,
}

#[async_trait]
impl Conversation for Asked {
    async fn answer(self: Box<Self>, answers: Vec<Answer>) -> Step {
        let answers = answers.iter().map(|answer| answer.reveal().to_owned()).collect();
        let answers = Request::Answers(LoginAnswers { answers });
        let step = self.backend.step(self.stream, answers).await;
        step.unwrap_or_else(unavailable)
    }
}

fn unavailable(error: HelperError) -> Step {
    error!(error = &error as &dyn std::error::Error, "PAM cannot be asked");
    Step::refused(RefusalReason::Unavailable)
}

/// Says it, and wipes every copy of what was said.
async fn send(stream: &mut UnixStream, request: Request) -> Result<(), HelperError> {
    let mut request = LoginRequest { request: Some(request) };
    let bytes = frame::encode(&request).map(Zeroizing::new);
    if let Some(Request::Answers(answers)) = &mut request.request {
        answers.answers.zeroize();
    }
    let bytes = bytes.map_err(HelperError::Io)?;
    stream.write_all(&bytes).await.map_err(HelperError::Io)
}

async fn hear(stream: &mut UnixStream) -> Result<Reply, HelperError> {
    let mut bytes = vec![0; 4];
    read(stream, &mut bytes).await?;
    let length = frame::checked_length([bytes[0], bytes[1], bytes[2], bytes[3]]);
    bytes.resize(4 + length.map_err(|_| HelperError::Malformed)?, 0);
    read(stream, &mut bytes[4..]).await?;
    let reply: LoginReply =
        frame::read(&mut bytes.as_slice()).map_err(|_| HelperError::Malformed)?;
    reply.reply.ok_or(HelperError::Malformed)
}

async fn read(stream: &mut UnixStream, bytes: &mut [u8]) -> Result<(), HelperError> {
    match stream.read_exact(bytes).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(HelperError::Closed),
        Err(error) => Err(HelperError::Io(error)),
    }
}

fn messages(told: Vec<LoginMessage>) -> Vec<Message> {
    let message = |told: LoginMessage| Message {
        style: match told.is_error {
            true => MessageStyle::Error,
            false => MessageStyle::Info,
        },
        text: told.text,
    };
    told.into_iter().map(message).collect()
}

#[cfg(test)]
mod tests {
    use abide_wire::keeper::{LoginAccepted, LoginPrompt, LoginPrompts, LoginRefused};
    use tokio::net::UnixListener;

    use super::*;

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn told(text: &str) -> LoginMessage {
        LoginMessage { is_error: true, text: text.into() }
    }

    fn prompts(text: &str) -> Reply {
        let prompt = LoginPrompt { echo: false, text: text.into() };
        Reply::Prompts(LoginPrompts { messages: vec![told("hello")], prompts: vec![prompt] })
    }

    /// A helper that gives these replies whatever is said; `None` hangs up. Hands back what it
    /// was told.
    fn helper(
        listener: UnixListener,
        replies: Vec<Option<Reply>>,
    ) -> tokio::task::JoinHandle<Vec<LoginRequest>> {
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            for reply in replies {
                let length = stream.read_u32().await.unwrap();
                let mut bytes = length.to_be_bytes().to_vec();
                bytes.resize(4 + length as usize, 0);
                stream.read_exact(&mut bytes[4..]).await.unwrap();
                heard.push(frame::read(&mut bytes.as_slice()).unwrap());
                let Some(reply) = reply else { break };
                let bytes = frame::encode(&LoginReply { reply: Some(reply) }).unwrap();
                stream.write_all(&bytes).await.unwrap();
            }
            heard
        })
    }

    async fn begin(
        replies: Vec<Option<Reply>>,
    ) -> (Step, tokio::task::JoinHandle<Vec<LoginRequest>>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("login.sock");
        let serving = helper(UnixListener::bind(&socket).unwrap(), replies);
        let backend = PamBackend::new(socket, "abide".into(), vec!["wheel".into()]);
        (backend.begin(&"alice".parse().unwrap(), FROM).await, serving)
    }

    async fn answer(step: Step, text: &str) -> Step {
        let Step::Prompt { next, .. } = step else { panic!("no prompt: {step:?}") };
        next.answer(vec![Answer::new(text.into())]).await
    }

    #[tokio::test]
    async fn prompts_answers_and_groups_go_through() {
        let accepted = LoginAccepted {
            user: "alice".into(),
            groups: vec!["alice".into(), "wheel".into()],
            messages: Vec::new(),
        };
        let replies = [prompts("Password: "), prompts("Code: "), Reply::Accepted(accepted)];
        let (step, serving) = begin(replies.map(Some).into()).await;
        let Step::Prompt { messages, prompts, .. } = &step else { panic!("{step:?}") };
        assert_eq!(messages[0].text, "hello");
        assert_eq!(prompts[0].style, PromptStyle::EchoOff);
        let step = answer(answer(step, "secret").await, "123456").await;
        let Step::Accepted(accepted) = step else { panic!("{step:?}") };
        assert_eq!(accepted.role, Role::Administrator);
        let heard = serving.await.unwrap();
        let Some(Request::Start(start)) = &heard[0].request else { panic!() };
        assert_eq!((start.user.as_str(), start.remote_host.as_str()), ("alice", "127.0.0.1"));
        let Some(Request::Answers(answers)) = &heard[2].request else { panic!() };
        assert_eq!(answers.answers, ["123456"]);
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_reason_and_words() {
        for (kind, reason) in [
            (Kind::Authentication, RefusalReason::Credentials),
            (Kind::AccountExpired, RefusalReason::AccountExpired),
            (Kind::PasswordExpired, RefusalReason::PasswordExpired),
            (Kind::AccessDenied, RefusalReason::AccessDenied),
            (Kind::System, RefusalReason::Unavailable),
        ] {
            let refused = LoginRefused { kind: kind.into(), messages: vec![told("expired")] };
            let (step, _) = begin(vec![Some(Reply::Refused(refused))]).await;
            let Step::Refused(refused) = step else { panic!("{step:?}") };
            assert_eq!(refused.reason, reason);
            assert_eq!(refused.messages[0].text, "expired");
        }
    }

    #[tokio::test]
    async fn a_helper_that_is_not_there_or_hangs_up_is_unavailable() {
        let (step, _) = begin(vec![Some(prompts("Password: ")), None]).await;
        let step = answer(step, "secret").await;
        let Step::Refused(refused) = step else { panic!("{step:?}") };
        assert_eq!(refused.reason, RefusalReason::Unavailable);

        let backend = PamBackend::new("/nowhere/login.sock".into(), "abide".into(), Vec::new());
        let step = backend.begin(&"alice".parse().unwrap(), FROM).await;
        let Step::Refused(refused) = step else { panic!("{step:?}") };
        assert_eq!(refused.reason, RefusalReason::Unavailable);
    }
}
