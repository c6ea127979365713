//! What the X server of a session itself says: the truth that pictures elsewhere are held against.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, ensure};
use x11rb::NONE;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt, CreateGCAux, CreateWindowAux, Drawable, Gcontext, ImageFormat,
    InputFocus, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, MapState, Window, WindowClass,
};
use x11rb::protocol::xtest::ConnectionExt as _;
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
        let (name, cookie) = first_cookie(authority)?;
        Self::open(display, name, cookie)
    }

    /// Connects to `display` where the X server asks for nothing.
    ///
    /// # Errors
    /// When the X server does not let it in.
    pub fn connect_freely(display: &str) -> anyhow::Result<Self> {
        Self::open(display, Vec::new(), Vec::new())
    }

    fn open(display: &str, name: Vec<u8>, cookie: Vec<u8>) -> anyhow::Result<Self> {
        let number = display.trim_start_matches(':').split('.').next().unwrap_or_default();
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

    /// Shows a picture over everything else, its corner at `x`, `y`, as long as this client lives.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn show(&self, x: i16, y: i16, image: &Image) -> anyhow::Result<()> {
        let connection = &self.connection;
        let (window, gc) = (connection.generate_id()?, connection.generate_id()?);
        let pixmap = connection.generate_id()?;
        let (width, height) = (image.width(), image.height());
        let depth = connection.get_geometry(self.root)?.reply()?.depth;
        connection.create_pixmap(depth, pixmap, self.root, width, height)?;
        connection.create_gc(gc, pixmap, &CreateGCAux::new())?;
        draw(connection, pixmap, gc, (0, 0), image)?;
        let looks = CreateWindowAux::new().override_redirect(1).background_pixmap(pixmap);
        let class = WindowClass::INPUT_OUTPUT;
        connection.create_window(0, window, self.root, x, y, width, height, 0, class, 0, &looks)?;
        connection.map_window(window)?;
        // A reply to a later request: by then it is shown.
        connection.get_input_focus()?.reply()?;
        Ok(())
    }

    /// Gives the keyboard to the topmost window, as a window manager would.
    ///
    /// # Errors
    /// When there is no window.
    pub fn focus(&self) -> anyhow::Result<()> {
        let connection = &self.connection;
        let windows = connection.query_tree(self.root)?.reply()?.children;
        let shown = |window: &&Window| {
            let attributes = connection.get_window_attributes(**window);
            let attributes = attributes.ok().and_then(|it| it.reply().ok());
            attributes.is_some_and(|it| it.map_state == MapState::VIEWABLE)
        };
        let top = windows.iter().rev().find(shown).context("no window is shown")?;
        connection.set_input_focus(InputFocus::POINTER_ROOT, *top, x11rb::CURRENT_TIME)?.check()?;
        Ok(())
    }

    /// Presses a key and lets it go, as a keyboard of this X server would.
    ///
    /// # Errors
    /// When no key gives this `keysym` without a modifier.
    pub fn press(&self, keysym: u32) -> anyhow::Result<()> {
        let setup = self.connection.setup();
        let (first, last) = (setup.min_keycode, setup.max_keycode);
        let map = self.connection.get_keyboard_mapping(first, last - first + 1)?.reply()?;
        let mut rows = map.keysyms.chunks(map.keysyms_per_keycode.max(1).into());
        let row = rows.position(|row| row.first() == Some(&keysym));
        let key = first + u8::try_from(row.context("no such key")?)?;
        for kind in [KEY_PRESS_EVENT, KEY_RELEASE_EVENT] {
            self.connection.xtest_fake_input(kind, key, x11rb::CURRENT_TIME, NONE, 0, 0, 0)?;
        }
        Ok(self.connection.flush()?)
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
            if attributes.map_state != MapState::VIEWABLE {
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

/// Draws a picture into a window or pixmap of 32 bits a pixel, its corner at `x`, `y`.
///
/// # Errors
/// When the connection is gone.
pub fn draw(
    connection: &impl Connection,
    drawable: Drawable,
    gc: Gcontext,
    (x, y): (i16, i16),
    image: &Image,
) -> anyhow::Result<()> {
    let depth = connection.get_geometry(drawable)?.reply()?.depth;
    let format = ImageFormat::Z_PIXMAP;
    for row in 0..image.height() {
        // X has blue first in memory.
        let line = (0..image.width()).flat_map(|column| {
            let [red, green, blue] = image.pixel(column, row);
            [blue, green, red, 0]
        });
        let line: Vec<u8> = line.collect();
        let at = y + row.cast_signed();
        connection.put_image(format, drawable, gc, image.width(), 1, x, at, 0, depth, &line)?;
    }
    Ok(connection.flush()?)
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
