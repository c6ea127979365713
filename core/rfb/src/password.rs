//! VNC authentication: a challenge, encrypted with the password as a DES key.
//!
//! It is weak, and here it only guards a private socket that the operating system guards already:
//! the display server tells by the password whether a relay may control or only view.

use std::fmt;

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A VNC password: its first 8 bytes count.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct VncPassword([u8; 8]);

impl VncPassword {
    /// The password of this text, cut after 8 bytes or padded with zeros.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; 8];
        for (byte, given) in bytes.iter_mut().zip(text.as_bytes()) {
            *byte = *given;
        }
        Self(bytes)
    }

    /// What a client that knows the password answers to this challenge.
    pub fn respond(&self, challenge: &[u8; 16]) -> [u8; 16] {
        // VNC counts the bits of a key's byte from the other end than DES does.
        let mut key = self.0.map(u8::reverse_bits);
        let des = Des::new(&key.into());
        key.zeroize();
        let mut response = *challenge;
        for block in response.as_chunks_mut::<8>().0 {
            let mut out = (*block).into();
            des.encrypt_block(&mut out);
            *block = out.into();
        }
        response
    }

    /// Whether this is the right response. Takes the same time for any wrong one.
    pub fn accepts(&self, challenge: &[u8; 16], response: &[u8; 16]) -> bool {
        let right = self.respond(challenge);
        right.iter().zip(response).fold(0, |wrong, (a, b)| wrong | (a ^ b)) == 0
    }
}

impl fmt::Debug for VncPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VncPassword(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_des_of_the_challenge_under_the_reversed_key() {
        // FIPS 81's and NBS 500-20's known answer: key 0123456789abcdef, "Now is t". The password
        // whose bytes, reversed, are that key.
        let key = [0x01u8, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        let password = VncPassword(key.map(u8::reverse_bits));
        let challenge = *b"Now is tNow is t";
        let cipher = [0x3f, 0xa4, 0x0e, 0x8a, 0x98, 0x4d, 0x48, 0x15];
        let response = password.respond(&challenge);
        assert_eq!(response[..8], cipher);
        assert_eq!(response[8..], cipher);
        assert!(password.accepts(&challenge, &response));
        assert!(!password.accepts(&challenge, &[0; 16]));
    }

    #[test]
    fn eight_bytes_count_and_none_is_shown() {
        let challenge = [7; 16];
        let eight = VncPassword::new("12345678");
        assert_eq!(eight.respond(&challenge), VncPassword::new("123456789").respond(&challenge));
        assert_ne!(eight.respond(&challenge), VncPassword::new("1234567").respond(&challenge));
        assert!(!format!("{eight:?}").contains('1'));
    }
}
