//! Exchanging a ticket for a pass.

use abide_model::{AgentId, SessionId, Timestamp, ViewKey};
use abide_ticket::{Authentic, Ticket};
use tracing::info;

use super::door::{Carrier, PassText};
use crate::clock::{self, Clocks};
use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::owner::{Denied, Handle, Redeem};

/// How much longer a used ticket is remembered than its issuer's clock, as we know it, says: for
/// clocks that are set back.
const REMEMBERED: u64 = 3_600_000;

/// Where tickets are exchanged.
pub(super) struct Shop<'a> {
    pub(super) me: &'a AgentId,
    pub(super) owner: &'a Handle,
    pub(super) cluster: &'a Cluster,
    pub(super) clocks: &'a Clocks,
    pub(super) metrics: &'a Metrics,
}

/// What a ticket gave.
pub(super) struct Redeemed {
    pub(super) session: SessionId,
    pub(super) pass: PassText,
    pub(super) status: String,
}

impl Shop<'_> {
    /// Exchanges a ticket; `place` is where it was shown, if that names a session;
    /// `carrier` is how the pass will travel.
    ///
    /// # Errors
    /// [`Denied`]. What exactly is wrong with a ticket is logged; its bearer is told less.
    pub(super) async fn redeem(
        &self,
        text: &str,
        place: Option<(SessionId, &ViewKey)>,
        carrier: Carrier,
    ) -> Result<Redeemed, Denied> {
        let result = self.exchange(text, place, carrier).await;
        self.metrics.ticket(result.is_ok());
        match &result {
            Ok(redeemed) => info!(session = %redeemed.session, "Ticket redeemed"),
            Err(denied) => info!(%denied, "Ticket refused"),
        }
        result
    }

    async fn exchange(
        &self,
        text: &str,
        place: Option<(SessionId, &ViewKey)>,
        carrier: Carrier,
    ) -> Result<Redeemed, Denied> {
        let refused = |cause: &dyn std::error::Error| {
            info!(cause = crate::keepers::chain(cause), "Ticket is not good");
            Denied::Ticket
        };
        let view = self.cluster.view();
        let authentic: Authentic<Ticket> = view.ring.verify(text).map_err(|it| refused(&it))?;
        let issuers_now = self.clocks.at(authentic.issuer());
        let ticket = authentic.judge(issuers_now).map_err(|it| refused(&it))?.clone();
        let session = place.map_or(ticket.session, |(session, _)| session);
        ticket.check_place(self.me, session).map_err(|it| refused(&it))?;

        let pass = PassText::new(carrier);
        let status = ticket.status.clone();
        let redeem = Redeem {
            forget_at: forget_at(authentic.forgettable_at(), issuers_now),
            ticket,
            view_key: place.map(|(_, view_key)| view_key.clone()),
            hash: pass.hash(),
        };
        self.owner.redeem(redeem).await?;
        Ok(Redeemed { session, pass, status })
    }
}

/// When a used ticket may be forgotten, by our clock.
fn forget_at(by_issuer: Timestamp, issuers_now: Timestamp) -> Timestamp {
    clock::now().plus(by_issuer.since(issuers_now)).plus(REMEMBERED)
}
