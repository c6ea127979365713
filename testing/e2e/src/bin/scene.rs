//! A desktop of one program: a photo, a bar that moves, and a patch that shows the last key.

use std::time::{Duration, Instant};

use abide_e2e::scene::{
    BACKGROUND, BAR, BAR_COLOUR, NO_KEY, PATCH, PATCH_X, RATE, TRACK, TRACK_LENGTH, TRACK_Y,
    colour_of, photo,
};
use abide_e2e::x::draw;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ChangeGCAux, ConfigureWindowAux, ConnectionExt, CreateGCAux, CreateWindowAux, EventMask,
    Gcontext, Rectangle, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

fn main() -> anyhow::Result<()> {
    let (connection, screen) = x11rb::connect(None)?;
    let mut scene = Scene::show(&connection, screen)?;
    let frame = Duration::from_secs(1) / RATE;
    let mut next = Instant::now();
    for step in 0u32.. {
        while let Some(event) = connection.poll_for_event()? {
            scene.answer(&event)?;
        }
        scene.move_bar(step)?;
        next += frame;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

struct Scene<'a> {
    connection: &'a RustConnection,
    root: Window,
    window: Window,
    gc: Gcontext,
    patch: [u8; 3],
}

impl<'a> Scene<'a> {
    fn show(connection: &'a RustConnection, screen: usize) -> anyhow::Result<Self> {
        let screen = &connection.setup().roots[screen];
        let (window, gc) = (connection.generate_id()?, connection.generate_id()?);
        let looks = CreateWindowAux::new()
            .override_redirect(1)
            .background_pixel(pixel(BACKGROUND))
            .event_mask(EventMask::EXPOSURE | EventMask::KEY_PRESS);
        let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
        let class = WindowClass::INPUT_OUTPUT;
        connection.create_window(
            0,
            window,
            screen.root,
            0,
            0,
            width,
            height,
            0,
            class,
            0,
            &looks,
        )?;
        connection.create_gc(gc, window, &CreateGCAux::new().graphics_exposures(0))?;
        // The screen may get another size, as viewers ask for.
        let watch = x11rb::protocol::xproto::ChangeWindowAttributesAux::new();
        let watch = watch.event_mask(EventMask::STRUCTURE_NOTIFY);
        connection.change_window_attributes(screen.root, &watch)?;
        connection.map_window(window)?;
        connection.flush()?;
        Ok(Self { connection, root: screen.root, window, gc, patch: NO_KEY })
    }

    fn answer(&mut self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::Expose(_) => {
                draw(self.connection, self.window, self.gc, (0, 0), &photo())?;
                self.fill(self.patch, PATCH_X, 0, PATCH, PATCH)?;
            }
            Event::ConfigureNotify(it) if it.window == self.root => {
                let size = ConfigureWindowAux::new()
                    .width(u32::from(it.width))
                    .height(u32::from(it.height));
                self.connection.configure_window(self.window, &size)?;
            }
            Event::KeyPress(key) => {
                let map = self.connection.get_keyboard_mapping(key.detail, 1)?.reply()?;
                let keysym = map.keysyms.first().copied().unwrap_or_default();
                self.patch = colour_of(keysym);
                self.fill(self.patch, PATCH_X, 0, PATCH, PATCH)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The bar is `step` pictures into its way, which begins anew at the track's end.
    fn move_bar(&self, step: u32) -> anyhow::Result<()> {
        let at = |step: u32| (step.wrapping_mul(4) % u32::from(TRACK_LENGTH - BAR)) as u16;
        self.fill(BACKGROUND, at(step.wrapping_sub(1)), TRACK_Y, BAR, TRACK)?;
        self.fill(BAR_COLOUR, at(step), TRACK_Y, BAR, TRACK)?;
        Ok(self.connection.flush()?)
    }

    fn fill(&self, colour: [u8; 3], x: u16, y: u16, width: u16, height: u16) -> anyhow::Result<()> {
        self.connection.change_gc(self.gc, &ChangeGCAux::new().foreground(pixel(colour)))?;
        let area = Rectangle { x: x.cast_signed(), y: y.cast_signed(), width, height };
        self.connection.poly_fill_rectangle(self.window, self.gc, &[area])?;
        Ok(())
    }
}

fn pixel([red, green, blue]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, red, green, blue])
}
