//! `demo.json`: the cluster's servers and users, for programs.

use abide_cluster::{Cluster, TestUser};
use abide_config::{Access, replace_file};
use anyhow::Context;
use serde_json::{Value, json};

pub fn write(cluster: &Cluster, user: &TestUser) -> anyhow::Result<()> {
    let path = cluster.dir().join("demo.json");
    let text = serde_json::to_string_pretty(&content(cluster, user))? + "\n";
    // It holds passwords.
    replace_file(&path, text.as_bytes(), Access::Owner)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn content(cluster: &Cluster, user: &TestUser) -> Value {
    let server = |id: &str, url: &str, pid| json!({"id": id, "url": url, "pid": pid});
    let brokers = cluster.brokers().iter();
    let brokers: Vec<_> = brokers.map(|it| server(&it.id, it.url.as_str(), it.pid())).collect();
    let agents = cluster.agents().iter();
    let agents: Vec<_> = agents.map(|it| server(&it.id, it.url.as_str(), it.pid())).collect();
    let account = |user: &TestUser| json!({"name": user.name, "password": user.password});
    json!({
        "brokers": brokers,
        "agents": agents,
        "users": [account(user), account(cluster.admin())],
        // Nothing is signed by it that a browser sees: the demo serves plain HTTP on loopback.
        "ca": null,
    })
}
