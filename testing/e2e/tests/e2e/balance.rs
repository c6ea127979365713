//! Many at once.

use std::collections::{BTreeMap, BTreeSet};

use abide_cluster::Profile;
use futures_util::future::join_all;

use crate::support::World;

#[tokio::test]
async fn forty_people_at_once_are_shared_out_evenly() {
    let world = World::start(2, Profile::plain()).await;
    let mut people = Vec::new();
    for number in 0..40 {
        people.push(world.person(&format!("user{number}")).await);
    }
    let replies = join_all(people.iter().map(|it| it.open())).await;
    let mut counts = BTreeMap::new();
    for reply in &replies {
        *counts.entry(reply.session.agent_name.as_str()).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([("agent1", 20), ("agent2", 20)]));
    let ids: BTreeSet<_> = replies.iter().map(|it| &it.session.id).collect();
    assert_eq!(ids.len(), 40);
    for agent in world.cluster.agents() {
        assert_eq!(agent.keepers().len(), 20, "{}", agent.name);
    }
}

#[tokio::test]
async fn one_person_who_asks_twenty_times_at_once_has_one_desktop() {
    let world = World::start(2, Profile::plain()).await;
    let ada = world.person("ada").await;
    let replies = join_all((0..20).map(|_| ada.open())).await;
    let ids: BTreeSet<_> = replies.iter().map(|it| &it.session.id).collect();
    assert_eq!(ids, BTreeSet::from([&ada.only_session().await.id]));
    let keepers: usize = world.cluster.agents().iter().map(|it| it.keepers().len()).sum();
    assert_eq!(keepers, 1);
    let tickets: BTreeSet<_> = replies.iter().map(|it| &it.connect.ticket).collect();
    assert_eq!(tickets.len(), 20, "each has a way in of its own");
}
