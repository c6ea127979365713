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

/// Lets agents in that are heard, so that sessions can be promised on them.
pub async fn enlist(
    raft: &Raft<Replica>,
    agents: u64,
    now: Timestamp,
) -> anyhow::Result<Arc<[AgentId]>> {
    let ids: Arc<[AgentId]> = (0..agents).map(agent).collect::<anyhow::Result<_>>()?;
    let (raft, shared) = (raft.clone(), Arc::clone(&ids));
    by_many(agents, move |number| {
        let (raft, ids) = (raft.clone(), Arc::clone(&shared));
        async move {
            for command in enlistment(&ids[number as usize], number, now)? {
                raft.propose(command).await?;
            }
            Ok(())
        }
    })
    .await?;
    Ok(ids)
}

/// An agent's id.
pub fn agent(number: u64) -> anyhow::Result<AgentId> {
    Ok(format!("{number:032x}").parse()?)
}

/// What lets an agent in that is heard.
pub fn enlistment(agent: &AgentId, number: u64, now: Timestamp) -> anyhow::Result<[Command; 3]> {
    let mut hash = [7; 32];
    hash[..8].copy_from_slice(&number.to_le_bytes());
    let changes = [
        Change::AddJoinToken { hash, expires: now.plus(600_000), joins: Joins::Agent },
        Change::AdmitAgent { hash, agent: agent.clone(), name: format!("desk-{number:05}") },
        heard(agent, number)?,
    ];
    Ok(changes.map(|change| Command { at: now, change }))
}

/// The agent is there, and says what it has.
pub fn heard(agent: &AgentId, number: u64) -> anyhow::Result<Change> {
    let facts = AgentFacts {
        boot: boot()?,
        public_url: format!("https://desk-{number:05}.example.org:8443"),
        weight: 1,
        profiles: vec![Profile { name: "desk".parse()?, title: "Desktop".into() }],
        labels: std::collections::BTreeSet::new(),
        max_sessions: None,
    };
    Ok(Change::AgentHeard { agent: agent.clone(), facts: facts.into() })
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
        pool: None,
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

/// Puts `sessions` running sessions on `agents` agents into the table; gives the agents.
pub async fn fill(
    raft: &Raft<Replica>,
    sessions: u64,
    agents: u64,
) -> anyhow::Result<Arc<[AgentId]>> {
    let now = now();
    let ids = enlist(raft, agents, now).await?;
    let (raft, shared) = (raft.clone(), Arc::clone(&ids));
    by_many(sessions, move |number| {
        let (raft, ids) = (raft.clone(), Arc::clone(&shared));
        async move {
            let agent = &ids[(number % agents) as usize];
            raft.propose(reserve(agent, number, now)?).await?;
            raft.propose(running(agent, number, now)?).await?;
            Ok(())
        }
    })
    .await?;
    Ok(ids)
}

/// Does the work for all numbers below `count`, many of them at once.
async fn by_many<F>(
    count: u64,
    work: impl Fn(u64) -> F + Clone + Send + 'static,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    /// Enough for full batches.
    const WORKERS: u64 = 1024;
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let work = work.clone();
        workers.spawn(async move {
            for number in (worker..count).step_by(WORKERS as usize) {
                work(number).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done.context("a worker ended")??;
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
