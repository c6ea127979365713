//! A table with sessions in it, as the broker replicates it.

use std::path::Path;
use std::sync::Arc;

use abide_broker::Replica;
use abide_model::{
    AgentFacts, AgentId, BootId, Change, Command, IdempotencyKey, Joins, Place, Profile,
    ProfileName, Report, SessionId, Timestamp, UserName, ViewKey, Want,
};
use abide_raft::{Formation, NoPeers, Peer, Raft, Role, Settings, Start};
use anyhow::Context;
use tokio::task::JoinSet;
use uuid::Uuid;

/// One voter on `folder`, which forms a cluster of its own if the folder is new; serving.
pub async fn lone_voter(folder: &Path, cluster: Uuid) -> anyhow::Result<Raft<Replica>> {
    let start = Start {
        folder: folder.to_owned(),
        cluster,
        formation: Formation::Alone(Peer { address: "127.0.0.1:1".into(), ..Peer::default() }),
        settings: Settings::default(),
        transport: Arc::new(NoPeers),
    };
    let raft = Raft::start(Replica::default(), start).await?;
    raft.leadership().wait_for(|now| now.role == Role::Serving).await?;
    Ok(raft)
}

/// The time that all made-up commands carry: now, so that nothing expires.
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// An agent that is heard, so that sessions can be promised on it.
pub fn agent(now: Timestamp) -> anyhow::Result<(AgentId, [Command; 3])> {
    let agent: AgentId = "a".repeat(32).parse()?;
    let hash = [7; 32];
    let facts = AgentFacts {
        boot: boot()?,
        public_url: "https://desk-01.example.org:8443".into(),
        weight: 1,
        profiles: vec![Profile { name: "desk".parse()?, title: "Desktop".into() }],
    };
    let changes = [
        Change::AddJoinToken { hash, expires: now.plus(60_000), joins: Joins::Agent },
        Change::AdmitAgent { hash, agent: agent.clone(), name: "desk-01".into() },
        Change::AgentHeard { agent: agent.clone(), facts: facts.into() },
    ];
    Ok((agent, changes.map(|change| Command { at: now, change })))
}

/// The promise of a session that no other has asked for. Names are as long as real ones are.
pub fn reserve(agent: &AgentId, number: u64, now: Timestamp) -> anyhow::Result<Command> {
    let session = session(number);
    let change = Change::Reserve {
        place: Place {
            session,
            agent: agent.clone(),
            view_key: format!("{number:032x}").parse::<ViewKey>()?,
        },
        user: format!("user-{number:07}").parse::<UserName>()?,
        profile: "desk".parse::<ProfileName>()?,
        key: session.to_string().parse::<IdempotencyKey>()?,
        want: Want::ResumeOrStart { profile: None },
    };
    Ok(Command { at: now, change })
}

/// The agent's word that the session runs.
pub fn running(agent: &AgentId, number: u64, now: Timestamp) -> anyhow::Result<Command> {
    let report = Report::Running { ever_attached: true };
    let (session, agent) = (session(number), agent.clone());
    Ok(Command { at: now, change: Change::Report { session, agent, boot: boot()?, report } })
}

/// Puts an agent with `sessions` running sessions into the table.
pub async fn fill(raft: &Raft<Replica>, sessions: u64) -> anyhow::Result<()> {
    /// Enough for full batches.
    const WRITERS: u64 = 1024;
    let now = now();
    let (agent, commands) = agent(now)?;
    for command in commands {
        raft.propose(command).await?;
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (raft, agent) = (raft.clone(), agent.clone());
        writers.spawn(async move {
            for number in (writer..sessions).step_by(WRITERS as usize) {
                raft.propose(reserve(&agent, number, now)?).await?;
                raft.propose(running(&agent, number, now)?).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done.context("a writer ended")??;
    }
    Ok(())
}

fn boot() -> anyhow::Result<BootId> {
    Ok("11111111-2222-4333-8444-555555555555".parse()?)
}

/// Of version 7, as all are, with the number where chance would be.
fn session(number: u64) -> SessionId {
    SessionId(Uuid::from_u128(0x0190_a6f0_0000_7000_8000_0000_0000_0000 | u128::from(number)))
}
