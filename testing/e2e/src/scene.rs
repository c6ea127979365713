//! The picture that the scene program shows, as numbers: for the program, and for those who look.
//!
//! ```text
//! ┌───────────┬──────────┐
//! │   photo   │   patch  │   the patch has the colour of the last key
//! ├───────────┴──────────┤
//! │ ░░░░░░█░░░░░░░░░░░░░ │   the bar never stands still
//! └──────────────────────┘
//! ```

use crate::image::Image;

/// Width and height of the photo, in pixels.
pub const PHOTO: u16 = 256;
/// Where the patch begins, from the left.
pub const PATCH_X: u16 = 288;
/// Width and height of the patch.
pub const PATCH: u16 = 96;
/// Where the bar's track begins, from the top.
pub const TRACK_Y: u16 = 288;
/// The track's height.
pub const TRACK: u16 = 16;
/// The track's length.
pub const TRACK_LENGTH: u16 = 480;
/// The bar's width.
pub const BAR: u16 = 32;
/// Pictures a second.
pub const RATE: u32 = 60;

/// Behind everything.
pub const BACKGROUND: [u8; 3] = [24, 40, 56];
/// The bar.
pub const BAR_COLOUR: [u8; 3] = [250, 210, 60];
/// The patch before any key.
pub const NO_KEY: [u8; 3] = [90, 90, 90];

/// What the patch shows after a key. Far apart for any two letters that are not neighbours.
pub fn colour_of(keysym: u32) -> [u8; 3] {
    let byte = keysym.to_le_bytes()[0];
    [byte.wrapping_mul(37), byte.wrapping_mul(101), byte.wrapping_mul(173)]
}

/// A picture as a camera makes them: soft light, hard edges, and grain everywhere, so that no two
/// neighbours are alike and nothing but JPEG makes it small.
pub fn photo() -> Image {
    let mut rgba = Vec::with_capacity(4 * usize::from(PHOTO) * usize::from(PHOTO));
    let mut grain = 1u32;
    for y in 0..i32::from(PHOTO) {
        for x in 0..i32::from(PHOTO) {
            grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (grain >> 28) as i32 - 8;
            let (from_x, from_y) = (x - 150, y - 110);
            let in_ball = from_x * from_x + from_y * from_y < 70 * 70;
            let light = if in_ball { 200 - (from_x + from_y) / 2 } else { 40 + y / 3 };
            for tint in [light + x / 8, light, light + 60 - y / 4] {
                rgba.push((tint + noise).clamp(0, 255) as u8);
            }
            rgba.push(255);
        }
    }
    Image::new(PHOTO, PHOTO, rgba).unwrap_or_else(|_| unreachable!("four bytes a pixel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_photo_is_like_one() {
        assert!(photo().colours() > 10_000, "{}", photo().colours());
    }

    #[test]
    fn letters_have_colours_of_their_own() {
        let colours = ('a'..='z').map(|it| colour_of(it.into()));
        assert_eq!(colours.collect::<std::collections::HashSet<_>>().len(), 26);
    }
}
