//! What others do on the same hosts, and long lines between them.

use std::process::Command;
use std::time::Duration;

use abide_lab::keepalived::Pair;
use abide_lab::network::{Host, Network};
use abide_lab::slow::{Line, lengthen};
use abide_lab::world;

#[test]
fn keepalived_moves_its_address_when_the_host_dies() {
    world::test(keepalived_moves_its_address_when_the_host_dies, async {
        let network = Network::new([1, 2])?;
        let pair = Pair::start(network.hosts()[0], network.hosts()[1]).await?;
        let took = pair.first_host_dies().await?;
        println!("keepalived, stock: {took:?}");
        // Three adverts and a bit, at one a second.
        assert!((2.0..10.0).contains(&took.as_secs_f64()), "{took:?}");
        Ok(())
    });
}

#[test]
fn a_long_line_takes_its_time_and_loses_some() {
    world::test(a_long_line_takes_its_time_and_loses_some, async {
        let network = Network::new([1, 2])?;
        // Two lines of 50 ms between them, there and back: 200 ms; 19 % of the echoes lost.
        let line = Line { delay: Duration::from_millis(50), lost_per_mille: 50 };
        for &host in network.hosts() {
            lengthen(host, line)?;
        }
        let (one, two) = (Host { number: 1 }, Host { number: 2 });
        let mut ping = Command::new("ip");
        ping.args(["netns", "exec", &one.namespace(), "ping", "-n", "-q", "-i", "0.02"]);
        let said = ping.args(["-c", "150", &two.v4().to_string()]).output()?.stdout;
        let said = String::from_utf8(said)?;
        let (before, after) = said.split_once(" received").unwrap();
        let received: u32 = before.rsplit(' ').next().unwrap().parse()?;
        let least: f64 = after.split("= ").nth(1).unwrap().split('/').next().unwrap().parse()?;
        assert!((90..146).contains(&received), "{said}");
        assert!((200.0..230.0).contains(&least), "{said}");
        Ok(())
    });
}
