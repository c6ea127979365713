//! Whose signatures count.
//!
//! The cluster has one root key. It certifies each broker's own key; what a broker signs is
//! believed as long as its key has a certificate and was not withdrawn.

use std::collections::BTreeMap;

use abide_model::{BrokerId, ClusterId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::authentic::Authentic;
use crate::claims::{Claims, Purpose, TOKEN_LEEWAY_MS, Timed};
use crate::keys::{KeyId, SigningKey, VerifyingKey};
use crate::order::StartOrder;
use crate::paseto::{self, Parts, TokenError};

/// Says that a key is a broker's. Signed by the cluster's root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCertificate {
    /// Whose key it is.
    pub broker: BrokerId,
    /// The key.
    pub public_key: VerifyingKey,
    /// Nothing it signed before this counts, clock leeway apart.
    pub not_before: Timestamp,
}

impl Claims for KeyCertificate {
    const PURPOSE: Purpose = Purpose::Key;

    fn made_at(&self) -> Timestamp {
        self.not_before
    }
}

/// A broker's key as the ring knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedKey {
    /// Whose key it is.
    pub broker: BrokerId,
    /// The key.
    pub public_key: VerifyingKey,
    /// Nothing it signed before this counts.
    pub not_before: Timestamp,
    /// When it was withdrawn, if it was.
    pub withdrawn_at: Option<Timestamp>,
}

/// Why a text is not believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No token, or altered, or made for another purpose or cluster.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Its footer names no key.
    #[error("the token does not name its key")]
    NoKeyId,
    /// No certificate for the key it names.
    #[error("key {0} is not one of this cluster's")]
    UnknownKey(KeyId),
    /// Its key was withdrawn: its broker was removed.
    #[error("key {0} was withdrawn")]
    WithdrawnKey(KeyId),
    /// Made before its key was valid.
    #[error("key {0} was not yet valid when this was signed")]
    EarlyKey(KeyId),
    /// Rightly signed, but not what this version of Abide understands.
    #[error("the token's claims cannot be read")]
    Claims(#[source] serde_json::Error),
}

/// The root key and the brokers' keys of one cluster.
#[derive(Debug, Clone)]
pub struct KeyRing {
    cluster: ClusterId,
    root: VerifyingKey,
    keys: BTreeMap<KeyId, CertifiedKey>,
}

impl KeyRing {
    /// A ring that believes nobody yet but the root.
    pub fn new(cluster: ClusterId, root: VerifyingKey) -> Self {
        Self { cluster, root, keys: BTreeMap::new() }
    }

    /// Takes in a key on the strength of its [`KeyCertificate`], as signed by the root. A key that
    /// was withdrawn stays so; of two certificates for one key, the one from earlier on counts.
    ///
    /// # Errors
    /// [`VerifyError`] when the root did not sign it.
    pub fn admit(&mut self, certificate: &str) -> Result<KeyId, VerifyError> {
        let (parts, named) = split(certificate)?;
        if named != self.root.id() {
            return Err(VerifyError::UnknownKey(named));
        }
        let claims: KeyCertificate = open(parts, &self.root, self.cluster)?;
        let id = claims.public_key.id();
        let not_before = claims.not_before;
        let key = self.keys.entry(id).or_insert(CertifiedKey {
            broker: claims.broker,
            public_key: claims.public_key,
            not_before,
            withdrawn_at: None,
        });
        key.not_before = key.not_before.min(not_before);
        Ok(id)
    }

    /// Stops believing a key: at once for what holds for a time; for start orders, those from
    /// `at` on, since sessions outlive the broker that started them. The first withdrawal counts.
    pub fn withdraw(&mut self, key: KeyId, at: Timestamp) {
        if let Some(known) = self.keys.get_mut(&key) {
            known.withdrawn_at.get_or_insert(at);
        }
    }

    /// All keys ever admitted, withdrawn ones included.
    pub fn keys(&self) -> impl Iterator<Item = (KeyId, &CertifiedKey)> {
        self.keys.iter().map(|(id, key)| (*id, key))
    }

    /// The cluster whose tokens count.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Checks who signed. Whether it still holds is for [`Authentic::judge`].
    ///
    /// # Errors
    /// [`VerifyError`] says what is wrong with it; to its bearer one refusal is enough.
    pub fn verify<C: Timed>(&self, token: &str) -> Result<Authentic<C>, VerifyError> {
        let authentic = self.verify_any(token)?;
        match self.withdrawn_at(authentic.key()) {
            Some(_) => Err(VerifyError::WithdrawnKey(authentic.key())),
            None => Ok(authentic),
        }
    }

    /// The order, if one of the cluster's brokers signed it while its key was believed.
    ///
    /// # Errors
    /// [`VerifyError`], as for [`KeyRing::verify`].
    pub fn verify_order(&self, token: &str) -> Result<StartOrder, VerifyError> {
        let authentic: Authentic<StartOrder> = self.verify_any(token)?;
        let key = authentic.key();
        let order = authentic.into_claims();
        match self.withdrawn_at(key) {
            Some(at) if order.made_at() >= at => Err(VerifyError::WithdrawnKey(key)),
            _ => Ok(order),
        }
    }

    /// What an order says, whoever signed it: for a person who confirms it.
    ///
    /// # Errors
    /// [`VerifyError`] when it is no order of this form.
    pub fn read_order(token: &str) -> Result<StartOrder, VerifyError> {
        let (parts, _) = split(token)?;
        serde_json::from_slice(parts.unverified()).map_err(VerifyError::Claims)
    }

    fn withdrawn_at(&self, key: KeyId) -> Option<Timestamp> {
        self.keys.get(&key).and_then(|known| known.withdrawn_at)
    }

    fn verify_any<C: Claims>(&self, token: &str) -> Result<Authentic<C>, VerifyError> {
        let (parts, id) = split(token)?;
        let key = self.keys.get(&id).ok_or(VerifyError::UnknownKey(id))?;
        let claims: C = open(parts, &key.public_key, self.cluster)?;
        if claims.made_at().plus(TOKEN_LEEWAY_MS) < key.not_before {
            return Err(VerifyError::EarlyKey(id));
        }
        Ok(Authentic::new(claims, key.broker.clone(), id))
    }
}

impl SigningKey {
    /// The token that says `claims`, for this cluster only.
    pub fn sign<C: Claims>(&self, cluster: ClusterId, claims: &C) -> String {
        let message = serde_json::to_vec(claims)
            .expect("claims are plain structs with text keys, which JSON can always say");
        let footer = serde_json::to_vec(&Footer { kid: self.id() })
            .expect("a key id is a text, which JSON can always say");
        paseto::sign(self, message, &footer, &assertion(C::PURPOSE, cluster))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    kid: KeyId,
}

fn split(token: &str) -> Result<(Parts, KeyId), VerifyError> {
    let parts = Parts::split(token)?;
    let footer: Footer = serde_json::from_slice(&parts.footer).map_err(|_| VerifyError::NoKeyId)?;
    Ok((parts, footer.kid))
}

fn open<C: Claims>(parts: Parts, key: &VerifyingKey, cluster: ClusterId) -> Result<C, VerifyError> {
    let message = parts.verify(key, &assertion(C::PURPOSE, cluster))?;
    serde_json::from_slice(&message).map_err(VerifyError::Claims)
}

/// What a signature covers besides the token itself: what it is for, and where.
fn assertion(purpose: Purpose, cluster: ClusterId) -> Vec<u8> {
    format!("{}\n{cluster}", purpose.name()).into_bytes()
}
