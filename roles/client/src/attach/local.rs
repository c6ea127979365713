//! The local end of a desktop: a viewer of our own, a socket, or a port behind a password.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use abide_rfb::{ServerHandshake, ServerSecurity, VncPassword};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{AttachError, Viewer};

/// Clients that are at their password at the same time; more wait in the kernel's queue.
const AT_THE_DOOR: usize = 64;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(30);
/// What a wrong password costs; VNC's is short.
const WRONG_PASSWORD_COSTS: Duration = Duration::from_secs(1);

/// Where the client comes from.
#[derive(Debug)]
pub enum Local {
    /// TigerVNC's viewer, started for each line.
    Viewer(Box<Viewer>),
    /// Whoever may open this Unix socket: its owner.
    Socket(Socket),
    /// Whoever reaches this port and knows the password.
    Port(TcpListener, OneTimePassword),
}

/// A Unix socket that goes with its value.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// A VNC password, made for one `abide connect`.
#[derive(Clone)]
pub struct OneTimePassword(Zeroizing<String>);

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A client that wants the desktop.
pub(super) struct Client {
    pub stream: Box<dyn Duplex>,
    /// What it has sent already, beyond the handshake.
    pub early: Vec<u8>,
    introduced: bool,
}

impl Client {
    fn raw(stream: impl Duplex + 'static) -> Self {
        Self { stream: Box::new(stream), early: Vec::new(), introduced: false }
    }

    /// Whether its RFB handshake ended here, and it waits for ServerInit.
    pub(super) fn is_introduced(&self) -> bool {
        self.introduced
    }
}

impl Local {
    /// A port on this computer alone.
    ///
    /// # Errors
    /// `InvalidInput` for an address that others reach; else whatever binding says.
    pub async fn port(address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let why = "only this computer may reach the port: use 127.0.0.1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let listener = TcpListener::bind(address).await?;
        Ok(Local::Port(listener, OneTimePassword::random()))
    }

    /// Whether clients come by themselves, again and again, and the line is opened for them.
    pub(super) fn waits_for_its_client(&self) -> bool {
        match self {
            Local::Viewer(_) => false,
            Local::Socket(_) | Local::Port(..) => true,
        }
    }

    pub(super) async fn client(&mut self) -> Result<Client, AttachError> {
        match self {
            Local::Viewer(viewer) => viewer.start().await.map(Client::raw),
            Local::Socket(socket) => {
                let accepted = socket.listener.accept().await;
                accepted.map(|(stream, _)| Client::raw(stream)).map_err(AttachError::Local)
            }
            Local::Port(listener, password) => {
                through_the_door(listener, password).await.map_err(AttachError::Local)
            }
        }
    }

    /// The client's connection has been closed.
    pub(super) async fn let_go(&mut self) {
        if let Local::Viewer(viewer) = self {
            viewer.let_go().await;
        }
    }
}

impl Socket {
    /// Makes the socket, for its owner alone. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `AddrInUse` if there is a file already, which stays as it is; else whatever binding says.
    pub fn bind(path: PathBuf) -> io::Result<Self> {
        // Bound under another name in a folder of its own: it is never open to others.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.map_or_else(|| PathBuf::from("."), PathBuf::from);
        let hidden = tempfile::Builder::new().prefix(".abide-").tempdir_in(parent)?;
        let first = hidden.path().join("s");
        let listener = UnixListener::bind(&first)?;
        fs::set_permissions(&first, fs::Permissions::from_mode(0o600))?;
        // Unlike a rename, a link replaces nothing.
        fs::hard_link(&first, &path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::ErrorKind::AddrInUse.into(),
            _ => error,
        })?;
        Ok(Self { listener, path })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Whoever removed it before us did what is done here.
        let _ = fs::remove_file(&self.path);
    }
}

impl OneTimePassword {
    /// Eight characters, 40 random bits; none of them is taken for another.
    fn random() -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789-";
        let random = Uuid::new_v4().into_bytes();
        // Bytes 6 and 8 of a version 4 UUID are not all random.
        let text = [0, 1, 2, 3, 4, 5, 10, 11].map(|at: usize| {
            let letter = LETTERS[usize::from(random[at] % 32)];
            char::from(letter)
        });
        Self(text.iter().collect::<String>().into())
    }

    /// To be shown to the person, once.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OneTimePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimePassword(not shown)")
    }
}

/// The first client that knows the password. Those that stand there without a word block nobody.
async fn through_the_door(
    listener: &TcpListener,
    password: &OneTimePassword,
) -> io::Result<Client> {
    let mut at_the_door = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if at_the_door.len() < AT_THE_DOOR => {
                let (stream, _) = accepted?;
                let password = VncPassword::new(password.text());
                let asked = tokio::time::timeout(HANDSHAKE_WITHIN, ask(stream, password));
                at_the_door.spawn(asked);
            }
            Some(answered) = at_the_door.join_next() => {
                if let Ok(Ok(Some(client))) = answered {
                    return Ok(client);
                }
            }
        }
    }
}

/// Goes through RFB's handshake with this client up to ClientInit.
async fn ask(mut stream: TcpStream, password: VncPassword) -> Option<Client> {
    let challenge = Uuid::new_v4().into_bytes();
    let mut handshake = ServerHandshake::new(ServerSecurity::VncAuth { password, challenge });
    stream.set_nodelay(true).ok()?;
    stream.write_all(ServerHandshake::GREETING).await.ok()?;
    let mut piece = [0; 256];
    loop {
        let length = stream.read(&mut piece).await.ok().filter(|length| *length > 0)?;
        let (mut rest, mut answer) = (&piece[..length], Vec::new());
        let step = handshake.feed(&mut rest, &mut answer);
        if step.is_err() {
            tokio::time::sleep(WRONG_PASSWORD_COSTS).await;
        }
        stream.write_all(&answer).await.ok()?;
        if step.ok()?.is_some() {
            let early = rest.to_vec();
            return Some(Client { stream: Box::new(stream), early, introduced: true });
        }
    }
}
