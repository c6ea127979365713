//! What every part of the broker shares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abide_auth::{AuditLog, Issuer, Verifier};
use abide_model::{AgentId, BrokerId, Change, ConfigVersion, Fence, Table, Timestamp};
use abide_raft::{Claim, Peer, Raft, ReadError};
use abide_ticket::{KeyRing, TOKEN_LEEWAY_MS, VerifyingKey};
use abide_tls::{Authority, BrokerIdentity, Identity};
use abide_wire::agent as wire;
use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::hearsay::Hearsay;
use crate::hub::Hub;
use crate::load_history::LoadHistory;
use crate::metrics::Times;
use crate::pair::Pair;
use crate::peers::{Peers, Roster};
use crate::placing::Placing;
use crate::policy::Policies;
use crate::rebuild;
use crate::replica::Replica;
use crate::rivals::Rivals;
use crate::settings::Settings;
use crate::speech::Speeches;
use crate::standing::Group;
use crate::timing;
use crate::waiting::Waiting;

/// A configuration's text for agents: the table's own, not a copy for each.
struct Shared(Arc<ConfigVersion>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_bytes()
    }
}

/// The broker's parts. Clones are the same broker.
#[derive(Clone)]
pub struct Broker(Arc<Parts>);

/// See [`Broker`].
pub struct Parts {
    /// This broker's id.
    pub id: BrokerId,
    /// The replicated table.
    pub raft: Raft<Replica>,
    /// Who this broker is.
    pub identity: Identity,
    /// The cluster's authority.
    pub authority: Authority,
    /// This broker's signatures.
    pub issuer: Issuer,
    /// The key that they are checked with.
    signing_key: VerifyingKey,
    /// Everybody's signatures. Knows none before [`Broker::ready`].
    pub verifier: Verifier,
    /// What the verifier believes.
    believed: Mutex<Option<wire::ClusterView>>,
    /// Set once tokens can be judged.
    ready: OnceCell<()>,
    /// What was decided about whom.
    pub audit: AuditLog,
    /// The agents.
    pub hub: Hub,
    /// How the agents' load was.
    pub load_history: LoadHistory,
    /// Agents that other brokers hear.
    pub hearsay: Hearsay,
    /// What time it is.
    pub clock: Clock,
    /// The other brokers.
    pub peers: Peers,
    /// Who takes part.
    pub roster: Roster,
    /// Other groups of this cluster's brokers.
    pub rivals: Rivals,
    /// Who gets the next session; reservations on their way into the table.
    pub placing: Placing,
    /// Which wire versions the others speak.
    pub speeches: Speeches,
    /// The cluster's configuration, read.
    pub policies: Policies,
    /// The other one of a pair.
    pub pair: Pair,
    /// Sessions that requests wait for.
    pub waiting: Waiting,
    /// How long starts take.
    pub times: Times,
    /// As configured.
    pub settings: Settings,
}

impl std::ops::Deref for Broker {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Broker {
    /// Puts the parts together.
    pub fn new(
        raft: Raft<Replica>,
        identity: BrokerIdentity,
        audit: AuditLog,
        peers: Peers,
        pair: Pair,
        settings: Settings,
    ) -> Self {
        let BrokerIdentity { identity, authority, signing } = identity;
        let id = identity.peer().node.id().parse();
        let hub = Hub::default();
        Self(Arc::new(Parts {
            roster: Roster::new(raft.clone(), peers.clone(), settings.timing),
            peers,
            id: id.unwrap_or_else(|_| unreachable!("a broker's identity has a broker's id")),
            signing_key: signing.verifying_key(),
            issuer: Issuer::new(identity.cluster(), signing),
            verifier: Verifier::new(KeyRing::new(identity.cluster(), authority.root_key())),
            believed: Mutex::default(),
            ready: OnceCell::new(),
            audit,
            identity,
            authority,
            load_history: LoadHistory::default(),
            hearsay: Hearsay::new(timing::silences(settings.timing)),
            clock: Clock::new(raft.clone(), hub.clone()),
            hub,
            raft,
            rivals: Rivals::default(),
            placing: Placing::default(),
            speeches: Speeches::default(),
            policies: Policies::default(),
            pair,
            times: Times::default(),
            waiting: Waiting::default(),
            settings,
        }))
    }

    /// The table, surely no older than this call.
    ///
    /// # Errors
    /// Those of [`Raft::read`].
    pub async fn table(&self) -> Result<Arc<Replica>, ReadError> {
        self.raft.read().await
    }

    /// Returns when tokens can be judged: what was committed before this broker's start has been
    /// applied, its own key is in the table, and what was revoked is known.
    ///
    /// # Errors
    /// Those of [`Raft::read`].
    pub async fn ready(&self) -> Result<(), ReadError> {
        let ready = async || {
            let mut changes = self.raft.changes();
            loop {
                changes.borrow_and_update();
                let table = self.table().await?;
                if table.0.broker(&self.id).is_some() {
                    self.believe();
                    return Ok(());
                }
                if changes.changed().await.is_err() {
                    return Err(ReadError::Stopping);
                }
            }
        };
        self.ready.get_or_try_init(ready).await.copied()
    }

