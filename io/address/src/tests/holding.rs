//! One host: the address comes, stays, and goes.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::hosts::{Net, On, Process, V4, V6, addresses, has_both, ip, until};

/// From the last renewal; the kernel looks once a second at the latest. See docs/service-address.md.
const KERNEL: Duration = Duration::from_millis(3_250);

fn held(host: &str) -> impl Fn() -> bool {
    move || has_both(host) == Some(true)
}

fn free(host: &str) -> impl Fn() -> bool {
    move || has_both(host) == Some(false)
}

#[test]
fn the_address_is_one_hosts_alone_and_lives_two_seconds() {
    let Some(_net) = Net::new(&["a"]) else { return };
    let mut holder = Process::holder("a");
    holder.may_hold(true);
    until(held("a"));
    let found: Vec<On> = addresses("a");
    let of = |address| found.iter().find(|it| it.address == address).unwrap();
    assert_eq!((of(V4).prefix, of(V6).prefix), (32, 128));
    assert!(of(V4).valid <= 2 && of(V6).valid <= 2, "{found:?}");
    assert_eq!(of(V6).preferred, 0, "it would become the source of all that the host sends");
}

#[test]
fn renewals_keep_it_and_losing_the_lead_or_a_stop_removes_it_at_once() {
    let Some(_net) = Net::new(&["a"]) else { return };
    let own = addresses("a");
    let mut holder = Process::holder("a");
    holder.may_hold(true);
    until(held("a"));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        assert_eq!(has_both("a"), Some(true), "lost after {:?}", start.elapsed());
    }
    holder.may_hold(false);
    let took = until(free("a"));
    assert!(took < Duration::from_secs(1), "{took:?}: that was the kernel");
    assert_eq!(addresses("a"), own);

    holder.may_hold(true);
    until(held("a"));
    holder.stop();
    assert_eq!(addresses("a"), own);
}

#[test]
fn the_kernel_removes_it_from_a_process_that_hangs_or_was_killed() {
    let Some(_net) = Net::new(&["a"]) else { return };
    let own = addresses("a");
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        let mut holder = Process::holder("a");
        holder.may_hold(true);
        until(held("a"));
        holder.signal(signal);
        let took = until(free("a"));
        println!("{signal}: both addresses gone after {took:?}");
        assert!(took < KERNEL, "{signal}: {took:?}");
        assert_eq!(addresses("a"), own);
    }
}

#[test]
fn a_killed_holders_address_is_released_by_command_and_nobody_elses() {
    let Some(_net) = Net::new(&["a"]) else { return };
    let own = addresses("a");
    let mut holder = Process::holder("a");
    holder.may_hold(true);
    until(held("a"));
    drop(holder);
    assert_eq!(Process::new("a", &[], "release", "eth0").says(), format!("[{V4}, {V6}]"));
    assert_eq!(addresses("a"), own);

    ip(&format!("-n a address add {V4}/32 dev eth0"));
    ip(&format!("-n a address add {V6}/64 dev eth0 nodad valid_lft 60 preferred_lft 60"));
    assert_eq!(Process::new("a", &[], "release", "eth0").says(), "[]");
    assert_eq!(has_both("a"), Some(true));
}
