//! Who is at the door: the place asked for, and the pass that is shown.

use abide_api::ProblemKind;
use abide_model::{SessionId, ViewKey};
use abide_session::PassHash;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use serde::Deserialize;

use super::answer::Failure;
use crate::random;

/// A session's path.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    session: String,
    view_key: String,
}

impl Place {
    pub(super) fn parse(&self) -> Result<(SessionId, ViewKey), Failure> {
        let session = self.session.parse().ok();
        let view_key = self.view_key.parse().ok();
        session.zip(view_key).ok_or_else(|| Failure::of(ProblemKind::NotFound))
    }
}

/// How a pass travels. One that was given out as a cookie is not accepted as a Bearer: a browser
/// shows its cookie also to what else listens on this host, on another port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Cookie,
    Bearer,
}

/// A pass: 256 random bits in hex. Only its bearer has it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PassText {
    text: String,
    carrier: Carrier,
}

impl PassText {
    pub(super) fn new(carrier: Carrier) -> Self {
        Self { text: hex::encode(random::bytes::<32>()), carrier }
    }

    /// What is kept of it. It tells the carriers apart.
    pub(super) fn hash(&self) -> PassHash {
        let carrier: &[u8] = match self.carrier {
            Carrier::Cookie => b"cookie ",
            Carrier::Bearer => b"bearer ",
        };
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &[carrier, self.text.as_bytes()].concat()).as_ref());
        PassHash(hash)
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// What is shown at a door.
pub(super) enum Shown {
    /// By a browser, which sends it along whoever asks.
    Cookie(PassText),
    /// By a program.
    Bearer(PassText),
    /// By a program, without having exchanged it.
    Ticket(String),
}

impl Shown {
    /// What came with a request; of both, the header that nobody sends by accident.
    pub(super) fn of(headers: &HeaderMap, session: SessionId) -> Option<Self> {
        if let Some(value) = headers.get(AUTHORIZATION) {
            let token = value.to_str().ok()?.strip_prefix("Bearer ")?.trim();
            // A token of the cluster's has dots, a pass has none.
            return Some(if token.contains('.') {
                Self::Ticket(token.to_owned())
            } else {
                Self::Bearer(PassText { text: token.to_owned(), carrier: Carrier::Bearer })
            });
        }
        let name = cookie_name(session);
        let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|it| it.trim().split_once('='));
        let pass = pairs.find(|(key, _)| *key == name).map(|(_, pass)| pass.to_owned())?;
        Some(Self::Cookie(PassText { text: pass, carrier: Carrier::Cookie }))
    }
}

/// The pass that came with a request.
pub(super) fn at_door(headers: &HeaderMap, session: SessionId) -> Result<PassText, Failure> {
    match Shown::of(headers, session) {
        Some(Shown::Cookie(pass) | Shown::Bearer(pass)) => Ok(pass),
        Some(Shown::Ticket(_)) | None => {
            Err(Failure::because(ProblemKind::PassRefused, "a pass is needed"))
        }
    }
}

pub(super) fn cookie_name(session: SessionId) -> String {
    format!("abide-pass-{session}")
}

#[cfg(test)]
mod tests {
    use abide_model::SessionId;
    use http::HeaderMap;
    use uuid::Uuid;

    use super::*;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_pass_is_found_among_other_cookies() {
        let id = SessionId(Uuid::from_u128(1));
        let other = format!("a=b; {}=wrong", cookie_name(SessionId(Uuid::from_u128(2))));
        let right = format!("x=y;{}=right ; z", cookie_name(id));
        let found = Shown::of(&headers(&[(COOKIE, &other), (COOKIE, &right)]), id);
        assert!(matches!(found, Some(Shown::Cookie(pass)) if pass.text == "right"));
        let bearer = headers(&[(COOKIE, &right), (AUTHORIZATION, "Bearer p")]);
        assert!(matches!(Shown::of(&bearer, id), Some(Shown::Bearer(pass)) if pass.text == "p"));
        let ticket = headers(&[(AUTHORIZATION, "Bearer v4.public.x.y")]);
        assert!(matches!(Shown::of(&ticket, id), Some(Shown::Ticket(_))));
        let basic = headers(&[(AUTHORIZATION, "Basic eDp5"), (COOKIE, &right)]);
        assert!(Shown::of(&basic, id).is_none());
        assert!(Shown::of(&headers(&[]), id).is_none());
    }

    #[test]
    fn no_two_passes_are_alike() {
        let (one, other) = (PassText::new(Carrier::Cookie), PassText::new(Carrier::Cookie));
        assert!(one != other && one.hash() != other.hash());
        assert_eq!(one.text.len(), 64);
        let moved = PassText { carrier: Carrier::Bearer, ..one.clone() };
        assert_ne!(one.hash(), moved.hash(), "a cookie is no Bearer");
    }
}
