//! bin/abide-keeper
fn main() {}
