//! Chance, from the seed and from nowhere else.
//!
//! The simulation draws from [`Chance`]. Whatever it uses draws too: `HashMap`s, UUIDs, tokio's `select!`
//! and `watch`. All of them are seeded by the C function `getrandom`, which the standard library calls by
//! its symbol so that it can be replaced, and which this program replaces. So neither openraft nor tokio
//! has to be built in a way of its own (`--cfg tokio_unstable`). tokio also counts its runtimes, hence one
//! process for each seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

static STATE: AtomicU64 = AtomicU64::new(0);

/// Stands in for the C library's.
///
/// # Safety
/// `buffer` is valid for writing `length` bytes, as of getrandom(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for at in 0..length {
        let mixed = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let byte = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56;
        // SAFETY: `at` is below `length`, for which the caller vouches.
        unsafe { buffer.add(at).write(byte as u8) };
    }
    length.cast_signed()
}

/// Seeds everything but [`Chance`]. Must come first, in a new thread.
pub fn seed(seed: u64) {
    STATE.store(seed.wrapping_mul(0xd134_2543_de82_ef95), Ordering::Relaxed);
}

/// The generator that everything in one run draws from.
pub struct Chance(Mutex<fastrand::Rng>);

impl Chance {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    /// True in so many of a thousand cases.
    pub fn per_mille(&self, share: u32) -> bool {
        self.below(1000) < u64::from(share)
    }

    /// A number from 0, below `end`.
    pub fn below(&self, end: u64) -> u64 {
        self.draw(|rng| rng.u64(0..end))
    }

    /// A duration between two numbers of milliseconds.
    pub fn millis(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }

    /// Any number.
    pub fn number(&self) -> u128 {
        self.draw(|rng| rng.u128(..))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
