//! The description that is checked in is the one that brokers give.

#[test]
fn the_checked_in_description_is_the_servers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/api/openapi.json");
    let checked_in = std::fs::read_to_string(path).unwrap();
    let served = abide_broker::openapi().to_pretty_json().unwrap() + "\n";
    assert!(checked_in == served, "it differs: `cargo xtask openapi` writes it anew");
}
