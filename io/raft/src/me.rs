//! Who this node is.

use std::sync::{Mutex, MutexGuard};

use uuid::Uuid;

use crate::ids::{Claim, NodeId};
use crate::store::Identity;
use crate::transport::Stamp;

/// This node's identity. All of it but the claim stays the same as long as the data folder lives.
pub(crate) struct Me {
    pub(crate) cluster: Uuid,
    pub(crate) node: NodeId,
    claim: Mutex<Claim>,
}

impl Me {
    pub(crate) fn new(identity: Identity) -> Self {
        let Identity { cluster, node, claim } = identity;
        Self { cluster, node, claim: Mutex::new(claim) }
    }

    pub(crate) fn claim(&self) -> Claim {
        *self.lock()
    }

    /// For one that is already on the disk.
    pub(crate) fn set_claim(&self, claim: Claim) {
        *self.lock() = claim;
    }

    pub(crate) fn stamp(&self, to: NodeId) -> Stamp {
        Stamp { cluster: self.cluster, claim: self.claim(), from: self.node, to }
    }

    fn lock(&self) -> MutexGuard<'_, Claim> {
        self.claim.lock().expect("no holder of this lock panics")
    }
}