    /// This broker as a member of the consensus.
    pub fn as_peer(&self) -> Peer {
        Peer { address: self.settings.agent_address.clone(), name: self.id.to_string() }
    }

    /// Whether a broker may speak here: it was not removed. One that this table does not know may be newer
    /// than the table; its certificate says that it was let in.
    pub fn admits(&self, broker: &BrokerId) -> bool {
        !self.raft.latest().0.was_removed(broker)
    }

    /// Whether an agent is heard here: it is in the table. One of a lost table is taken back when it greets.
    pub fn lets_in(&self, agent: &AgentId) -> bool {
        let table = self.raft.latest();
        table.0.agent(agent).is_some() || table.0.rebuild().is_some()
    }

    /// What to command agents with; `None` while this broker may not.
    pub fn fence(&self) -> Option<Fence> {
        let fence = self.raft.command_fence()?;
        let (generation, claimant) = self.stands_on(&self.raft.latest().0, fence.claim);
        Some(Fence { generation, claimant, term: fence.term, leader: fence.leader.0 })
    }

    /// Of what this broker knows: it leads on none lower.
    pub fn generation(&self) -> u64 {
        self.stands_on(&self.raft.latest().0, self.raft.claim()).0
    }

    /// Generation and claimant of all that this broker's data know.
    pub fn claim(&self) -> abide_pair::Claim {
        let (generation, claimant) = self.stands_on(&self.raft.latest().0, self.raft.claim());
        abide_pair::Claim { generation, claimant }
    }

    /// Generation and claimant: of the last forced takeover, or above what agents had obeyed before the
    /// table was lost.
    fn stands_on(&self, table: &Table, claim: Claim) -> (u64, u64) {
        (claim.generation, claim.claimant.0).max((table.generation(), 0))
    }

    /// How the group of brokers stands, as far as this one knows.
    pub fn group(&self) -> Group {
        let status = self.raft.status();
        let leadership = self.raft.leadership().borrow().clone();
        let leader = leadership.leader.as_ref().map(|(leader, _)| *leader);
        let nodes = &status.members.nodes;
        let silence = match leader {
            // Every other answers its heartbeats.
            Some(leader) if leader == leadership.me => nodes
                .iter()
                .filter_map(|(node, peer)| Some((*node, self.peers.silence(&peer.address)?)))
                .collect(),
            Some(leader) => BTreeMap::from([(leader, status.leader_heard)]),
            None => BTreeMap::new(),
        };
        Group {
            me: leadership.me,
            serving: leadership.is_serving(),
            leader,
            members: nodes.iter().map(|(node, peer)| (*node, peer.name.clone())).collect(),
            voters: status.members.voters,
            lag: status.lag,
            silence,
            spoke: status.heard_leader.map(|leader| (leader, status.leader_heard)),
            unheard: timing::unheard(self.settings.timing),
        }
    }

    /// Whether no other broker votes.
    pub fn is_alone(&self) -> bool {
        self.raft.status().members.voters.iter().flatten().eq([&self.raft.node()])
    }

    /// What agents should know of the cluster.
    pub fn cluster_view(&self, table: &Table) -> wire::ClusterView {
        let (generation, claimant) = self.stands_on(table, self.raft.claim());
        let removed = table.removed().map(|(_, it)| (&it.certificate, it.at, false));
        let former = table.rebuild().into_iter().flat_map(|rebuild| {
            // The lost table's clock may have been ahead of this one's.
            let at = rebuild.since.plus(TOKEN_LEEWAY_MS);
            rebuild.keys.iter().map(move |certificate| (certificate, at, true))
        });
        let withdrawn = removed.chain(former).map(|(certificate, at, former)| wire::WithdrawnKey {
            certificate: certificate.to_string(),
            at_ms: at.0,
            former,
        });
        wire::ClusterView {
            cluster: self.identity.cluster().to_string(),
            version: Some(wire::Version { generation, claimant, revision: table.revision() }),
            withdrawn: withdrawn.collect(),
            key_certificates: table.brokers().map(|it| it.certificate.clone()).collect(),
            brokers: table
                .brokers()
                .map(|it| wire::Broker {
                    id: it.id.to_string(),
                    public_url: it.public_url.clone(),
                    agent_address: it.agent_address.clone(),
                })
                .collect(),
        }
    }

    /// The configuration that agents should go by; `None` while none was ever taken. After the loss of a table
    /// they go on with what they had.
    pub fn cluster_config(&self, table: &Table) -> Option<wire::ClusterConfig> {
        self.config_version(table).map(|version| wire::ClusterConfig {
            version: Some(version),
            text: Bytes::from_owner(Shared(table.config().clone())),
            cluster: self.identity.cluster().to_string(),
        })
    }

