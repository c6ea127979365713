//! Making a turn durable, and doing what it decided.

use std::collections::HashMap;
use std::sync::Arc;

use abide_ledger::{Write, WriteError};
use abide_model::SessionId;
use abide_session::{CloseReason, Effect, Event, PassHash, Phase, Refusal, Session, ViewerId};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::turn::{After, Turn};
use super::{DEPARTED, Departed, Desk, Greeting, Owner};
use crate::rows::report;

/// Reports that a broker may be behind. One that is further behind is greeted anew.
const REPORTS: usize = 1024;

impl Owner {
    /// Takes an order to a session, known or not.
    pub(super) fn order(&mut self, id: SessionId, event: Event) -> Result<(), Refusal> {
        let mut out = Vec::new();
        let boot = &self.parts.boot;
        let new = || Desk::new(Session::new(id, boot.clone()));
        let desk = self.desks.entry(id).or_insert_with(new);
        let result = desk.session.step(event, &mut out);
        for effect in out {
            self.plan(id, effect);
        }
        if self.desks.get(&id).is_some_and(|desk| desk.session.row().phase == Phase::New) {
            self.desks.remove(&id);
        }
        result
    }

    /// Takes news of a session that is known; of others there is nothing to note.
    pub(super) fn note(&mut self, id: SessionId, event: Event) {
        if !self.desks.contains_key(&id) {
            return;
        }
        if let Err(refusal) = self.order(id, event) {
            warn!(session = %id, %refusal, "News of a session was refused");
        }
    }

    fn plan(&mut self, id: SessionId, effect: Effect) {
        let Some(desk) = self.desks.get(&id) else { return };
        match effect {
            Effect::WriteRow => {
                let row = desk.session.row().clone();
                self.turn.write(Write::PutSession(row.clone()));
                self.turn.then(After::Saved(row));
            }
            Effect::DeleteRow => {
                self.turn.write(Write::DeleteSession(id));
                for pass in self.passes.values().filter(|pass| pass.session == id) {
                    self.turn.write(Write::DeletePass(pass.hash));
                }
                self.turn.then(After::Forget(id));
            }
            Effect::Report => self.turn.then(After::Report(id)),
            Effect::Launch => self.turn.then(After::Launch(id)),
            // At once, also on a full disk: the keeper records the end itself.
            Effect::EndKeeper { by } => {
                desk.want_end.send_replace(Some(by));
            }
            Effect::CleanUp => self.turn.then(After::CleanUp(id)),
            Effect::CloseViewers(reason) => self.turn.then(After::CloseViewers(id, reason)),
        }
    }

    /// Makes the turn durable, then does the rest of it. On a full disk it stays as it is.
    pub(super) async fn settle(&mut self) -> Result<(), WriteError> {
        while !self.turn.is_empty() {
            match self.parts.ledger.write(self.turn.writes.clone()).await {
                Ok(()) => {}
                Err(cause @ WriteError::Full { .. }) => {
                    if !self.stuck {
                        warn!(%cause, "Changes wait for room on the disk");
                    }
                    self.stuck = true;
                    return Ok(());
                }
                Err(cause) => return Err(cause),
            }
            if std::mem::take(&mut self.stuck) {
                info!("The changes that waited for room are durable");
            }
            let Turn { after, .. } = std::mem::take(&mut self.turn);
            for after in after {
                self.carry_out(after);
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, after: After) {
        match after {
            After::Saved(row) => {
                if let Some(desk) = self.desks.get_mut(&row.session) {
                    desk.saved = Some(row);
                }
                self.count_sessions();
            }
            After::Report(id) => self.report(id),
            After::Launch(id) => {
                if let Some(desk) = self.desks.get(&id)
                    && let Some(order) = desk.session.row().order.clone()
                {
                    self.keepers.launch(id, order, desk.want_end.subscribe());
                }
            }
            After::CleanUp(id) => self.keepers.clean_up(id),
            After::CloseViewers(id, reason) => self.close_viewers(id, reason),
            After::Forget(id) => self.forget(id),
            // Below: whoever asked may have gone, and there is nobody else to tell.
            After::Promised(reply, fence) => {
                let _ = reply.send(fence);
            }
            After::Answer(reply, verdict) => {
                let _ = reply.send(verdict);
            }
            After::Redeemed(reply) => {
                let _ = reply.send(Ok(()));
            }
            After::Attached(reply, attachment) => {
                let _ = reply.send(Ok(attachment));
            }
        }
    }

    /// At once, also on a full disk: what is durable, and from then on what becomes so.
    pub(super) fn greet(&mut self, reply: oneshot::Sender<Greeting>) {
        let (sender, reports) = mpsc::channel(REPORTS);
        let saved = self.desks.values().filter_map(|desk| desk.saved.as_ref());
        let rows = saved.filter_map(report).collect();
        let greeting = Greeting { fence: self.gate.highest(), rows, reports };
        if reply.send(greeting).is_ok() {
            self.brokers.push(sender);
        }
    }

    fn report(&mut self, id: SessionId) {
        let saved = self.desks.get(&id).and_then(|desk| desk.saved.as_ref());
        if let Some(row) = saved.and_then(report) {
            self.brokers.retain(|broker| broker.try_send(row.clone()).is_ok());
        }
    }

    fn forget(&mut self, id: SessionId) {
        let passes = self.passes.extract_if(|_, pass| pass.session == id).map(|(hash, _)| hash);
        let passes = passes.collect();
        let Some(desk) = self.desks.remove(&id) else { return };
        self.count_sessions();
        let row = desk.session.row();
        if let (Phase::Ended { reason, .. }, Some(order)) = (&row.phase, &row.order) {
            self.departed.truncate(DEPARTED - 1);
            self.departed.push_front(Departed {
                session: id,
                view_key: order.view_key.clone(),
                passes,
                reason: reason.clone(),
            });
        }
    }

    pub(super) fn close_viewers(&mut self, id: SessionId, reason: CloseReason) {
        self.evict(id, reason, |_| true);
    }

    /// Sends away the viewers that came with one of these passes.
    pub(super) fn evict(
        &mut self,
        id: SessionId,
        reason: CloseReason,
        which: impl Fn(PassHash) -> bool,
    ) {
        let Some(desk) = self.desks.get_mut(&id) else { return };
        // They are counted until they have gone; the connections tell them to.
        let chosen = desk.connections.iter().filter(|(_, connection)| which(connection.pass));
        let chosen: Vec<ViewerId> = chosen.map(|(viewer, _)| *viewer).collect();
        for viewer in chosen {
            if let Some(connection) = desk.connections.remove(&viewer) {
                // It may have gone by itself.
                let _ = connection.close.send(reason);
            }
        }
    }

    /// Tells the brokers' streams how many viewers there are.
    pub(super) fn count_viewers(&self) {
        let each = self.desks.iter().map(|(id, desk)| (*id, desk.viewers.count()));
        let counts: HashMap<_, _> = each
            .filter(|(_, count)| *count > 0)
            .map(|(id, count)| (id, u32::try_from(count).unwrap_or(u32::MAX)))
            .collect();
        self.parts.metrics.viewers.set(counts.values().copied().map(i64::from).sum());
        self.counts.send_replace(Arc::new(counts));
    }

    fn count_sessions(&self) {
        let live = |desk: &&Desk| !desk.session.row().phase.is_over();
        let count = self.desks.values().filter(live).count();
        self.parts.metrics.sessions.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
