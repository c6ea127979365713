//! Answers to a login whose conversation another broker holds.

use abide_api::{LoginReply, ProblemKind};
use abide_auth::ConversationId;
use abide_wire::peer::{AnswerRequest, answer_reply};
use tokio::time::timeout;

use crate::broker::{Broker, PATIENCE};
use crate::problem::Refused;

impl Broker {
    /// Passes answers on to the broker that the conversation names.
    ///
    /// # Errors
    /// What that broker says; or it cannot be reached, and the login begins anew, with the answers that
    /// the client holds.
    pub async fn answer_elsewhere(
        &self,
        id: &ConversationId,
        conversation: String,
        answers: Vec<String>,
    ) -> Result<LoginReply, Refused> {
        let gone = || {
            let detail = "The broker that this login was begun at is gone. Begin again.";
            Refused::from(ProblemKind::NotFound.because(detail))
        };
        let table = self.raft.latest();
        let address = &table.0.broker(id.broker()).ok_or_else(gone)?.agent_address;
        let mut client = self.peers.client(address);
        let call = client.answer(AnswerRequest { conversation, answers });
        let answer = timeout(PATIENCE, call).await.ok();
        self.peers.judge(address, answer.as_ref());
        let reply = answer.and_then(Result::ok).ok_or_else(gone)?.into_inner().reply;
        match reply.ok_or_else(gone)? {
            answer_reply::Reply::Login(json) => serde_json::from_slice(&json).map_err(|_| gone()),
            answer_reply::Reply::Problem(json) => {
                let problem: abide_api::Problem =
                    serde_json::from_slice(&json).map_err(|_| gone())?;
                Err(problem.into())
            }
        }
    }
}
