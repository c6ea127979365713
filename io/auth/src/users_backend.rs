//! Logging in by the users file: one prompt, one answer.

use std::net::IpAddr;
use std::sync::Arc;

use abide_api::{Message, MessageStyle, Prompt, PromptStyle};
use abide_model::UserName;
use async_trait::async_trait;
use tracing::error;

use crate::conversation::{Accepted, Answer, Backend, Conversation, RefusalReason, Refused, Step};
use crate::hashing::HashPool;
use crate::users::{Standing, UsersFile};

/// The users file as a login back end.
#[derive(Debug, Clone)]
pub struct UsersBackend {
    file: Arc<UsersFile>,
    pool: HashPool,
}

impl UsersBackend {
    /// Logins by this file, checked on these threads.
    pub fn new(file: UsersFile, pool: HashPool) -> Self {
        Self { file: Arc::new(file), pool }
    }
}

#[async_trait]
impl Backend for UsersBackend {
    async fn begin(&self, user: &UserName, _from: IpAddr) -> Step {
        Step::Prompt {
            messages: Vec::new(),
            prompts: vec![Prompt { style: PromptStyle::EchoOff, text: "Password: ".into() }],
            next: Box::new(PasswordAsked { backend: self.clone(), user: user.clone() }),
        }
    }
}

struct PasswordAsked {
    backend: UsersBackend,
    user: UserName,
}

#[async_trait]
impl Conversation for PasswordAsked {
    async fn answer(self: Box<Self>, answers: Vec<Answer>) -> Step {
        let Ok([password]) = <[Answer; 1]>::try_from(answers) else {
            return Step::refused(RefusalReason::Credentials);
        };
        let user = self.backend.file.users().get(&self.user).cloned();
        let hash = user.as_ref().map(|user| user.password.clone());
        match (self.backend.pool.check(password, hash).await, user) {
            (Ok(true), Some(user)) if user.standing == Standing::Active => {
                Step::Accepted(Accepted {
                    user: self.user,
                    groups: user.groups,
                    role: user.role,
                    messages: Vec::new(),
                })
            }
            // Who knows the password may know that it does not help.
            (Ok(true), Some(_)) => Step::Refused(Refused {
                reason: RefusalReason::AccessDenied,
                messages: vec![Message {
                    style: MessageStyle::Error,
                    text: "This account is disabled. Ask an administrator.".into(),
                }],
            }),
            (Ok(_), _) => Step::refused(RefusalReason::Credentials),
            (Err(stopped), _) => {
                error!(error = &stopped as &dyn std::error::Error, "Passwords cannot be checked");
                Step::refused(RefusalReason::Unavailable)
            }
        }
    }
}
