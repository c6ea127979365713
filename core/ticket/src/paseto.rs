//! The token format: PASETO version 4, purpose public.
//!
//! `v4.public.` base64url(message ‖ signature) `.` base64url(footer), where the signature covers
//! the header, the message, the footer and an implicit assertion that is not transmitted, each
//! with its length ([`pae`]). Source: <https://github.com/paseto-standard/paseto-spec>,
//! `docs/01-Protocol-Versions/Version4.md` and `Common.md`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::{SigningKey, VerifyingKey};

/// Longer texts are refused unread. A login token with 200 groups takes about 8 KiB.
pub const MAX_TOKEN_BYTES: usize = 32 * 1024;

const HEADER: &str = "v4.public.";
const SIGNATURE_BYTES: usize = 64;

/// Why a text is not a token of this format, or not one by this key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not `v4.public.`, or not two or three parts of base64url after it.
    #[error("this is not a v4.public token")]
    Malformed,
    /// Altered, signed by another key, or signed for another purpose or cluster.
    #[error("the token's signature does not fit")]
    Signature,
}

/// A token taken apart. Nothing in it is to be believed before [`Parts::verify`].
pub(crate) struct Parts {
    message: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
    pub(crate) footer: Vec<u8>,
}

impl Parts {
    pub(crate) fn split(token: &str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let rest = token.strip_prefix(HEADER).ok_or(TokenError::Malformed)?;
        let (body, footer) = match rest.split_once('.') {
            // An empty footer has no dot before it; a second spelling of one token is refused.
            Some((_, "")) => return Err(TokenError::Malformed),
            Some((body, footer)) => (body, decode(footer)?),
            None => (rest, Vec::new()),
        };
        let mut message = decode(body)?;
        let at = message.len().checked_sub(SIGNATURE_BYTES).ok_or(TokenError::Malformed)?;
        let signature = message.split_off(at).try_into().map_err(|_| TokenError::Malformed)?;
        Ok(Self { message, signature, footer })
    }

    /// The message, which anybody may have written.
    pub(crate) fn unverified(&self) -> &[u8] {
        &self.message
    }

    /// The message, if `key` signed it with this footer and implicit assertion.
    pub(crate) fn verify(self, key: &VerifyingKey, implicit: &[u8]) -> Result<Vec<u8>, TokenError> {
        let signed = pae(&[HEADER.as_bytes(), &self.message, &self.footer, implicit]);
        if key.fits(&signed, &self.signature) {
            Ok(self.message)
        } else {
            Err(TokenError::Signature)
        }
    }
}

pub(crate) fn sign(
    key: &SigningKey,
    mut message: Vec<u8>,
    footer: &[u8],
    implicit: &[u8],
) -> String {
    let signature = key.sign_bytes(&pae(&[HEADER.as_bytes(), &message, footer, implicit]));
    message.extend_from_slice(&signature);
    let base64_len = |bytes: usize| bytes.div_ceil(3) * 4;
    let len = HEADER.len() + base64_len(message.len()) + 1 + base64_len(footer.len());
    let mut token = String::with_capacity(len);
    token.push_str(HEADER);
    URL_SAFE_NO_PAD.encode_string(message, &mut token);
    if !footer.is_empty() {
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(footer, &mut token);
    }
    token
}

/// Pre-authentication encoding: the number of pieces, then each with its length in front, all as
/// little-endian u64, so that no two lists of pieces have the same bytes.
fn pae(pieces: &[&[u8]]) -> Vec<u8> {
    let le64 = |n: usize| ((n as u64) & (u64::MAX >> 1)).to_le_bytes();
    let mut out = Vec::with_capacity(8 + pieces.iter().map(|p| 8 + p.len()).sum::<usize>());
    out.extend_from_slice(&le64(pieces.len()));
    for piece in pieces {
        out.extend_from_slice(&le64(piece.len()));
        out.extend_from_slice(piece);
    }
    out
}

fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
    use pasetors::token::UntrustedToken;
    use pasetors::version4::{PublicToken, V4};
    use proptest::prelude::*;

    use super::*;

    /// PASETO's own vectors for v4.public (paseto-standard/test-vectors, `v4.json`).
    const SEED: &str = "b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774";
    const PUBLIC: &str = "1eb9dbbbbc047c03fd70604e0071f0987e16b28b757225c11f00415d0e20b1a2";
    const MESSAGE: &str =
        r#"{"data":"this is a signed message","exp":"2022-01-01T00:00:00+00:00"}"#;
    const KID: &str = r#"{"kid":"zVhMiPBP9fRf2snEcT7gFTioeA9COcNy9DfgL1W60haN"}"#;

    /// Name, footer, implicit assertion, what follows the message in the token.
    const VECTORS: [(&str, &str, &str, &str); 3] = [
        (
            "4-S-1",
            "",
            "",
            "bg_XBBzds8lTZShVlwwKSgeKpLT3yukTw6JUz3W4h_ExsQV-P0V54zemZDcAxFaSeef1QlXEFtkqxT1ciiQEDA",
        ),
        (
            "4-S-2",
            KID,
            "",
            "v3Jt8mx_TdM2ceTGoqwrh4yDFn0XsHvvV_D0DtwQxVrJEBMl0F2caAdgnpKlt4p7xBnx1HcO-SPo8FPp214HDw.eyJraWQiOiJ6VmhNaVBCUDlmUmYyc25FY1Q3Z0ZUaW9lQTlDT2NOeTlEZmdMMVc2MGhhTiJ9",
        ),
        (
            "4-S-3",
            KID,
            r#"{"test-vector":"4-S-3"}"#,
            "NPWciuD3d0o5eXJXG5pJy-DiVEoyPYWs1YSTwWHNJq6DZD3je5gf-0M4JR9ipdUSJbIovzmBECeaWmaqcaP0DQ.eyJraWQiOiJ6VmhNaVBCUDlmUmYyc25FY1Q3Z0ZUaW9lQTlDT2NOeTlEZmdMMVc2MGhhTiJ9",
        ),
    ];

    fn vector_token(tail: &str) -> String {
        // The message is 69 bytes long, so its base64url ends on a boundary of the text.
        format!("{HEADER}{}{tail}", URL_SAFE_NO_PAD.encode(MESSAGE))
    }

    fn seed() -> [u8; 32] {
        hex::decode(SEED).unwrap().try_into().unwrap()
    }

    #[test]
    fn the_standards_vectors_are_signed_and_verified() {
        let key = SigningKey::from_seed(&seed());
        assert_eq!(key.verifying_key().to_string(), PUBLIC);
        for (name, footer, implicit, tail) in VECTORS {
            let token = sign(&key, MESSAGE.into(), footer.as_bytes(), implicit.as_bytes());
            assert_eq!(token, vector_token(tail), "{name}");
            let parts = Parts::split(&token).unwrap();
            assert_eq!(parts.footer, footer.as_bytes(), "{name}");
            let message = parts.verify(&key.verifying_key(), implicit.as_bytes()).unwrap();
            assert_eq!(message, MESSAGE.as_bytes(), "{name}");
        }
    }

    #[test]
    fn a_vector_under_another_assertion_footer_or_header_is_refused() {
        let key: VerifyingKey = PUBLIC.parse().unwrap();
        let token = vector_token(VECTORS[2].3);
        let refused = |token: &str, implicit: &str| {
            Parts::split(token).and_then(|p| p.verify(&key, implicit.as_bytes())).unwrap_err()
        };
        assert_eq!(refused(&token, ""), TokenError::Signature);
        let (without_footer, _) = token.rsplit_once('.').unwrap();
        assert_eq!(refused(without_footer, VECTORS[2].2), TokenError::Signature);
        assert_eq!(refused(&format!("{without_footer}."), VECTORS[2].2), TokenError::Malformed);
        for header in ["v4.local.", "v3.public.", "v4.publi.", "V4.public.", ""] {
            let other = token.replacen(HEADER, header, 1);
            assert_eq!(refused(&other, VECTORS[2].2), TokenError::Malformed, "{header}");
        }
        for bad in ["v4.public.", "v4.public.AAAA", "v4.public.===", "v4.public.a.b.c"] {
            assert_eq!(refused(bad, ""), TokenError::Malformed, "{bad}");
        }
        let long = format!("{HEADER}{}", "A".repeat(MAX_TOKEN_BYTES));
        assert_eq!(refused(&long, ""), TokenError::TooLong);
    }

    #[test]
    fn pae_is_the_standards() {
        assert_eq!(pae(&[]), [0; 8]);
        assert_eq!(pae(&[b""]), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(pae(&[b"test"]), *b"\x01\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0test");
    }

    proptest! {
        #[test]
        fn pasetors_reads_ours_and_we_read_theirs(
            seed: [u8; 32],
            message in "[ -~]{1,300}",
            footer in "[ -~]{0,80}",
            implicit in "[ -~]{0,80}",
        ) {
            let key = SigningKey::from_seed(&seed);
            let public = key.verifying_key();
            let their_public = AsymmetricPublicKey::<V4>::from(public.as_bytes()).unwrap();
            let pair = [&seed[..], public.as_bytes()].concat();
            let their_secret = AsymmetricSecretKey::<V4>::from(&pair).unwrap();
            let (f, i) = (footer.as_bytes(), implicit.as_bytes());

            let ours = sign(&key, message.clone().into_bytes(), f, i);
            let theirs =
                PublicToken::sign(&their_secret, message.as_bytes(), Some(f), Some(i)).unwrap();
            prop_assert_eq!(&ours, &theirs);

            // They take an expected but empty footer for a contradiction.
            let expected = (!f.is_empty()).then_some(f);
            let untrusted = UntrustedToken::try_from(&ours).unwrap();
            let read = PublicToken::verify(&their_public, &untrusted, expected, Some(i)).unwrap();
            prop_assert_eq!(read.payload(), &message);
            let read = Parts::split(&theirs).unwrap().verify(&public, i).unwrap();
            prop_assert_eq!(read, message.as_bytes());
        }

        #[test]
        fn no_text_makes_it_panic(text in "(v4\\.public\\.)?.{0,300}") {
            let key = SigningKey::from_seed(&[7; 32]).verifying_key();
            let verdict = Parts::split(&text).and_then(|p| p.verify(&key, b""));
            prop_assert!(verdict.is_err());
        }
    }
}
