//! One order of all calls explains every answer, also of calls made during a fault.
//! Of a lone broker: with three, a leader's death has left histories that no order explains.

use std::sync::Arc;

use abide_lab::cluster::Lab;
use abide_lab::history::{Event, check};
use abide_lab::people::People;
use abide_lab::recorder::record;
use abide_lab::world;
use tokio::task::JoinSet;

const PEOPLE: u8 = 4;

#[test]
fn histories_through_a_brokers_death_are_linearizable() {
    world::test(histories_through_a_brokers_death_are_linearizable, async {
        let mut lab = Lab::start(3, 2).await?;
        let people = Arc::new(People::of(&lab.cluster)?);
        let mut recordings = JoinSet::new();
        for number in 0..PEOPLE {
            let user = lab.cluster.add_user(&format!("user{number}"))?;
            let people = people.clone();
            recordings.spawn(async move { record(&people, &user).await });
        }
        // Between them: calls are under way when it dies, and when it is back.
        for _ in 0..2 {
            let leader = lab.leader().await?;
            lab.cluster.kill_broker(leader);
            lab.cluster.start_broker(leader).await?;
            lab.settle().await?;
        }
        while let Some(history) = recordings.join_next().await {
            let history: Vec<Event> = history??;
            assert!(history.len() >= 20, "hardly a history: {history:?}");
            check(&history).unwrap_or_else(|error| panic!("{error}: {history:#?}"));
        }
        Ok(())
    });
}
