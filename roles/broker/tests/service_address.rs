//! A broker in this process, on a network of the test's own: the service address comes with the lead
//! and goes with it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use abide_broker::{BrokerError, Founding, InitOptions, Settings, init, run, settings_from};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Long enough for a busy machine; nothing here takes a tenth of it.
const SOON: Duration = Duration::from_secs(20);

/// A network of this thread's own, and of all that it starts, with an `eth0`. `None`, and says so,
/// without the rights for it.
fn network() -> Option<()> {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: only root can make network namespaces; nothing was tested here");
        return None;
    }
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    ip("link add eth0 type veth peer name other");
    ip("link set eth0 up");
    Some(())
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// How many of the two service addresses are here.
fn held() -> usize {
    let found = ip("address show dev eth0");
    ["inet 192.0.2.10/32", "inet6 2001:db8::10/128"]
        .iter()
        .filter(|it| found.contains(**it))
        .count()
}

/// Of how many the broker says that it holds them.
async fn metrics_tell_of() -> usize {
    let Ok(reply) = reqwest::get("http://127.0.0.1:8080/metrics").await else { return 0 };
    let text = reply.text().await.unwrap();
    ["192.0.2.10", "2001:db8::10"]
        .iter()
        .map(|it| format!("abide_broker_service_address_held{{address=\"{it}\"}} 1\n"))
        .filter(|line| text.contains(line))
        .count()
}

fn settings(folder: &Path, interface: &str) -> Settings {
    let folder = folder.display();
    let text = format!(
        "data_dir = '{folder}/data'\nidentity_dir = '{folder}/identity'\n\
         public_url = 'http://127.0.0.1:8080'\n\
         [listen]\nhttp = '127.0.0.1:8080'\nagents = '127.0.0.1:8081'\n[tls]\nmode = 'off'\n\
         [login]\nbackend = 'users-file'\nusers_file = '{folder}/users.toml'\n\
         [service_address]\ninterface = '{interface}'\n\
         addresses = ['192.0.2.10', '2001:db8::10']\n"
    );
    let settings = settings_from(Path::new("broker.toml"), &text).unwrap();
    let (identity_dir, public_url) = (settings.identity_dir.clone(), settings.public_url.clone());
    let founding = Founding::New;
    init(&InitOptions { identity_dir, public_url, founding, bundle: None }).unwrap();
    std::fs::write(settings.data_dir.with_file_name("users.toml"), "").unwrap();
    settings
}

#[tokio::test]
async fn a_broker_that_serves_holds_the_service_address_until_it_is_stopped() {
    let Some(()) = network() else { return };
    let folder = TempDir::new().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let broker = run(settings(folder.path(), "eth0"), async { drop(stopped.await) });
    let watcher = async {
        let both = async {
            while held() < 2 || metrics_tell_of().await < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, both).await.expect("it serves, and so it holds the address");
        stop.send(()).unwrap();
    };
    tokio::join!(async { broker.await.unwrap() }, watcher);
    assert_eq!(held(), 0, "it has stopped");
}

#[tokio::test]
async fn a_broker_that_cannot_hold_its_service_address_does_not_start_and_changes_nothing() {
    let Some(()) = network() else { return };
    let folder = TempDir::new().unwrap();
    let settings = settings(folder.path(), "eth1");
    let data = settings.data_dir.clone();
    let refused = run(settings, std::future::pending()).await.unwrap_err();
    assert!(matches!(refused, BrokerError::ServiceAddress(_)));
    assert!(refused.source().unwrap().to_string().contains("eth1"));
    assert!(!data.exists());
}
