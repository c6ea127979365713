//! Hosts are apart, and each fault does what its name says, until it is dropped.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use abide_lab::faults::{Fault, Way};
use abide_lab::network::{Host, Network};
use abide_lab::world;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const ONE: Host = Host { number: 1 };
const TWO: Host = Host { number: 2 };

/// How many echoes of so many come back.
fn pings(from: Host, to: IpAddr, count: u32) -> u32 {
    let mut ping = Command::new("ip");
    ping.args(["netns", "exec", &from.namespace(), "ping", "-n", "-q", "-i", "0.01", "-W", "1"]);
    ping.args(["-c", &count.to_string(), &to.to_string()]);
    let said = String::from_utf8(ping.output().unwrap().stdout).unwrap();
    let (before, _) = said.split_once(" received").expect("ping tells what it received");
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

fn reach(from: Host, to: Host) -> bool {
    pings(from, to.v4().into(), 1) == 1
}

#[test]
fn hosts_reach_each_other_over_both_protocols() {
    world::test(hosts_reach_each_other_over_both_protocols, async {
        let network = Network::new([1, 2])?;
        for &from in network.hosts() {
            for &to in network.hosts() {
                assert_eq!(pings(from, to.v4().into(), 2), 2, "{from:?} {to:?}");
                assert_eq!(pings(from, to.v6().into(), 2), 2, "{from:?} {to:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn what_is_cut_is_silent_until_the_cut_ends() {
    world::test(what_is_cut_is_silent_until_the_cut_ends, async {
        let three = Host { number: 3 };
        let _network = Network::new([1, 2, 3])?;
        let faults: [fn() -> anyhow::Result<Fault>; 5] = [
            || Fault::unplugged(ONE),
            || Fault::cut(ONE, Way::Both),
            || Fault::cut(ONE, Way::Deaf),
            || Fault::cut(ONE, Way::Mute),
            || Fault::between(ONE, TWO),
        ];
        for (index, fault) in faults.into_iter().enumerate() {
            assert!(reach(ONE, TWO), "before fault {index}");
            let fault = fault()?;
            assert!(!reach(ONE, TWO), "during fault {index}");
            assert_eq!(reach(ONE, three), index == 4, "to the third during fault {index}");
            drop(fault);
        }
        assert!(reach(ONE, TWO));
        Ok(())
    });
}

#[test]
fn a_one_way_cut_lets_the_other_way_through() {
    world::test(a_one_way_cut_lets_the_other_way_through, async {
        let _network = Network::new([1])?;
        // The lab speaks to the host; neighbours must be known before a way is cut.
        assert_eq!(pings(ONE, Network::client().v4().into(), 1), 1);
        let here = UdpSocket::bind((Network::client().v4(), 0)).await?;
        for (way, arrives) in [(Way::Deaf, true), (Way::Mute, false)] {
            let _fault = Fault::cut(ONE, way)?;
            let to = SocketAddr::new(Network::client().v4().into(), here.local_addr()?.port());
            let script = format!("echo x >/dev/udp/{}/{}", to.ip(), to.port());
            let mut send = Command::new("ip");
            send.args(["netns", "exec", &ONE.namespace(), "bash", "-c", &script]);
            assert!(send.status()?.success());
            let mut byte = [0; 2];
            let limit = Duration::from_millis(if arrives { 5_000 } else { 300 });
            let got = timeout(limit, here.recv(&mut byte)).await.is_ok();
            assert_eq!(got, arrives, "{way:?}");
        }
        Ok(())
    });
}

#[test]
fn some_frames_are_lost_and_others_not() {
    world::test(some_frames_are_lost_and_others_not, async {
        let _network = Network::new([1, 2])?;
        let _fault = Fault::loss(ONE, 20)?;
        let received = pings(ONE, TWO.v4().into(), 200);
        assert!((70..190).contains(&received), "{received} of 200, with 64 % expected");
        Ok(())
    });
}

#[test]
fn each_host_has_its_own_temporary_files() {
    world::test(each_host_has_its_own_temporary_files, async {
        let _network = Network::new([1, 2])?;
        let on = |host: Host, script: &str| {
            let mut command = Command::new(Network::on());
            command.args([&host.namespace(), "sh", "-c", script]);
            command.status().unwrap().success()
        };
        assert!(on(ONE, "touch /tmp/mine /run/mine"));
        assert!(on(ONE, "test -e /tmp/mine -a -e /run/mine"));
        assert!(on(TWO, "test ! -e /tmp/mine -a ! -e /run/mine"));
        Ok(())
    });
}
