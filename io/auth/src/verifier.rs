//! Checks bearers' tokens, each signature once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use abide_model::Timestamp;
use abide_ticket::{KeyRing, LoginToken, StatusToken, TimeError, Timed, VerifyError};
use aws_lc_rs::digest;

/// Tokens whose signature need not be checked again. About 16 MiB of small ones.
const MOST_CACHED: usize = 32_768;

/// Why a bearer is nobody.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefused {
    /// Not signed by a broker of this cluster for this purpose.
    #[error("the token is not this cluster's")]
    Forged(#[from] VerifyError),
    /// Not in its time.
    #[error("the token does not hold now")]
    Time(#[from] TimeError),
    /// Logged out.
    #[error("the token was revoked")]
    Revoked,
}

/// Knows the cluster's keys, and the tokens that it has checked. Clones share both.
#[derive(Debug, Clone)]
pub struct Verifier(Arc<RwLock<Known>>);

#[derive(Debug)]
struct Known {
    ring: Arc<KeyRing>,
    /// By the SHA-256 of the text. Their signatures fitted under `ring`.
    logins: HashMap<[u8; 32], Arc<LoginToken>>,
}

impl Verifier {
    /// Believes this ring.
    pub fn new(ring: KeyRing) -> Self {
        let known = Known { ring: Arc::new(ring), logins: HashMap::new() };
        Self(Arc::new(RwLock::new(known)))
    }

    /// Believes this ring from now on: a key was admitted or withdrawn.
    pub fn set_ring(&self, ring: KeyRing) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *known = Known { ring: Arc::new(ring), logins: HashMap::new() };
    }

    /// The ring that is believed now.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).ring)
    }

    /// Who logged in with this token. `now` is this broker's clock; `revoked` tells whether the
    /// replicated table has it on a list.
    ///
    /// # Errors
    /// [`TokenRefused`]; to the bearer one answer is enough.
    pub fn login(
        &self,
        token: &str,
        now: Timestamp,
        revoked: impl FnOnce(&LoginToken) -> bool,
    ) -> Result<Arc<LoginToken>, TokenRefused> {
        let hash = hash(token);
        let cached = {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            known.logins.get(&hash).cloned().ok_or_else(|| Arc::clone(&known.ring))
        };
        let claims = match cached {
            Ok(claims) => {
                claims.check(now)?;
                claims
            }
            Err(ring) => {
                let claims = Arc::new(ring.verify::<LoginToken>(token)?.judge(now)?.clone());
                self.keep(&ring, hash, &claims, now);
                claims
            }
        };
        if revoked(&claims) { Err(TokenRefused::Revoked) } else { Ok(claims) }
    }

    /// Which session may be asked about with this token.
    ///
    /// # Errors
    /// [`TokenRefused`]; to the bearer one answer is enough.
    pub fn status(&self, token: &str, now: Timestamp) -> Result<StatusToken, TokenRefused> {
        Ok(self.ring().verify::<StatusToken>(token)?.judge(now)?.clone())
    }

    fn keep(&self, ring: &Arc<KeyRing>, hash: [u8; 32], claims: &Arc<LoginToken>, now: Timestamp) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another ring by now: its word counts, not the one this was checked under.
        if !Arc::ptr_eq(&known.ring, ring) {
            return;
        }
        if known.logins.len() >= MOST_CACHED {
            known.logins.retain(|_, claims| claims.check(now).is_ok());
        }
        if known.logins.len() >= MOST_CACHED {
            known.logins.clear();
        }
        known.logins.insert(hash, Arc::clone(claims));
    }
}

fn hash(token: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use abide_model::ClusterId;
    use abide_ticket::{KeyCertificate, Role, SigningKey, ViewMode};
    use uuid::Uuid;

    use super::*;
    use crate::conversation::Accepted;
    use crate::issuer::{Issuer, TicketGrant};

    const CLUSTER: ClusterId = ClusterId(Uuid::from_u128(1));
    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn ring_with(key: &SigningKey) -> KeyRing {
        let root = SigningKey::from_seed(&[1; 32]);
        let mut ring = KeyRing::new(CLUSTER, root.verifying_key());
        let certificate = KeyCertificate {
            broker: "b".repeat(32).parse().unwrap(),
            public_key: key.verifying_key(),
            not_before: NOW,
        };
        ring.admit(&root.sign(CLUSTER, &certificate)).unwrap();
        ring
    }

    fn key() -> SigningKey {
        SigningKey::from_seed(&[2; 32])
    }

    fn ada() -> Accepted {
        Accepted {
            user: "ada".parse().unwrap(),
            groups: vec!["staff".into()],
            role: Role::User,
            messages: Vec::new(),
        }
    }

    #[test]
    fn a_login_is_known_again_until_it_ends_or_is_revoked() {
        let issuer = Issuer::new(CLUSTER, key());
        let verifier = Verifier::new(ring_with(&key()));
        let (token, claims) = issuer.login(&ada(), NOW, Duration::from_secs(3600));
        for _ in 0..2 {
            assert_eq!(*verifier.login(&token, NOW, |_| false).unwrap(), claims);
        }
        let revoked = verifier.login(&token, NOW, |seen| seen.jti == claims.jti);
        assert!(matches!(revoked, Err(TokenRefused::Revoked)));
        let late = verifier.login(&token, NOW.plus(3_600_000 + 60_000), |_| false);
        assert!(matches!(late, Err(TokenRefused::Time(_))));
        let forged = verifier.login(&token[..token.len() - 1], NOW, |_| false);
        assert!(matches!(forged, Err(TokenRefused::Forged(_))));
    }

    #[test]
    fn a_withdrawn_key_ends_its_tokens_though_they_were_known() {
        let issuer = Issuer::new(CLUSTER, key());
        let mut ring = ring_with(&key());
        let verifier = Verifier::new(ring.clone());
        let (token, _) = issuer.login(&ada(), NOW, Duration::from_secs(3600));
        verifier.login(&token, NOW, |_| false).unwrap();
        ring.withdraw(key().id(), NOW);
        verifier.set_ring(ring);
        let refused = verifier.login(&token, NOW, |_| false);
        assert!(matches!(refused, Err(TokenRefused::Forged(_))));
    }

    #[test]
    fn a_ticket_brings_a_status_token_that_is_no_login() {
        let issuer = Issuer::new(CLUSTER, key());
        let verifier = Verifier::new(ring_with(&key()));
        let grant = TicketGrant {
            session: abide_model::SessionId(Uuid::from_u128(9)),
            agent: "a".repeat(32).parse().unwrap(),
            user: ada().user,
            mode: ViewMode::Control,
        };
        let (token, ticket) = issuer.ticket(grant.clone(), NOW);
        let status = verifier.status(&ticket.status, NOW).unwrap();
        assert_eq!((status.session, &status.user), (grant.session, &grant.user));
        assert!(verifier.login(&ticket.status, NOW, |_| false).is_err());
        assert!(verifier.login(&token, NOW, |_| false).is_err());
        assert!(verifier.status(&token, NOW).is_err());
    }

    #[test]
    fn the_cache_is_bounded() {
        let issuer = Issuer::new(CLUSTER, key());
        let verifier = Verifier::new(ring_with(&key()));
        let claims = Arc::new(issuer.login(&ada(), NOW, Duration::from_secs(3600)).1);
        let ring = verifier.ring();
        for n in 0..MOST_CACHED + 10 {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            verifier.keep(&ring, hash, &claims, NOW);
        }
        assert!(verifier.0.read().unwrap().logins.len() <= MOST_CACHED);
    }
}
