//! Once all is healed, everything converges within bounded simulated time.

use std::collections::BTreeSet;
use std::time::Duration;

use abide_broker::Replica;
use abide_model::{Reach, Table};
use abide_raft::Raft;
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
    if let Some(what) = world.pair.as_ref().and_then(|_| is_apart(world)) {
        return Some(what);
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

/// A pair converges to two voters on one claim.
fn is_apart(world: &World) -> Option<String> {
    let rafts: Vec<_> = (0..world.brokers.len()).filter_map(|it| world.raft(it)).collect();
    let nodes: BTreeSet<_> = rafts.iter().map(Raft::node).collect();
    let claims: BTreeSet<_> = rafts.iter().map(Raft::claim).collect();
    let knows = |raft: &Raft<Replica>| raft.status().members.voters == [nodes.clone()];
    (claims.len() > 1 || !rafts.iter().all(knows)).then(|| {
        let members = rafts.iter().map(|raft| raft.status().members.voters);
        format!(
            "two are to vote on one claim: {nodes:?}, {claims:?}, {:?}",
            members.collect::<Vec<_>>()
        )
    })
}
