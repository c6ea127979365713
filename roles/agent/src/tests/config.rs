//! The cluster's configuration on an agent.

use super::world::{World, rejected, until};

/// A kind of desktop of this name, that leaves its name in a file below the folder and then sleeps.
fn profile(name: &str, folder: &std::path::Path) -> String {
    let folder = folder.display();
    format!(
        "[[profile]]
        name = '{name}'
        plain = true
        size = '1024x768'
        environment = ['LEAVE={folder}/{name}']
        command = ['sh', '-c', 'echo here > $LEAVE; exec sleep 1000']"
    )
}

async fn metrics(world: &World) -> String {
    reqwest::get(world.url("/metrics")).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_desktop_of_the_cluster_is_offered_and_started_at_once_and_after_a_restart() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let order = world.order("cad");
    let refused = rejected(world.command(world.start_of(&order)).await);
    assert!(refused.contains("no profile cad"), "{refused}");

    world.broker.tell_config(3, &profile("cad", folder.path())).await;
    assert_eq!(world.broker.offer().await, ["cad", "sleep", "out", "missing"]);
    let order = world.order("cad");
    world.obey(world.start_of(&order)).await;
    world.broker.running(order.session).await;
    until("the program", async || folder.path().join("cad").exists().then_some(())).await;

    // A broker that lags behind, and one that is newer.
    world.broker.tell_config(2, "").await;
    world.broker.tell_config(4, "of_the_future = true").await;
    until("version 4", async || metrics(&world).await.contains("config_version 4").then_some(()))
        .await;
    world.kill_daemon();
    world.start_daemon().await;
    let hello = world.broker.hello().await;
    let names: Vec<_> = hello.profiles.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["cad", "sleep", "out", "missing"]);
    let metrics = metrics(&world).await;
    assert!(metrics.contains("abide_agent_config_in_force 0"), "{metrics}");

    // What is taken away is not started any more; what runs goes on until it is ended.
    world.broker.tell_config(5, "").await;
    assert_eq!(world.broker.offer().await, ["sleep", "out", "missing"]);
    world.broker.running(order.session).await;
    let again = world.order("cad");
    let refused = rejected(world.command(world.start_of(&again)).await);
    assert!(refused.contains("no profile cad"), "{refused}");
    world.end(&order).await;
    world.until_nothing_is_left(order.session).await;
}
