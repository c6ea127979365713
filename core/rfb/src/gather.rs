//! Collects a known number of bytes out of pieces of any size.

/// Bytes of something that has not come whole yet.
#[derive(Debug, Default)]
pub(crate) struct Gather(Vec<u8>);

impl Gather {
    /// Takes from `input` what is missing to `length` bytes. Gives them once they are all there,
    /// and is empty again then. Ask with the same length until it does; the caller bounds it.
    pub(crate) fn take(&mut self, input: &mut &[u8], length: usize) -> Option<Vec<u8>> {
        let missing = length.saturating_sub(self.0.len());
        let (now, later) = input.split_at(missing.min(input.len()));
        self.0.extend_from_slice(now);
        *input = later;
        (self.0.len() == length).then(|| std::mem::take(&mut self.0))
    }

    /// [`Gather::take`], for a length that is known here.
    pub(crate) fn array<const N: usize>(&mut self, input: &mut &[u8]) -> Option<[u8; N]> {
        self.take(input, N)?.try_into().ok()
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
