//! A pair under Heartbeat, as docs/heartbeat.md sets it up.

use std::net::Ipv4Addr;

use abide_hosts::{Hosts, tell};

use crate::managed::{ADDRESS, EMPTY, Manager, WHILE_BUSY, tell_of};

/// For comparison, an address that is started when Abide is, and waits for nothing.
const ALONE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 201);
/// Heartbeat starts one resource after the other. This one is started, as Heartbeat does it, beside
/// what comes next.
const BESIDE: &str = r#"#!/bin/sh
it=/etc/ha.d/resource.d/IPaddr2
case $2 in
start) { "$it" "$1" status; "$it" "$1" start; } >/dev/null 2>&1 & ;;
status) ip -oneline address show | grep -qwF "${1%%/*}" && echo running || echo stopped ;;
*) exec "$it" "$@" ;;
esac
"#;

/// What the page says of systemd's unit.
const UNIT: &str = "[Service]\nRemainAfterExit=yes\n";

pub fn set_up(lab: &Hosts) -> anyhow::Result<()> {
    let peers = ["h1", "h2"].map(|name| format!("ucast eth0 {}\n", lab.host(name).place.v4()));
    let ha_cf = format!(
        "logfacility daemon\nkeepalive 1\nwarntime 3\ndeadtime 5\ninitdead 60\nudpport 694\n{}\
         auto_failback off\nnode h1\nnode h2\n",
        peers.concat()
    );
    for host in ["h1", "h2"].map(|name| lab.host(name)) {
        host.write("/etc/ha.d/ha.cf", &ha_cf)?;
        host.write("/etc/ha.d/authkeys", "auth 1\n1 sha1 a-long-random-word\n")?;
        host.run("chmod 600 /etc/ha.d/authkeys")?;
        host.write("/etc/ha.d/resource.d/beside", BESIDE)?;
        host.run("chmod 755 /etc/ha.d/resource.d/beside")?;
        host.write(
            "/etc/ha.d/haresources",
            &format!("h1 beside::{ALONE}/32/eth0 abide IPaddr2::{ADDRESS}/32/eth0\n"),
        )?;
        host.write("/etc/systemd/system/heartbeat.service.d/abide.conf", UNIT)?;
        host.run("systemctl daemon-reload; systemctl enable --now heartbeat")?;
    }
    Ok(())
}

/// Asked for while one of the two still makes up its mind, it does nothing: then once more.
const STANDBY: &str = "for try in 1 2 3 4 5 6 7 8; do /usr/share/heartbeat/hb_standby; sleep 3; test \"$(cl_status \
     rscstatus)\" = none && exit; done; exit 1";

/// Heartbeat begins when its broker has caught up.
const FAIL_BACK: &str = r#"sed -i 's/auto_failback off/auto_failback on/' /etc/ha.d/ha.cf
cat >>/etc/systemd/system/heartbeat.service.d/abide.conf <<'END'
ExecStartPre=-/usr/bin/timeout 120 /bin/sh -c 'while :; do abide ha status >/dev/null; case $$? in 0|10) exit;; esac; sleep 1; done'
TimeoutStartSec=180
END
sync"#;

#[test]
fn a_pair_under_heartbeat_bears_the_loss_of_either_host() {
    tell(a_pair_under_heartbeat_bears_the_loss_of_either_host, async {
        let is_fit = r#"test "$(cl_status rscstatus)" = none"#;
        let manager = Manager {
            name: "Heartbeat",
            takeover: "unfenced",
            set_up,
            alone: ALONE,
            beyond: WHILE_BUSY,
            empty: EMPTY,
            is_fit,
            leave: STANDBY,
            fail_back: FAIL_BACK,
        };
        tell_of(&manager).await
    });
}
