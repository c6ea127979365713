//! What is refused at the start, and that this changes nothing.

use super::hosts::{Net, Process, V4, V6, addresses, ip};

/// What a process that starts with more arguments of setpriv, for this interface, is told.
fn refusal(with: &[&str], interface: &str) -> String {
    let before = (addresses("a"), ip("-n a -j address show dev lo"));
    let said = Process::new("a", with, "hold", interface).says();
    assert_eq!((addresses("a"), ip("-n a -j address show dev lo")), before);
    said
}

#[test]
fn an_interface_that_is_missing_or_cannot_announce_is_refused() {
    let Some(_net) = Net::new(&["a"]) else { return };
    let missing = refusal(&[], "eth1");
    assert!(missing.starts_with("cannot use the interface eth1: there is no such"), "{missing}");
    assert!(missing.contains("lo, eth0"), "{missing}");
    assert!(refusal(&[], "lo").contains("no Ethernet interface"));
}

#[test]
fn an_address_that_somebody_else_put_on_the_host_is_refused() {
    let Some(_net) = Net::new(&["a"]) else { return };
    for (address, wrong, interface) in [
        (V4, "/32", "eth0"),
        (V6, "/128", "eth0"),
        (V4, "/24 valid_lft 60 preferred_lft 60", "eth0"),
        (V6, "/64 valid_lft 60 preferred_lft 60", "eth0"),
        (V4, "/32 valid_lft 60 preferred_lft 60", "lo"),
    ] {
        let (prefix, rest) = wrong.split_once(' ').unwrap_or((wrong, ""));
        let whole = format!("{address}{prefix} dev {interface} {rest}");
        ip(&format!("-n a address add {}", whole.trim_end()));
        let said = refusal(&[], "eth0");
        assert!(said.contains(&format!("{address}{prefix} is on this host already")), "{said}");
        ip(&format!("-n a address delete {address}{prefix} dev {interface}"));
    }
}

#[test]
fn a_missing_capability_is_named() {
    let Some(_net) = Net::new(&["a"]) else { return };
    for capability in ["net_raw", "net_admin"] {
        let said = refusal(&["--bounding-set", &format!("-{capability}")], "eth0");
        assert!(said.contains(&format!("CAP_{}", capability.to_uppercase())), "{said}");
    }
}
