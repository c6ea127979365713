//! `abide-lab`.
fn main() {}
