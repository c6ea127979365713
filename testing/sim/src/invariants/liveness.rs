//! Once all is healed, everything converges within bounded simulated time.

use std::time::Duration;

use abide_model::{Reach, Table};
use abide_session::Phase;
use tokio::time::Instant;

use crate::invariants;
use crate::world::{LIVENESS, World};

/// Waits until it has.
pub async fn converges(world: &World) {
    let until = Instant::now() + LIVENESS;
    loop {
        match what_is_open(world) {
            None => return world.trace.add("all has converged"),
            Some(what) if Instant::now() >= until => fail(world, &what),
            Some(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Ends the run; for what is worse, if that is violated as well.
pub fn fail(world: &World, what: &str) -> ! {
    invariants::check_end(world);
    world.fail("liveness", what)
}

fn what_is_open(world: &World) -> Option<String> {
    let mut tables: Vec<Table> = Vec::new();
    for broker in 0..world.brokers.len() {
        let Some(raft) = world.raft(broker) else { return Some(format!("b{broker} is down")) };
        tables.push(raft.latest().0.clone());
    }
    if tables.windows(2).any(|pair| pair[0] != pair[1]) {
        return Some("the brokers' tables differ".to_owned());
    }
    let table = tables.first()?;
    if let Some(session) = table.unsettled().next() {
        return Some(format!("{session:?} is not settled"));
    }
    if table.agents().count() < world.hosts.len()
        || table.agents().any(|agent| agent.reach != Reach::Reachable)
    {
        return Some("an agent is not heard".to_owned());
    }
    for host in &world.hosts {
        let state = host.state();
        let unsettled = state.rows.values().find(|row| row.phase != Phase::Running);
        if let Some(row) = unsettled {
            return Some(format!("{row:?} is still in a ledger"));
        }
        let unlisted = state.rows.keys().find(|id| table.session(**id).is_none());
        if let Some(session) = unlisted {
            return Some(format!("{session} is in a ledger and not in the table"));
        }
    }
    None
}
