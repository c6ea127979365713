//! FROZEN: formats 1, 2, which adds log-outs, and 3, which adds the configuration and pools. The records as JSON, so that a person can read them with any
//! SQLite tool. A change of their meaning is a new format and a `From` of these.

use abide_model::{
    BootId, EndReason, Fence, PoolName, ProfileName, SessionId, Timestamp, UserName, ViewKey,
};
use abide_session::{KeeperMark, Order, PassHash, Phase, Row};
use abide_ticket::{TokenId, ViewMode};
use serde::{Deserialize, Serialize};

use crate::contents::{KeptConfig, Pass};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredRow {
    order: Option<StoredOrder>,
    boot: BootId,
    keeper: Option<StoredKeeper>,
    ever_attached: bool,
    phase: StoredPhase,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOrder {
    text: String,
    user: UserName,
    profile: ProfileName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<PoolName>,
    view_key: ViewKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKeeper {
    pid: u32,
    start_ticks: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredPhase {
    Starting,
    Running,
    Ending { by: String },
    Ended { at: Timestamp, reason: StoredReason },
    Cancelled,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredReason {
    LoggedOut,
    Crashed { detail: String },
    Asked { by: String },
    NeverStarted { detail: String },
    LostToBoot { was: BootId, now: BootId },
    LostKeeper { pid: u32 },
    HostShutDown,
    Abandoned { by: String },
    Superseded { by: SessionId },
    Cancelled,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredPass {
    session: SessionId,
    user: UserName,
    viewer: TokenId,
    mode: ViewMode,
    status: String,
    /// Absent in rows of the first versions: then any "log out everywhere" is later.
    #[serde(default)]
    issued_at: Timestamp,
    last_used: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredTicket {
    pub(crate) forget_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredLogOut {
    pub(crate) before: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredClock {
    pub(crate) offset_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredFence {
    generation: u64,
    claimant: u64,
    term: u64,
    leader: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredCluster {
    pub(crate) view: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredConfig {
    told: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read: Option<String>,
}

impl StoredConfig {
    pub(crate) fn of(kept: &KeptConfig) -> Self {
        Self { told: hex::encode(&kept.told), read: kept.read.as_ref().map(hex::encode) }
    }

    pub(crate) fn into_kept(self) -> Option<KeptConfig> {
        let read = self.read.map(hex::decode).transpose().ok()?;
        Some(KeptConfig { told: hex::decode(self.told).ok()?, read })
    }
}

impl StoredRow {
    /// `None` for a session that nothing is known of: it is never stored.
    pub(crate) fn of(row: &Row) -> Option<Self> {
        let phase = match &row.phase {
            Phase::New => return None,
            Phase::Starting => StoredPhase::Starting,
            Phase::Running => StoredPhase::Running,
            Phase::Ending { by } => StoredPhase::Ending { by: by.to_string() },
            Phase::Ended { at, reason } => {
                StoredPhase::Ended { at: *at, reason: StoredReason::of(reason) }
            }
            Phase::Cancelled => StoredPhase::Cancelled,
        };
        let order = row.order.as_ref().map(|order| StoredOrder {
            text: order.text.to_string(),
            user: order.user.clone(),
            profile: order.profile.clone(),
            pool: order.pool.clone(),
            view_key: order.view_key.clone(),
        });
        let keeper =
            row.keeper.map(|KeeperMark { pid, start_ticks }| StoredKeeper { pid, start_ticks });
        Some(Self {
            order,
            boot: row.boot.clone(),
            keeper,
            ever_attached: row.ever_attached,
            phase,
        })
    }

    pub(crate) fn into_row(self, session: SessionId) -> Row {
        let phase = match self.phase {
            StoredPhase::Starting => Phase::Starting,
            StoredPhase::Running => Phase::Running,
            StoredPhase::Ending { by } => Phase::Ending { by: by.into() },
            StoredPhase::Ended { at, reason } => Phase::Ended { at, reason: reason.into() },
            StoredPhase::Cancelled => Phase::Cancelled,
        };
        let order = self.order.map(|StoredOrder { text, user, profile, pool, view_key }| Order {
            text: text.into(),
            user,
            profile,
            pool,
            view_key,
        });
        let keeper =
            self.keeper.map(|StoredKeeper { pid, start_ticks }| KeeperMark { pid, start_ticks });
        Row { session, order, boot: self.boot, keeper, ever_attached: self.ever_attached, phase }
    }
}

impl StoredReason {
    fn of(reason: &EndReason) -> Self {
        match reason {
            EndReason::LoggedOut => Self::LoggedOut,
            EndReason::Crashed { detail } => Self::Crashed { detail: detail.to_string() },
            EndReason::Asked { by } => Self::Asked { by: by.to_string() },
            EndReason::NeverStarted { detail } => Self::NeverStarted { detail: detail.to_string() },
            EndReason::LostToBoot { was, now } => {
                Self::LostToBoot { was: was.clone(), now: now.clone() }
            }
            EndReason::LostKeeper { pid } => Self::LostKeeper { pid: *pid },
            EndReason::HostShutDown => Self::HostShutDown,
            EndReason::Abandoned { by } => Self::Abandoned { by: by.to_string() },
            EndReason::Superseded { by } => Self::Superseded { by: *by },
            EndReason::Cancelled => Self::Cancelled,
        }
    }
}

impl From<StoredReason> for EndReason {
    fn from(reason: StoredReason) -> Self {
        match reason {
            StoredReason::LoggedOut => Self::LoggedOut,
            StoredReason::Crashed { detail } => Self::Crashed { detail: detail.into() },
            StoredReason::Asked { by } => Self::Asked { by: by.into() },
            StoredReason::NeverStarted { detail } => Self::NeverStarted { detail: detail.into() },
            StoredReason::LostToBoot { was, now } => Self::LostToBoot { was, now },
            StoredReason::LostKeeper { pid } => Self::LostKeeper { pid },
            StoredReason::HostShutDown => Self::HostShutDown,
            StoredReason::Abandoned { by } => Self::Abandoned { by: by.into() },
            StoredReason::Superseded { by } => Self::Superseded { by },
            StoredReason::Cancelled => Self::Cancelled,
        }
    }
}

impl StoredPass {
    pub(crate) fn of(pass: &Pass) -> Self {
        Self {
            session: pass.session,
            user: pass.user.clone(),
            viewer: pass.viewer,
            mode: pass.mode,
            status: pass.status.clone(),
            issued_at: pass.issued_at,
            last_used: pass.last_used,
        }
    }

    pub(crate) fn into_pass(self, hash: PassHash) -> Pass {
        let Self { session, user, viewer, mode, status, issued_at, last_used } = self;
        Pass { hash, session, user, viewer, mode, status, issued_at, last_used }
    }
}

impl From<Fence> for StoredFence {
    fn from(Fence { generation, claimant, term, leader }: Fence) -> Self {
        Self { generation, claimant, term, leader }
    }
}

impl From<StoredFence> for Fence {
    fn from(StoredFence { generation, claimant, term, leader }: StoredFence) -> Self {
        Self { generation, claimant, term, leader }
    }
}
