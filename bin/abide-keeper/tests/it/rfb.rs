//! A viewer's first words (RFC 6143, 7.1 and 7.2.2).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};

/// Whether the display server lets this password in.
pub fn lets_in(socket: impl AsRef<Path>, password: &str) -> bool {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut version = [0; 12];
    stream.read_exact(&mut version).unwrap();
    assert_eq!(&version, b"RFB 003.008\n");
    stream.write_all(&version).unwrap();

    let mut count = [0; 1];
    stream.read_exact(&mut count).unwrap();
    let mut kinds = vec![0; count[0].into()];
    stream.read_exact(&mut kinds).unwrap();
    assert_eq!(kinds, [2], "VncAuth and nothing else");
    stream.write_all(&[2]).unwrap();

    let mut challenge = [0; 16];
    stream.read_exact(&mut challenge).unwrap();
    let mut key = [0; 8];
    key.copy_from_slice(password.as_bytes());
    let des = Des::new(&key.map(u8::reverse_bits).into());
    for half in challenge.chunks_exact_mut(8) {
        let mut block = [0; 8];
        block.copy_from_slice(half);
        let mut block = block.into();
        des.encrypt_block(&mut block);
        half.copy_from_slice(&block);
    }
    stream.write_all(&challenge).unwrap();
    let mut result = [0; 4];
    stream.read_exact(&mut result).unwrap();
    result == [0; 4]
}
