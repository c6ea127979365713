//! Chance, from the system.

/// Random bytes for secrets.
///
/// # Panics
/// When the system has none to give.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source works");
    bytes
}
