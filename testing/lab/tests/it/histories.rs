//! One order of all calls explains every answer, also of calls made during a fault.

use std::sync::Arc;
use std::time::Duration;

use abide_lab::acts::Stage;
use abide_lab::cluster::{Lab, Plan};
use abide_lab::faults::Way;
use abide_lab::history::{Event, check};
use abide_lab::people::People;
use abide_lab::recorder::record;
use abide_lab::scenario::Act::{Cut, Freeze, Kill, Stop};
use abide_lab::scenario::Who::Leader;
use abide_lab::world;
use tokio::sync::watch;
use tokio::task::JoinSet;

const PEOPLE: u8 = 4;
const FOR: Duration = Duration::from_secs(3);

#[test]
fn histories_through_faults_of_the_leader_are_linearizable() {
    world::test(histories_through_faults_of_the_leader_are_linearizable, async {
        let mut stage =
            Stage::new(Lab::start(Plan { brokers: 3, agents: 2, is_far: false }).await?);
        let people = Arc::new(People::of(&stage.lab.cluster)?);
        let (stop, stopped) = watch::channel(false);
        let mut recordings = JoinSet::new();
        for number in 0..PEOPLE {
            let user = stage.lab.cluster.add_user(&format!("user{number}"))?;
            let (people, stopped) = (people.clone(), stopped.clone());
            recordings.spawn(async move { record(&people, &user, stopped).await });
        }
        let faults = [Kill(Leader), Freeze(Leader, FOR), Cut(Leader, Way::Both, FOR), Stop(Leader)];
        for act in faults {
            let leader = stage.lab.leader().await?;
            let struck = stage.strike(act, leader)?;
            stage.last(act, struck, false).await?;
            stage.restore().await?;
        }
        stop.send_replace(true);
        let mut calls = 0;
        while let Some(histories) = recordings.join_next().await {
            for history in histories?? {
                calls += history.len() / 2;
                explain(&history);
            }
        }
        assert!(calls >= 100, "hardly anything was done: {calls} calls");
        Ok(())
    });
}

fn explain(history: &[Event]) {
    check(history).unwrap_or_else(|error| {
        let events: Vec<_> = history.iter().map(|event| format!("{event:?}")).collect();
        panic!("{error}:\n{}", events.join("\n"))
    });
}
