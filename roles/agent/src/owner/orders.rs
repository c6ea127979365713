//! What brokers command.

use abide_ledger::{Pass, Write};
use abide_model::{Fence, InvalidId, SessionId, Timestamp, UserName};
use abide_session::{CloseReason, Event, Fenced, Order, Refusal};
use abide_wire::agent::{Command, RevokePasses, command};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::turn::After;
use super::{Owner, Promise, Verdict};
use crate::profiles::offered;

impl Owner {
    pub(super) fn command(&mut self, command: Command, reply: oneshot::Sender<Verdict>) {
        let fence = Fence::from(command.fence.unwrap_or_default());
        let verdict = match self.gate.pass(fence) {
            Fenced::Refused { highest } => {
                warn!(%fence, %highest, "Command of a replaced leader refused");
                Verdict::Fenced(highest)
            }
            passed => {
                if let Fenced::Raised(fence) = passed {
                    self.turn.write(Write::PutFence(fence));
                }
                match self.obey(command.command) {
                    Ok(()) => Verdict::Obeyed,
                    Err(detail) => Verdict::Rejected(detail),
                }
            }
        };
        self.turn.then(After::Answer(reply, verdict));
    }

    /// Tells whom this agent obeys; after a promise not before it is durable.
    pub(super) fn tell_fence(&mut self, promise: Option<Promise>, reply: oneshot::Sender<Fence>) {
        let Some(Promise { next, known }) = promise else {
            // Whoever asked may have gone; there is nobody else to tell.
            let _ = reply.send(self.gate.highest());
            return;
        };
        if let Some(fence) = self.gate.promise(next, known) {
            info!(%fence, "Promised to a broker that goes on alone");
            self.turn.write(Write::PutFence(fence));
        }
        self.turn.then(After::Promised(reply, self.gate.highest()));
    }

    fn obey(&mut self, command: Option<command::Command>) -> Result<(), String> {
        use command::Command;
        let order = |refusal: Refusal| refusal.to_string();
        match command
            .ok_or("this agent does not know that command; it may be older than the broker")?
        {
            Command::Start(start) => self.start(&start.order),
            Command::End(end) => {
                let by = end.by.as_str().into();
                self.order(id(&end.session)?, Event::EndOrdered { by }).map_err(order)
            }
            Command::Cancel(cancel) => {
                self.order(id(&cancel.session)?, Event::CancelOrdered).map_err(order)
            }
            Command::Forget(forget) => {
                self.order(id(&forget.session)?, Event::ForgetOrdered).map_err(order)
            }
            Command::RevokePasses(revoke) => {
                self.log_out(revoke)?;
                Ok(())
            }
        }
    }

    fn start(&mut self, text: &str) -> Result<(), String> {
        let order = self.parts.cluster.view().ring.verify_order(text);
        let order = order.map_err(|cause| crate::keepers::chain(&cause))?;
        if order.agent != self.parts.me {
            return Err(format!("the order is for agent {}", order.agent));
        }
        let session = order.session;
        // A repeat costs nothing, so nothing stands in its way.
        if !self.desks.contains_key(&session) {
            if self.stuck || !self.parts.ledger.has_room(self.parts.settings.least_free) {
                return Err("the disk of this agent is full; it takes no new sessions".to_owned());
            }
            let offered = offered(&self.parts.settings, &self.parts.policy.now());
            if !offered.iter().any(|it| it.profile.name == order.profile) {
                return Err(format!("this agent has no profile {}", order.profile));
            }
            info!(%session, user = %order.user, profile = %order.profile, "Session ordered");
        }
        let order = Order {
            text: text.into(),
            user: order.user,
            profile: order.profile,
            pool: order.pool,
            view_key: order.view_key,
        };
        self.order(session, Event::StartOrdered(order)).map_err(|refusal| refusal.to_string())
    }

    /// "Log out everywhere", of any number of users. All names are looked at before anything is done.
    fn log_out(&mut self, revoke: RevokePasses) -> Result<(), String> {
        let RevokePasses { user, before_ms, others } = revoke;
        let others = others.into_iter().map(|it| (it.user, it.before_ms));
        let all = std::iter::once((user, before_ms)).chain(others);
        let parsed: Result<Vec<_>, _> =
            all.map(|(user, before)| Ok((user.parse()?, Timestamp(before)))).collect();
        let parsed = parsed.map_err(|cause: InvalidId| cause.to_string())?;
        for (user, before) in parsed {
            self.revoke_passes(user, before);
        }
        Ok(())
    }

    /// What came of this user's tickets until then opens nothing any more. No desktop ends.
    fn revoke_passes(&mut self, user: UserName, before: Timestamp) {
        let is_revoked = |pass: &&Pass| pass.user == user && pass.issued_at <= before;
        let revoked: Vec<_> =
            self.passes.values().filter(is_revoked).map(|pass| pass.hash).collect();
        for hash in &revoked {
            self.passes.remove(hash);
            self.turn.write(Write::DeletePass(*hash));
        }
        let ids: Vec<SessionId> = self.desks.keys().copied().collect();
        for id in ids {
            self.evict(id, CloseReason::PassRevoked, |hash| revoked.contains(&hash));
        }
        if !revoked.is_empty() {
            info!(%user, passes = revoked.len(), "Passes revoked");
        }
        if let Some(new) = self.log_outs.note(user, before, Instant::now()) {
            self.turn.write(Write::PutLogOut(new));
        }
    }
}

fn id(text: &str) -> Result<SessionId, String> {
    text.parse().map_err(|cause| format!("{cause}"))
}
