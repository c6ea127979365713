//! A display server that costs next to nothing: it sends prepared bytes.
//!
//! A whole update is 4 MiB of raw pixels; a key that is pressed is answered by a 16 × 16 square, as an
//! echoed letter would be. It takes any VNC password, so that any relay's will do.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, thread};

const SIDE: u16 = 1024;
const LETTER: u16 = 16;
/// Bytes of the answer to a request for a whole update.
pub const FRAME: usize = update_size(SIDE);
/// Bytes of the answer to a key.
pub const KEY_ANSWER: usize = update_size(LETTER);

/// A listening display server. Its socket is gone with it; a connection lives until its viewer goes.
pub struct FakeDisplay {
    socket: PathBuf,
}

impl FakeDisplay {
    /// Listens at `socket`, in place of whatever listens there now.
    pub fn start(socket: &Path) -> io::Result<Self> {
        // Bound beside it and moved there: a relay finds the old one or the new one, never none.
        let mut beside = socket.as_os_str().to_owned();
        beside.push("~");
        let listener = UnixListener::bind(&beside)?;
        fs::rename(&beside, socket)?;
        let answers = Arc::new(Answers { frame: update(SIDE), letter: update(LETTER) });
        thread::spawn(move || {
            for viewer in listener.incoming().flatten() {
                let answers = answers.clone();
                // Ends with an error when its viewer goes, as all of them do.
                thread::spawn(move || serve(viewer, &answers));
            }
        });
        Ok(Self { socket: socket.to_owned() })
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for FakeDisplay {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

struct Answers {
    frame: Vec<u8>,
    letter: Vec<u8>,
}

const fn update_size(side: u16) -> usize {
    4 + 12 + 4 * side as usize * side as usize
}

/// A FramebufferUpdate with one raw square (RFC 6143, 7.6.1).
fn update(side: u16) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 1];
    for field in [0, 0, side, side, 0, 0] {
        out.extend(field.to_be_bytes());
    }
    // Not all alike, should anything on the way compress.
    let mut pixel = 1_u32;
    while out.len() < update_size(side) {
        pixel = pixel.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out.extend(pixel.to_be_bytes());
    }
    out
}

fn serve(viewer: UnixStream, answers: &Answers) -> io::Result<()> {
    let mut input = BufReader::new(viewer.try_clone()?);
    let mut output = viewer;
    greet(&mut input, &mut output)?;
    loop {
        let [kind] = take(&mut input)?;
        match kind {
            // SetPixelFormat, SetEncodings
            0 => skip(&mut input, 19)?,
            2 => {
                let [_, a, b] = take(&mut input)?;
                skip(&mut input, 4 * u64::from(u16::from_be_bytes([a, b])))?;
            }
            // FramebufferUpdateRequest
            3 => {
                let [incremental, ..] = take::<9>(&mut input)?;
                if incremental == 0 {
                    output.write_all(&answers.frame)?;
                }
            }
            // KeyEvent, PointerEvent
            4 => {
                let [down, ..] = take::<7>(&mut input)?;
                if down != 0 {
                    output.write_all(&answers.letter)?;
                }
            }
            5 => skip(&mut input, 5)?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Version 3.8, a VNC password, ServerInit (RFC 6143, 7.1 to 7.3).
fn greet(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    output.write_all(b"RFB 003.008\n")?;
    let _: [u8; 12] = take(input)?;
    output.write_all(&[1, 2])?;
    let [_chosen] = take(input)?;
    output.write_all(&[0x5a; 16])?;
    let _: [u8; 16] = take(input)?;
    output.write_all(&[0; 4])?;
    let [_shared] = take(input)?;
    let mut init = Vec::new();
    init.extend(SIDE.to_be_bytes());
    init.extend(SIDE.to_be_bytes());
    init.extend([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]);
    init.extend(5_u32.to_be_bytes());
    init.extend(b"bench");
    output.write_all(&init)
}

fn take<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn skip(input: &mut impl Read, length: u64) -> io::Result<()> {
    io::copy(&mut input.take(length), &mut io::sink()).map(drop)
}
