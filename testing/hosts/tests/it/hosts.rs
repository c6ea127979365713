//! The hosts themselves, before anything is installed.

use abide_hosts::{Hosts, tell};

#[test]
fn hosts_are_whole_and_reach_one_another_by_name() {
    tell(hosts_are_whole_and_reach_one_another_by_name, async {
        let lab = Hosts::boot(["h1", "h2"])?;
        for host in lab.all() {
            assert_eq!(host.run("hostname")?.trim(), host.name);
            assert_eq!(host.run("cat /proc/1/comm")?.trim(), "systemd");
            let failed = host.run("systemctl list-units --failed --no-legend --plain")?;
            assert_eq!(failed, "", "on {}", host.name);
            host.run(
                "busctl --quiet call org.freedesktop.login1 /org/freedesktop/login1 \
                      org.freedesktop.login1.Manager ListSessions",
            )?;
        }
        lab.host("h1").run("ping -n -q -c 1 -W 5 h2")?;
        lab.host("h1").run("sysctl --quiet net.ipv4.icmp_echo_ignore_broadcasts=0")?;
        lab.host("h2").run("ping -n -q -c 1 -W 5 -b 10.77.0.255")?;
        let ids = lab.all().iter().map(|host| host.run("cat /etc/machine-id"));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        assert_ne!(ids[0], ids[1]);
        Ok(())
    });
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_nothing_else() {
    tell(a_power_cut_keeps_what_was_synced_and_nothing_else, async {
        let lab = Hosts::boot(["h1"])?;
        let host = lab.host("h1");
        let boot = host.run("cat /proc/sys/kernel/random/boot_id")?;
        host.run("mkdir /var/lib/kept; echo synced >/var/lib/kept/file; sync")?;
        host.run("ip address add 10.77.0.99/32 dev eth0")?;
        host.run("echo not >/var/lib/kept/other; echo new >/var/lib/kept/file")?;
        host.power_off()?;
        assert!(host.run("true").is_err());
        host.boot()?;
        assert_eq!(host.run("cat /var/lib/kept/file")?.trim(), "synced");
        assert!(host.run("cat /var/lib/kept/other").is_err());
        assert!(host.run("ip address show dev eth0 | grep 10.77.0.99").is_err());
        assert_ne!(host.run("cat /proc/sys/kernel/random/boot_id")?, boot);
        host.run("echo in order >/var/lib/kept/file")?;
        host.shut_down()?;
        host.boot()?;
        assert_eq!(host.run("cat /var/lib/kept/file")?.trim(), "in order");
        Ok(())
    });
}
