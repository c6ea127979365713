//! One consensus group over several processes: the leader in this one, each other voter in its own,
//! with the real transport between them. No broker around the engines.
//!
//! ```text
//! the bench ─▶ Raft ─ Wire ── mTLS ──▶ ConsensusService ─▶ Raft     one process each
//! ```

mod apart;
mod member;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use abide_broker::Replica;
use abide_model::ClusterId;
use abide_raft::{Formation, NodeId, Peer, Raft, Role};
use abide_tls::{Authority, BrokerIdentity, Identity, NodeKey, NodeRole};
use anyhow::Context;
use uuid::Uuid;

pub use apart::run as run_apart;

use self::apart::Apart;
use self::member::Member;
use crate::program::cpu;
use crate::reference::free_address;

/// A group, whose processes end with this value.
pub struct Group {
    leader: Member,
    authority: Authority,
    others: Vec<Apart>,
    /// Where the others' folders are.
    folder: PathBuf,
    made: usize,
}

/// What a member may take to catch up.
const CATCH_UP: Duration = Duration::from_secs(120);

impl Group {
    /// A new group of `voters` with nothing in its table; its folders are made in `folder`.
    pub async fn new(folder: &Path, voters: usize) -> anyhow::Result<Self> {
        let identity_folder = folder.join("identity");
        let cluster = ClusterId(Uuid::new_v4());
        let identity = BrokerIdentity::create(&identity_folder, cluster, &[], SystemTime::now())?;
        let mut group =
            Self::led(identity, &folder.join("data"), free_address()?, folder.to_owned()).await?;
        while group.others.len() + 1 < voters {
            group.voter().await?;
        }
        Ok(group)
    }

    /// The group of which this identity's data folder is the only voter's.
    pub async fn led(
        identity: BrokerIdentity,
        data: &Path,
        address: SocketAddr,
        folder: PathBuf,
    ) -> anyhow::Result<Self> {
        let BrokerIdentity { identity, authority, .. } = identity;
        let peer = Peer { address: address.to_string(), ..Peer::default() };
        let leader = Member::start(&identity, data, address, Formation::Alone(peer)).await?;
        leader.raft.leadership().wait_for(|now| now.role == Role::Serving).await?;
        Ok(Self { leader, authority, others: Vec::new(), folder, made: 0 })
    }

    /// The leader's engine.
    pub fn raft(&self) -> &Raft<Replica> {
        &self.leader.raft
    }

    /// Takes a new member in that has nothing, and waits until it has everything and votes.
    pub async fn voter(&mut self) -> anyhow::Result<()> {
        self.start_newcomer()?;
        self.newcomer_catches_up().await?;
        let voters: BTreeSet<NodeId> = self.others.iter().map(|it| it.node).collect();
        let voters = voters.into_iter().chain([self.raft().node()]).collect();
        Ok(self.raft().set_voters(voters).await?)
    }

    /// Starts a process that has nothing, and belongs nowhere yet.
    pub fn start_newcomer(&mut self) -> anyhow::Result<()> {
        self.made += 1;
        let folder = self.folder.join(format!("voter-{}", self.made));
        fs::create_dir_all(&folder)?;
        self.certify(&folder.join("identity"))?;
        self.others.push(Apart::start(&folder, free_address()?)?);
        Ok(())
    }

    /// Takes the newcomer in as a learner, and waits until it has all that there was by then.
    pub async fn newcomer_catches_up(&self) -> anyhow::Result<()> {
        let Apart { node, peer, .. } = self.others.last().context("there is no newcomer")?;
        self.raft().add_learner(*node, peer.clone()).await?;
        Ok(self.raft().caught_up(*node, CATCH_UP).await?)
    }

    /// Lets the newcomer, a learner, go again.
    pub async fn drop_newcomer(&mut self) -> anyhow::Result<()> {
        let newcomer = self.others.pop().context("there is no newcomer")?;
        Ok(self.raft().drop_learners([newcomer.node].into()).await?)
    }

    /// CPU time that all voters' processes have used, the bench's own among them.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let others = self.others.iter().map(|it| it.program.pid());
        Ok(others.chain([std::process::id()]).map(cpu).sum::<Result<Duration, _>>()?)
    }

    /// Ends it in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.leader.raft.stop().await?;
        Ok(())
    }

    fn certify(&self, folder: &Path) -> anyhow::Result<()> {
        let (key, names) = (NodeKey::generate(), []);
        let issued =
            self.authority.issue(&key.request(), NodeRole::Broker, &names, SystemTime::now())?;
        let (ca, root) = (self.authority.ca_pem(), self.authority.root_key());
        Ok(Identity::new(key, &issued.pem, &ca, root)?.save(folder)?)
    }
}
