//! What brokers ask of one another, asked in a broker's name.

use abide_client::Api;
use abide_model::{Change, Command, Timestamp, WireVersion};
use abide_tls::BrokerIdentity;
use abide_wire::peer::ProposeRequest;
use abide_wire::peer::cooperation_client::CooperationClient;
use abide_wire::peer::propose_reply::Outcome;
use anyhow::bail;

use crate::Cluster;
use crate::played::PATIENCE;

impl Cluster {
    /// Has the leader commit a change, as another broker would: for what there is no call of the API.
    ///
    /// # Errors
    /// When it does not lead, or refuses.
    pub async fn commit(&self, admin: &Api, change: Change) -> anyhow::Result<()> {
        let leader = self.leader(admin).await?;
        let (leader, other) =
            (&self.brokers()[leader], &self.brokers()[(leader + 1) % self.brokers().len()]);
        let identity = BrokerIdentity::load(&other.dir.join("identity"))?.identity;
        let tls = identity.internal_client();
        let (channel, _) = abide_peers::dial(&leader.agent_address, tls, PATIENCE).await?;
        // The leader sets the time.
        let command = Command { at: Timestamp(0), change };
        let command = abide_wire::write_command(&command, WireVersion(u32::MAX))?.into();
        let reply = CooperationClient::new(channel).propose(ProposeRequest { command }).await?;
        match reply.into_inner().outcome {
            Some(Outcome::Done(_) | Outcome::Unchanged(_)) => Ok(()),
            other => bail!("{other:?}"),
        }
    }
}
