//! What the X server of a session itself says: the truth that pictures elsewhere are held against.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, ensure};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt, ImageFormat, Window};
use x11rb::rust_connection::{DefaultStream, RustConnection};

use crate::image::Image;
use crate::processes;

/// A client of a session's X server.
pub struct Display {
    connection: RustConnection,
    root: Window,
}

impl Display {
    /// Connects as the session's programs do: their environment says where to, and with what.
    ///
    /// # Errors
    /// When no program of the session is there, or the X server does not let it in.
    pub fn of_session(session: &str) -> anyhow::Result<Self> {
        let environments = processes::of_session(session).into_iter().map(|it| it.environment());
        let (display, authority) = environments
            .filter_map(|mut it| Some((it.remove("DISPLAY")?, it.remove("XAUTHORITY")?)))
            .next()
            .context("no process of the session has a DISPLAY")?;
        Self::connect(&display, Path::new(&authority))
    }

    /// Connects to `display`, such as `:7`, with the first cookie in `authority`.
    ///
    /// # Errors
    /// When the X server does not let it in.
    pub fn connect(display: &str, authority: &Path) -> anyhow::Result<Self> {
        let number = display.trim_start_matches(':').split('.').next().unwrap_or_default();
        let (name, cookie) = first_cookie(authority)?;
        let socket = UnixStream::connect(format!("/tmp/.X11-unix/X{number}"))?;
        let (stream, _) = DefaultStream::from_unix_stream(socket)?;
        let connection = RustConnection::connect_to_stream_with_auth_info(stream, 0, name, cookie)?;
        let root = connection.setup().roots[0].root;
        Ok(Self { connection, root })
    }

    /// What is on the screen now, without the pointer.
    ///
    /// # Errors
    /// When the X server does not say, or not in 32 bits a pixel.
    pub fn screen(&self) -> anyhow::Result<Image> {
        let size = self.connection.get_geometry(self.root)?.reply()?;
        let (width, height) = (size.width, size.height);
        let reply = self
            .connection
            .get_image(ImageFormat::Z_PIXMAP, self.root, 0, 0, width, height, u32::MAX)?
            .reply()?;
        let mut rgba = reply.data;
        for pixel in rgba.chunks_exact_mut(4) {
            // X has blue first in memory.
            pixel.swap(0, 2);
            pixel[3] = 255;
        }
        Image::new(width, height, rgba)
    }

    /// The classes (ICCCM, 4.1.2.5) of the windows that can be seen.
    ///
    /// # Errors
    /// When the X server does not say.
    pub fn visible_classes(&self) -> anyhow::Result<Vec<String>> {
        let mut classes = Vec::new();
        let mut left = vec![self.root];
        while let Some(window) = left.pop() {
            // A window may go while it is looked at.
            let Ok(tree) = self.connection.query_tree(window)?.reply() else { continue };
            left.extend(tree.children);
            let Ok(attributes) = self.connection.get_window_attributes(window)?.reply() else {
                continue;
            };
            if attributes.map_state != x11rb::protocol::xproto::MapState::VIEWABLE {
                continue;
            }
            let class = self
                .connection
                .get_property(false, window, AtomEnum::WM_CLASS, AtomEnum::STRING, 0, 256)?
                .reply();
            if let Ok(class) = class
                && let Some(class) = class.value.split(|it| *it == 0).nth(1)
            {
                classes.push(String::from_utf8_lossy(class).into_owned());
            }
        }
        Ok(classes)
    }
}

/// The first entry of an authority file: its method and its secret (Xau's file format).
fn first_cookie(authority: &Path) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let bytes = fs::read(authority).with_context(|| format!("{}", authority.display()))?;
    let mut rest = bytes.get(2..).context("the authority file is empty")?;
    let mut field = || {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (field, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        rest = after;
        Some(field.to_vec())
    };
    let fields = [field(), field(), field(), field()];
    let [_, _, Some(name), Some(cookie)] = fields else {
        anyhow::bail!("the authority file ends early");
    };
    ensure!(!cookie.is_empty(), "the cookie is empty");
    Ok((name, cookie))
}