    /// In what order agents put it.
    fn config_version(&self, table: &Table) -> Option<wire::Version> {
        let (generation, claimant) = self.stands_on(table, self.raft.claim());
        let revision = table.config().number;
        (revision > 0).then_some(wire::Version { generation, claimant, revision })
    }

    /// Writes this broker into the table, with its key's certificate, and keeps the ring as the table
    /// says from then on. Ends when the engine does.
    pub async fn publish(self) {
        let mut changes = self.raft.changes();
        let mut leadership = self.raft.leadership();
        let (mut told, mut configured, mut others) = (None, None, BTreeSet::new());
        let mut rebuilds = rebuild::is_due(&self);
        loop {
            self.believe();
            let table = self.raft.latest();
            let view = self.cluster_view(&table.0);
            if told.as_ref() != Some(&view) {
                self.hub.tell_all(&wire::broker_message::Message::Cluster(view.clone()));
                told = Some(view);
            }
            // The table changes often, and the text is long.
            let version = self.config_version(&table.0);
            if configured != version {
                let config =
                    self.cluster_config(&table.0).map(wire::broker_message::Message::Config);
                config.iter().for_each(|config| self.hub.tell_all(config));
                configured = version;
                // Also where nobody asks for it: what cannot be read here is said at once.
                drop(self.policy());
            }
            timing::compare(&table.0, self.settings.timing, &mut others);
            if rebuilds && !leadership.borrow().is_leaderless() {
                // Before this broker's row: nobody is served before that.
                rebuilds = !rebuild::begin(&self).await;
                continue;
            }
            let may_lack = !rebuilds && self.needs_publishing(&table.0);
            let unanswered =
                may_lack && !leadership.borrow().is_leaderless() && !self.publish_row().await;
            let alive = tokio::select! {
                changed = changes.changed() => changed.is_ok(),
                changed = leadership.changed() => changed.is_ok(),
                () = sleep(PUBLISH_AGAIN), if unanswered => true,
            };
            if !alive {
                return;
            }
        }
    }

    /// Writes this broker's row, if the table that the brokers agree on lacks it; whether they answered. A table
    /// that is still being caught up with may lack the certificate of this broker's key, and another in its
    /// place would not cover what the key has signed: everybody whom this broker let in would be out.
    async fn publish_row(&self) -> bool {
        let Ok(table) = self.table().await else { return false };
        if !self.needs_publishing(&table.0) {
            return true;
        }
        self.propose(Change::PutBroker(self.row(&table.0))).await.is_ok()
    }

    /// Believes the keys that the table certifies now.
    fn believe(&self) {
        // Held meanwhile, so that no older table overtakes a newer one.
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.raft.latest();
        let view = self.cluster_view(&table.0);
        if believed.as_ref() == Some(&view) {
            return;
        }
        let mut ring = KeyRing::new(self.identity.cluster(), self.authority.root_key());
        let mut current = BTreeSet::new();
        let believed_now = view.key_certificates.iter().map(|it| (it, None));
        let gone = view.withdrawn.iter().map(|it| (&it.certificate, Some(Timestamp(it.at_ms))));
        for (certificate, withdrawn) in believed_now.chain(gone) {
            match (ring.admit(certificate), withdrawn) {
                (Ok(key), None) => drop(current.insert(key)),
                (Ok(key), Some(at)) if !current.contains(&key) => ring.withdraw(key, at),
                (Ok(_), Some(_)) => {}
                (Err(cause), _) => {
                    let cause: &dyn std::error::Error = &cause;
                    tracing::warn!(cause, "A broker's key certificate is not good");
                }
            }
        }
        self.verifier.set_ring(ring);
        // What was signed with a key that was not known may be good now.
        self.hub.mark_all_unread();
        *believed = Some(view);
    }

    fn needs_publishing(&self, table: &Table) -> bool {
        table.broker(&self.id).is_none_or(|row| {
            row.public_url != self.settings.public_url.as_str()
                || row.agent_address != self.settings.agent_address
                || row.timing != self.settings.timing
        })
    }

    /// A key that is certified already keeps its certificate: a new one would not cover what the key
    /// signed before.
    fn row(&self, table: &Table) -> abide_model::Broker {
        let known = table.broker(&self.id).map(|row| row.certificate.clone());
        let certify =
            || self.authority.certify(self.id.clone(), self.signing_key, self.clock.now());
        abide_model::Broker {
            id: self.id.clone(),
            public_url: self.settings.public_url.as_str().to_owned(),
            agent_address: self.settings.agent_address.clone(),
            certificate: known.unwrap_or_else(certify),
            timing: self.settings.timing,
        }
    }
}

/// Before this broker's row is offered again, if nobody answered.
const PUBLISH_AGAIN: Duration = Duration::from_secs(1);

/// How long one request may wait for the cluster, the desktop's start included.
pub const PATIENCE: Duration = Duration::from_secs(30);
