//! Pictures of screens, and how far one is from another.

use anyhow::ensure;

/// A picture, line by line from the top left, four bytes a pixel: red, green, blue, and one that does
/// not count.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u16,
    height: u16,
    rgba: Vec<u8>,
}

/// How far one picture is from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The mean over all pixels and colours, of 255.
    pub mean: f64,
    /// The share of the pixels with a colour that is off by more than [`NOTICEABLE`].
    pub share: f64,
}

/// What JPEG does to smooth content stays below it; a wrong pixel seldom does. Of 255.
pub const NOTICEABLE: u8 = 24;

impl Image {
    /// A picture of these pixels.
    ///
    /// # Errors
    /// When their number does not fit the size.
    pub fn new(width: u16, height: u16, rgba: Vec<u8>) -> anyhow::Result<Self> {
        let wanted = 4 * usize::from(width) * usize::from(height);
        ensure!(rgba.len() == wanted, "{} bytes for {width}×{height} pixels", rgba.len());
        Ok(Self { width, height, rgba })
    }

    /// In pixels.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// In pixels.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// Red, green and blue. Outside the picture all is black.
    pub fn pixel(&self, x: u16, y: u16) -> [u8; 3] {
        let at = 4 * (usize::from(y) * usize::from(self.width) + usize::from(x));
        match self.rgba.get(at..at + 3) {
            Some(&[red, green, blue]) if x < self.width => [red, green, blue],
            _ => [0; 3],
        }
    }

    /// A part of it, cut off where the picture ends.
    pub fn part(&self, x: u16, y: u16, width: u16, height: u16) -> Self {
        let width = width.min(self.width.saturating_sub(x));
        let height = height.min(self.height.saturating_sub(y));
        let mut rgba = Vec::with_capacity(4 * usize::from(width) * usize::from(height));
        for row in y..y + height {
            let at = 4 * (usize::from(row) * usize::from(self.width) + usize::from(x));
            rgba.extend_from_slice(&self.rgba[at..at + 4 * usize::from(width)]);
        }
        Self { width, height, rgba }
    }

    /// How far the other is from this one.
    ///
    /// # Errors
    /// When they are not of the same size.
    pub fn difference(&self, other: &Self) -> anyhow::Result<Difference> {
        ensure!(
            (self.width, self.height) == (other.width, other.height),
            "{}×{} against {}×{} pixels",
            self.width,
            self.height,
            other.width,
            other.height
        );
        let (mut sum, mut noticeable) = (0u64, 0u64);
        for (mine, theirs) in self.rgba.chunks_exact(4).zip(other.rgba.chunks_exact(4)) {
            let off = [0, 1, 2].map(|n| mine[n].abs_diff(theirs[n]));
            sum += off.iter().map(|&it| u64::from(it)).sum::<u64>();
            noticeable += u64::from(off.iter().any(|&it| it > NOTICEABLE));
        }
        let pixels = (self.rgba.len() / 4).max(1) as f64;
        Ok(Difference { mean: sum as f64 / (3.0 * pixels), share: noticeable as f64 / pixels })
    }

    /// Where a part of it looks most like this one, if any does; not by every pixel, but by some
    /// spread over it.
    pub fn find(&self, part: &Self) -> Option<(u16, u16)> {
        let step = |size: u16| usize::from(size / 8).max(1);
        let rows = (0..part.height).step_by(step(part.height));
        let points: Vec<_> = rows
            .flat_map(|y| (0..part.width).step_by(step(part.width)).map(move |x| (x, y)))
            .map(|(x, y)| (x, y, part.pixel(x, y)))
            .collect();
        let distance = |left: u16, top: u16| {
            points.iter().try_fold(0u32, |sum, &(x, y, wanted)| {
                let found = self.pixel(left + x, top + y);
                let off = [0, 1, 2].map(|n| found[n].abs_diff(wanted[n]));
                let fits = off.iter().all(|&it| it <= NOTICEABLE);
                fits.then(|| sum + off.iter().map(|&it| u32::from(it)).sum::<u32>())
            })
        };
        let across = 0..=self.width.checked_sub(part.width)?;
        let places = (0..=self.height.checked_sub(part.height)?)
            .flat_map(|top| across.clone().map(move |left| (left, top)));
        places.filter_map(|at| Some((distance(at.0, at.1)?, at))).min().map(|(_, at)| at)
    }

    /// How many different colours it has.
    pub fn colours(&self) -> usize {
        let pixels = self.rgba.chunks_exact(4).map(|it| [it[0], it[1], it[2]]);
        pixels.collect::<std::collections::HashSet<_>>().len()
    }
}

/// The size alone: nobody reads a million pixels.
impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}×{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(colour: [u8; 3]) -> Image {
        let [red, green, blue] = colour;
        Image::new(2, 2, [red, green, blue, 255].repeat(4)).unwrap()
    }

    #[test]
    fn a_difference_is_a_mean_and_a_share() {
        let black = plain([0, 0, 0]);
        let mut other = black.clone();
        other.rgba[..3].copy_from_slice(&[120, 0, 0]);
        let difference = black.difference(&other).unwrap();
        assert_eq!(difference, Difference { mean: 10.0, share: 0.25 });
        assert_eq!(black.difference(&black).unwrap(), Difference { mean: 0.0, share: 0.0 });
        assert!(black.difference(&black.part(0, 0, 1, 2)).is_err());
    }

    #[test]
    fn a_part_is_found_where_it_is() {
        let photo = crate::scene::photo();
        let part = photo.part(70, 31, 40, 40);
        assert_eq!(photo.find(&part), Some((70, 31)));
        assert_eq!(part.find(&photo), None);
        assert_eq!(plain([0, 0, 0]).find(&plain([200, 0, 0])), None);
    }

    #[test]
    fn a_part_is_cut_off_where_the_picture_ends() {
        let part = plain([1, 2, 3]).part(1, 1, 9, 9);
        assert_eq!((part.width(), part.height()), (1, 1));
        assert_eq!(part.pixel(0, 0), [1, 2, 3]);
        assert_eq!(part.pixel(1, 0), [0, 0, 0]);
    }
}
