//! Who this node is.

use std::sync::{Mutex, MutexGuard};

use uuid::Uuid;

use crate::ids::{Claim, NodeId};
use crate::store::Identity;
use crate::transport::Stamp;

/// This node's identity. A forced takeover gives it another node id, for it is another life then.
pub(crate) struct Me {
    pub(crate) cluster: Uuid,
    now: Mutex<(NodeId, Claim)>,
}

impl Me {
    pub(crate) fn new(identity: Identity) -> Self {
        let Identity { cluster, node, claim } = identity;
        Self { cluster, now: Mutex::new((node, claim)) }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.lock().0
    }

    pub(crate) fn claim(&self) -> Claim {
        self.lock().1
    }

    /// For what is already on the disk.
    pub(crate) fn set(&self, identity: Identity) {
        *self.lock() = (identity.node, identity.claim);
    }

    /// As it would be on the disk with this claim.
    pub(crate) fn with_claim(&self, claim: Claim) -> Identity {
        Identity { cluster: self.cluster, node: self.node(), claim }
    }

    pub(crate) fn stamp(&self, to: NodeId) -> Stamp {
        let (from, claim) = *self.lock();
        Stamp { cluster: self.cluster, claim, from, to }
    }

    fn lock(&self) -> MutexGuard<'_, (NodeId, Claim)> {
        self.now.lock().expect("no holder of this lock panics")
    }
}
