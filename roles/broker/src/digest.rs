//! A number for all that people are shown of something: another number, another picture. For noticing a
//! change of a table of any size without keeping what was shown.

use std::hash::{DefaultHasher, Hash, Hasher};

use abide_model::{Reach, Session, State, Table, UserName};

use crate::broker::Broker;
use crate::view;

/// Of one person's sessions, or of everybody's.
pub fn sessions(broker: &Broker, table: &Table, of: Option<&UserName>) -> u64 {
    let mut hash = DefaultHasher::new();
    match of {
        Some(user) => {
            for row in table.sessions_of(user) {
                session(table, row, &mut hash);
                let load = broker.hub.load_of(&row.agent);
                load.and_then(|it| it.viewers.get(&row.id).copied()).hash(&mut hash);
            }
        }
        None => {
            table.sessions().for_each(|row| session(table, row, &mut hash));
            // In no order, so the sum of each.
            let viewers = broker.hub.viewers();
            let sum = viewers.iter().fold(0_u64, |sum, viewed| sum.wrapping_add(of_one(&viewed)));
            sum.hash(&mut hash);
            let unverified = view::unverified(table, &broker.hub, &broker.verifier.ring());
            let sum = unverified.iter().fold(0_u64, |sum, row| {
                sum.wrapping_add(of_one(&(&row.id, row.state as u8, row.viewers)))
            });
            sum.hash(&mut hash);
        }
    }
    hash.finish()
}

fn session(table: &Table, row: &Session, hash: &mut DefaultHasher) {
    row.id.hash(hash);
    (view::session_state(row) as u8).hash(hash);
    table.unreachable_since(row).hash(hash);
    // A name or a reason changes with the state alone; who ended it may be another.
    if let State::Ending { by } = &row.state {
        by.hash(hash);
    }
}

/// Of the agents, with what they last said of their hosts.
pub fn agents(broker: &Broker, table: &Table) -> u64 {
    let mut hash = DefaultHasher::new();
    for agent in table.agents() {
        agent.id.hash(&mut hash);
        agent.name.hash(&mut hash);
        agent.live.hash(&mut hash);
        let drain = agent.drain.as_deref();
        drain.map(|it| (it.since, it.deadline, &it.by, &it.message)).hash(&mut hash);
        if let Reach::Unreachable { since } = agent.reach {
            since.hash(&mut hash);
        }
        broker.hub.load_of(&agent.id).map(|it| it.at).hash(&mut hash);
    }
    hash.finish()
}

/// Of the group of brokers, but for what changes all the time.
pub fn cluster(broker: &Broker, table: &Table) -> u64 {
    let group = broker.group();
    let mut hash = DefaultHasher::new();
    group.leading_broker().hash(&mut hash);
    (group.voters(), group.can_lose(), broker.generation()).hash(&mut hash);
    broker.raft.leadership().borrow().term.hash(&mut hash);
    broker.clock.standing().problem().hash(&mut hash);
    for row in group.brokers(table) {
        (row.id, row.url, row.role as u8, row.node).hash(&mut hash);
    }
    hash.finish()
}

fn of_one(value: &impl Hash) -> u64 {
    let mut hash = DefaultHasher::new();
    value.hash(&mut hash);
    hash.finish()
}
