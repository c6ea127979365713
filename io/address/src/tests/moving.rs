//! Two hosts: the neighbours follow the address.

use nix::sys::signal::Signal;

use super::hosts::{Net, Process, V4, V6, has_both, mac, until};

#[test]
fn neighbours_follow_the_address_while_the_hung_holder_still_has_it() {
    let Some(net) = Net::new(&["a", "b"]) else { return };
    let (mut a, mut b) = (Process::holder("a"), Process::holder("b"));
    a.may_hold(true);
    until(|| has_both("a") == Some(true));
    for address in [V4, V6] {
        assert!(net.answers(address), "{address}");
        assert_eq!(net.neighbour(address), Some(mac("a")));
    }

    a.signal(Signal::SIGSTOP);
    b.may_hold(true);
    // The client sends nothing: only announcements can tell it.
    let moved = until(|| [V4, V6].iter().all(|it| net.neighbour(*it) == Some(mac("b"))));
    println!("both moved after {moved:?}");
    assert_eq!(has_both("a"), Some(true), "moved only after the kernel had removed it");
    assert!(net.answers(V4) && net.answers(V6));

    until(|| has_both("a") == Some(false));
    assert!([V4, V6].iter().all(|it| net.asks_for(*it) == Some(mac("b"))));

    // Awake again, it sees that it may not, and does not take it back.
    a.may_hold(false);
    a.signal(Signal::SIGCONT);
    a.stop();
    assert_eq!((has_both("a"), has_both("b")), (Some(false), Some(true)));
    assert!([V4, V6].iter().all(|it| net.asks_for(*it) == Some(mac("b"))));
}

#[test]
fn an_ordered_change_leaves_no_moment_with_two_holders() {
    let Some(net) = Net::new(&["a", "b"]) else { return };
    let (mut a, mut b) = (Process::holder("a"), Process::holder("b"));
    a.may_hold(true);
    until(|| has_both("a") == Some(true));
    assert!(net.answers(V4) && net.answers(V6));
    a.stop();
    assert_eq!(has_both("a"), Some(false));
    b.may_hold(true);
    until(|| [V4, V6].iter().all(|it| net.neighbour(*it) == Some(mac("b"))));
    assert!(net.answers(V4) && net.answers(V6));
}
