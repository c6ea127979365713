//! The recovery bundle: what a cluster cannot be put together again without (its id, its CA, its root
//! key), sealed under a passphrase, to be kept elsewhere.
//!
//! A text of five lines: a title with the version, the cluster's id, and in hex the salt, the nonce and what
//! is sealed. Version 1 is Argon2id (64 MiB, 3 passes, 1 lane; RFC 9106) and AES-256-GCM over JSON; the title
//! and the cluster's id are authenticated too.

use abide_model::ClusterId;
use abide_ticket::VerifyingKey;
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::authority::{Authority, only_certificate};
use crate::key::NodeKey;

const TITLE: &str = "abide recovery bundle 1";
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const SALT_BYTES: usize = 16;

/// Why a bundle is not opened.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// No bundle, or one of a newer version, or cut short.
    #[error("this is not a recovery bundle that this version of Abide can read")]
    Form,
    /// It cannot be told which of the two it is.
    #[error("the passphrase is wrong, or the bundle was altered")]
    Sealed,
    /// What was sealed is no cluster's.
    #[error("the bundle holds no cluster's keys")]
    Content,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Sealed {
    ca: String,
    ca_key: String,
    root_seed: String,
    root_key: String,
}

/// The bundle of a cluster, as a text.
///
/// # Panics
/// When the system has no random numbers or no memory to give.
pub fn seal_bundle(authority: &Authority, passphrase: &str) -> String {
    let sealed = Sealed {
        ca: authority.ca_pem(),
        ca_key: authority.ca_key_pem().to_string(),
        root_seed: authority.root_seed_hex().to_string(),
        root_key: authority.root_key().to_string(),
    };
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).expect("the system's random source works");
    let mut text = Zeroizing::new(serde_json::to_vec(&sealed).expect("four texts are JSON"));
    let cluster = authority.cluster();
    let nonce = cipher(passphrase, &salt)
        .seal_in_place_append_tag(Aad::from(heading(cluster)), &mut *text)
        .expect("a few kilobytes can be sealed");
    format!(
        "{}salt {}\nnonce {}\nsealed {}\n",
        heading(cluster),
        hex::encode(salt),
        hex::encode(nonce.as_ref()),
        hex::encode(&*text)
    )
}

/// The authority in a bundle.
///
/// # Errors
/// [`BundleError`].
pub fn open_bundle(bundle: &str, passphrase: &str) -> Result<Authority, BundleError> {
    let mut lines = bundle.lines();
    let mut field = |name: &str| {
        let line = lines.next().ok_or(BundleError::Form)?.trim_end();
        line.strip_prefix(name).map(str::trim_start).ok_or(BundleError::Form)
    };
    field(TITLE)?;
    let cluster: ClusterId = field("cluster")?.parse().map_err(|_| BundleError::Form)?;
    let bytes = |text: &str| hex::decode(text).map_err(|_| BundleError::Form);
    let salt: [u8; SALT_BYTES] =
        bytes(field("salt")?)?.try_into().map_err(|_| BundleError::Form)?;
    let nonce: [u8; NONCE_LEN] =
        bytes(field("nonce")?)?.try_into().map_err(|_| BundleError::Form)?;
    let mut text = Zeroizing::new(bytes(field("sealed")?)?);
    let nonce = Nonce::from(&nonce);
    let opened = cipher(passphrase, &salt)
        .open_in_place(nonce, Aad::from(heading(cluster)), &mut text)
        .map_err(|_| BundleError::Sealed)?;
    let sealed: Sealed = serde_json::from_slice(opened).map_err(|_| BundleError::Content)?;
    let ca = only_certificate(&sealed.ca).ok_or(BundleError::Content)?;
    let ca_key = NodeKey::from_pem(&sealed.ca_key).map_err(|_| BundleError::Content)?;
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(&sealed.root_seed, &mut seed[..]).map_err(|_| BundleError::Content)?;
    let authority = Authority::from_parts(cluster, ca_key, ca, seed);
    let root: VerifyingKey = sealed.root_key.parse().map_err(|_| BundleError::Content)?;
    if authority.root_key() == root { Ok(authority) } else { Err(BundleError::Content) }
}

fn heading(cluster: ClusterId) -> String {
    format!("{TITLE}\ncluster {cluster}\n")
}

fn cipher(passphrase: &str, salt: &[u8; SALT_BYTES]) -> RandomizedNonceKey {
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).expect("they are in range");
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key[..])
        .expect("there are 64 MiB of memory");
    RandomizedNonceKey::new(&AES_256_GCM, &key[..]).expect("32 bytes are a key")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const CLUSTER: &str = "11111111-1111-4111-8111-111111111111";

    #[test]
    fn a_bundle_gives_the_same_authority_back_and_only_for_its_passphrase() {
        let authority = Authority::create(CLUSTER.parse().unwrap(), SystemTime::now());
        let bundle = seal_bundle(&authority, "correct horse");
        let seed = authority.root_seed_hex();
        assert!(!bundle.contains(seed.as_str()) && !bundle.contains("PRIVATE"));
        let again = open_bundle(&bundle, "correct horse").unwrap();
        assert_eq!(again.cluster(), authority.cluster());
        assert_eq!(again.ca(), authority.ca());
        assert_eq!(again.root_key(), authority.root_key());
        assert!(matches!(open_bundle(&bundle, "wrong horse"), Err(BundleError::Sealed)));
    }

    #[test]
    fn a_bundle_that_was_altered_is_refused() {
        let authority = Authority::create(CLUSTER.parse().unwrap(), SystemTime::now());
        let bundle = seal_bundle(&authority, "p");
        let other = bundle.replace("11111111-1111", "11111111-2222");
        assert!(matches!(open_bundle(&other, "p"), Err(BundleError::Sealed)));
        let cut: String = bundle.lines().take(4).collect::<Vec<_>>().join("\n");
        for text in ["", "abide recovery bundle 2\n", &cut, &bundle.replace("salt ", "salt zz")] {
            assert!(matches!(open_bundle(text, "p"), Err(BundleError::Form)), "{text}");
        }
    }
}
