//! bin/abide
fn main() {}
