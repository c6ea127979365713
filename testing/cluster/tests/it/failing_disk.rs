//! The leader's disk fails under it: it stops at once and says so, and another serves.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use abide_api::{StartRequest, Want};
use abide_client::WishKey;

use crate::three_brokers::{three, until_standing};

const DEADLINE: Duration = Duration::from_secs(30);

/// strace, which lets every fsync of a process fail from now on.
struct Failing(Child);

impl Failing {
    fn every_sync_of(pid: u32) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=fsync,fdatasync"]);
        strace.args(["-e", "inject=fsync,fdatasync:error=EIO", "-p", &pid.to_string()]);
        Self(strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_fails_stops_and_says_so_and_another_serves() {
    let (mut cluster, admin) = three().await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let request = StartRequest { profile: None, want: Want::Start };
    let before = api.start(&request, &WishKey::random()).await.unwrap().session.id;

    let leader = cluster.leader(&admin).await.unwrap();
    let failing = Failing::every_sync_of(cluster.brokers()[leader].pid().unwrap());
    let key = WishKey::random();
    let mut started = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    let gone = loop {
        // One and the same request, answered before, while and after the fault shows.
        started.push(api.start(&request, &key).await.unwrap().session.id);
        if let Some(gone) = cluster.turns().into_iter().next() {
            break gone;
        }
        assert!(Instant::now() < deadline, "the leader goes on with a disk that fails");
    };
    drop(failing);

    started.dedup();
    assert_eq!(started.len(), 1, "one wish, one session: {started:?}");
    let said = cluster.brokers()[leader].last_words();
    assert!(said.contains("disk I/O error"), "{gone:?} said: {said}");
    assert_eq!(api.connect(&before, &WishKey::random()).await.unwrap().session.id, before);

    // Its disk is good again: it comes back as it was.
    cluster.start_broker(leader).await.unwrap();
    until_standing(&admin, |now| now.can_lose == 1).await;
    assert_eq!(api.sessions().await.unwrap().sessions.len(), 2);
}
