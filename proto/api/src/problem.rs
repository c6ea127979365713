//! Errors: problem documents, RFC 9457.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::login::Message;

/// A problem document.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind: `urn:abide:problem/` and a word that scripts may rely on.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong, in plain words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What to do next, or what exactly was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the login's back end wants the person to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:literal $word:literal $title:literal;)*) => {
        /// The kinds of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ProblemKind { $($(#[$doc])* $name,)* }

        impl ProblemKind {
            /// All of them.
            pub const ALL: &'static [ProblemKind] = &[$(ProblemKind::$name,)*];

            /// The HTTP status, the word and the title.
            fn parts(self) -> (u16, &'static str, &'static str) {
                match self { $(ProblemKind::$name => ($status, $word, $title),)* }
            }
        }
    };
}

kinds! {
    /// The request cannot be understood.
    BadRequest = 400 "bad-request" "The request cannot be understood";
    /// The cluster's configuration cannot be read, or says what cannot be.
    BadConfig = 400 "bad-config" "The configuration has problems";
    /// No token, or one that is not good.
    NotLoggedIn = 401 "not-logged-in" "You are not logged in";
    /// The login was refused.
    LoginRefused = 401 "login-refused" "The login was refused";
    /// A ticket or pass is not good.
    PassRefused = 401 "pass-refused" "This way in is not valid, or no longer";
    /// Not allowed.
    Forbidden = 403 "forbidden" "You may not do this";
    /// There is no such thing, or it is not yours.
    NotFound = 404 "not-found" "There is no such thing";
    /// No such method here.
    MethodNotAllowed = 405 "method-not-allowed" "This address does not take that method";
    /// The session's agent is not heard.
    SessionUnreachable = 409 "session-unreachable" "Your session cannot be reached now";
    /// The session's state does not allow it.
    Conflict = 409 "conflict" "This cannot be done now";
    /// The rest of an agent's pools cannot take its load.
    NoRoomElsewhere = 409 "no-room-elsewhere" "The other agents cannot take this one's sessions";
    /// Another configuration was taken since the one that this goes out from.
    ConfigChanged = 409 "config-changed" "Another configuration was taken meanwhile";
    /// The person has as many sessions as allowed.
    SessionLimit = 409 "session-limit" "You have as many sessions as you may have";
    /// The session has ended.
    SessionEnded = 410 "session-ended" "The session has ended";
    /// The body is too large.
    TooLarge = 413 "too-large" "The request is too large";
    /// The Idempotency-Key was used for something else.
    KeyReused = 422 "key-reused" "This Idempotency-Key was used for another request";
    /// Too many failed logins or requests.
    TooMany = 429 "too-many" "Too many attempts";
    /// Something is broken here.
    Internal = 500 "internal" "Something is broken on this server";
    /// The agent could not start the session.
    StartFailed = 502 "start-failed" "The session could not be started";
    /// No broker can serve this now.
    Unavailable = 503 "unavailable" "The cluster cannot serve this right now";
    /// The table was lost and is not whole yet.
    Rebuilding = 503 "rebuilding" "The cluster still gathers which desktops run";
    /// No agent can take a session.
    NoAgent = 503 "no-agent" "No desktop host can take a new session now";
    /// The disk is full.
    DiskFull = 507 "disk-full" "There is no space left to record new sessions";
}

impl ProblemKind {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        self.parts().0
    }

    /// The kind's word, the last part of the problem's type.
    pub fn word(self) -> &'static str {
        self.parts().1
    }

    /// A problem of this kind.
    pub fn because(self, detail: impl Into<String>) -> Problem {
        Problem { detail: Some(detail.into()), ..self.bare() }
    }

    /// A problem of this kind with nothing more to say.
    pub fn bare(self) -> Problem {
        let (status, word, title) = self.parts();
        Problem {
            kind: format!("urn:abide:problem/{word}"),
            title: title.to_owned(),
            status,
            detail: None,
            messages: Vec::new(),
        }
    }
}

impl Problem {
    /// The kind, if it is one that this version knows.
    pub fn known(&self) -> Option<ProblemKind> {
        let word = self.kind.rsplit('/').next()?;
        ProblemKind::ALL.iter().copied().find(|kind| kind.word() == word)
    }
}
