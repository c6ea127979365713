//! The two passwords of a display server, and the file that it reads them from.
//!
//! VncAuth (RFC 6143, 7.2.2) knows eight characters. The file holds the full password and then the
//! view-only one, each as eight bytes, "encrypted" with a DES key that is the same everywhere: it
//! hides them from a glance only, so the file is readable by its owner alone.

use std::io;

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::Zeroizing;

/// The key that every VNC program uses. VNC takes each byte's bits in the opposite order to
/// everybody else's DES.
const FILE_KEY: [u8; 8] = [23, 82, 107, 6, 35, 78, 88, 7];

/// 64 letters: each says six bits of chance.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// One password: eight letters, 48 bits of chance.
pub struct VncPassword(Zeroizing<[u8; 8]>);

impl VncPassword {
    /// A new one.
    ///
    /// # Errors
    /// Those of the kernel's random numbers.
    pub fn random() -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 8]);
        fill_random(&mut *bytes)?;
        for byte in bytes.iter_mut() {
            *byte = LETTERS[usize::from(*byte & 63)];
        }
        Ok(Self(bytes))
    }

    /// The letters.
    pub fn text(&self) -> String {
        self.0.iter().map(|b| char::from(*b)).collect()
    }
}

/// The content of the password file.
pub fn file(full: &VncPassword, view_only: &VncPassword) -> [u8; 16] {
    let mut content = [0; 16];
    content[..8].copy_from_slice(&hidden(&full.0));
    content[8..].copy_from_slice(&hidden(&view_only.0));
    content
}

/// Fills it with the kernel's random numbers.
///
/// # Errors
/// Those of getrandom(2).
pub fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(())
}

fn hidden(plain: &[u8; 8]) -> [u8; 8] {
    let des = Des::new(&FILE_KEY.map(u8::reverse_bits).into());
    let mut block = (*plain).into();
    des.encrypt_block(&mut block);
    block.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_as_vncpasswd_writes_it() {
        // `vncpasswd -f` of TigerVNC for "password" and "viewonly".
        let known = |text: &[u8; 8]| VncPassword(Zeroizing::new(*text));
        let made = file(&known(b"password"), &known(b"viewonly"));
        assert_eq!(made[..8], [0xdb, 0xd8, 0x3c, 0xfd, 0x72, 0x7a, 0x14, 0x58]);
    }

    #[test]
    fn passwords_differ_and_are_plain_letters() {
        let (one, two) =
            (VncPassword::random().unwrap().text(), VncPassword::random().unwrap().text());
        assert_ne!(one, two);
        assert!(one.bytes().all(|b| LETTERS.contains(&b)));
    }
}
