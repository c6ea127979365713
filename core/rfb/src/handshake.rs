//! From the first byte to the end of ServerInit (RFC 6143, 7.1 to 7.3).

pub(crate) mod client;
pub(crate) mod server;
#[cfg(test)]
mod tests;

use crate::gather::u16_at;

/// A protocol version. Others than the three published ones are taken for one of them, as the
/// standard's notes say: 3.5 and anything unknown below 3.7 for 3.3, anything above for 3.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 3.3: the server decides the security type.
    V33,
    /// 3.7: the client chooses from a list.
    V37,
    /// 3.8: and always learns the result.
    V38,
}

impl Version {
    pub(crate) fn text(self) -> &'static [u8; 12] {
        match self {
            Version::V33 => b"RFB 003.003\n",
            Version::V37 => b"RFB 003.007\n",
            Version::V38 => b"RFB 003.008\n",
        }
    }

    pub(crate) fn parse(text: &[u8; 12]) -> Option<Self> {
        let [b'R', b'F', b'B', b' ', major @ .., b'.', a, b, c, b'\n'] = text else {
            return None;
        };
        let number = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).ok()?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok())?
        };
        match (number(major)?, number(&[*a, *b, *c])?) {
            (3, ..=6) => Some(Version::V33),
            (3, 7) => Some(Version::V37),
            (3.., _) => Some(Version::V38),
            _ => None,
        }
    }
}

pub(crate) const SECURITY_NONE: u8 = 1;
pub(crate) const SECURITY_VNC: u8 = 2;

/// The display's size, pixels and name, as the server announces them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInit {
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
    /// PIXEL_FORMAT, as it came.
    pub pixel_format: [u8; 16],
    /// The desktop's name. Meant to be UTF-8.
    pub name: Vec<u8>,
}

impl ServerInit {
    /// Without its name, but with the name's length.
    pub(crate) const FIXED: usize = 24;

    /// The message, as it came or as it is to be sent on.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::FIXED + self.name.len());
        out.extend_from_slice(&self.width.to_be_bytes());
        out.extend_from_slice(&self.height.to_be_bytes());
        out.extend_from_slice(&self.pixel_format);
        let length = u32::try_from(self.name.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.name);
        out
    }

    pub(crate) fn fixed(bytes: &[u8; Self::FIXED]) -> Self {
        let mut pixel_format = [0; 16];
        pixel_format.copy_from_slice(&bytes[4..20]);
        let (width, height) = (u16_at(bytes, 0), u16_at(bytes, 2));
        Self { width, height, pixel_format, name: Vec::new() }
    }
}
