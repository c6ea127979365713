//! A pair under keepalived, as docs/keepalived.md sets it up.

use abide_hosts::{Hosts, tell};

use crate::managed::{ADDRESS, EMPTY, Manager, WHILE_BUSY, tell_of};

/// What the page says to change in the package's example.
pub fn set_up(lab: &Hosts) -> anyhow::Result<()> {
    for (name, priority) in [("h1", 100), ("h2", 90)] {
        let host = lab.host(name);
        host.run(
            "cp /usr/share/doc/abide/examples/keepalived.conf /etc/keepalived/keepalived.conf",
        )?;
        host.run(&format!(
            "sed -i -e 's/router_id host1 /router_id {name} /' -e 's/priority 100/priority \
             {priority}/' -e 's/192.0.2.10/{ADDRESS}/' /etc/keepalived/keepalived.conf"
        ))?;
        host.run("keepalived --config-test")?;
        host.run("systemctl enable --now keepalived")?;
    }
    Ok(())
}

const RESTART: &str = "systemctl restart keepalived";

/// With a shorter delay than the page's, for the story's sake.
const FAIL_BACK: &str = "sed -i -e '/nopreempt/d' -e '/priority 100/a preempt_delay 5' \
                         /etc/keepalived/keepalived.conf && keepalived --config-test && sync";

#[test]
fn a_pair_under_keepalived_bears_the_loss_of_either_host() {
    tell(a_pair_under_keepalived_bears_the_loss_of_either_host, async {
        let manager = Manager {
            name: "keepalived",
            takeover: "unfenced",
            set_up,
            // It moves the address by itself; the brokers only hear of it.
            alone: ADDRESS,
            beyond: WHILE_BUSY,
            empty: EMPTY,
            is_fit: "grep BACKUP /run/abide/keepalived/abide",
            leave: RESTART,
            fail_back: FAIL_BACK,
        };
        tell_of(&manager).await
    });
}
