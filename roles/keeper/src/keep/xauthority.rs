//! The X cookie and the file that holds it (Xau(3)).

use std::io;

use zeroize::Zeroizing;

use super::vnc_password::fill_random;

/// Matches every address.
const FAMILY_WILD: u16 = 65535;
/// Matches this host by its name.
const FAMILY_LOCAL: u16 = 256;
const NAME: &[u8] = b"MIT-MAGIC-COOKIE-1";

/// The secret that lets a program use the display.
pub struct Cookie(Zeroizing<[u8; 16]>);

impl Cookie {
    /// A new one.
    ///
    /// # Errors
    /// Those of the kernel's random numbers.
    pub fn random() -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 16]);
        fill_random(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// The entry that fits any display at any host name: the server reads it before the display
    /// has a number, and it keeps fitting when the host is renamed.
    pub fn anywhere(&self) -> Vec<u8> {
        self.entry(FAMILY_WILD, b"", b"")
    }

    /// The entry of this display, by which `xauth list :N` finds the cookie; `ssh -X` asks so.
    pub fn here(&self, host: &str, display: u32) -> Vec<u8> {
        self.entry(FAMILY_LOCAL, host.as_bytes(), display.to_string().as_bytes())
    }

    fn entry(&self, family: u16, address: &[u8], number: &[u8]) -> Vec<u8> {
        let mut entry = Vec::with_capacity(64 + address.len());
        entry.extend(family.to_be_bytes());
        for part in [address, number, NAME, &*self.0] {
            entry.extend((part.len() as u16).to_be_bytes());
            entry.extend(part);
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_laid_out_as_libxau_reads_it() {
        let cookie = Cookie(Zeroizing::new([7; 16]));
        let mut expected = vec![0x01, 0x00, 0, 4];
        expected.extend(b"host\0\x0242\0\x12MIT-MAGIC-COOKIE-1\0\x10");
        expected.extend([7; 16]);
        assert_eq!(cookie.here("host", 42), expected);
        assert_eq!(cookie.anywhere()[..6], [0xff, 0xff, 0, 0, 0, 0]);
    }
}
