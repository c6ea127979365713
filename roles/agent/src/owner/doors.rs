//! Tickets, passes and viewers: who gets to see a session.

use abide_ledger::{Pass, UsedTicket, Write};
use abide_model::{EndReason, ProfileName, SessionId, Timestamp, UserName, ViewKey};
use abide_session::{CloseReason, Event, Evicted, PassHash, Phase, Refusal, ViewerId};
use abide_ticket::{Ticket, ViewMode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::info;

use super::limits::{LastInput, Warnings};
use super::turn::After;
use super::{Connection, Desk, Owner, Screen};
use crate::clock;

/// A running viewer's pass is noted as used when the note is older than this, milliseconds.
const NOTE_AFTER: u64 = 60_000;

/// A ticket to be exchanged. Its signature, its time and its agent were checked.
#[derive(Debug)]
pub(crate) struct Redeem {
    pub(crate) ticket: Ticket,
    /// By this host's clock.
    pub(crate) forget_at: Timestamp,
    /// The path that it was posted to, if it was.
    pub(crate) view_key: Option<ViewKey>,
    /// The new pass's.
    pub(crate) hash: PassHash,
}

/// A pass, and the path on which it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) session: SessionId,
    pub(crate) view_key: ViewKey,
    pub(crate) pass: PassHash,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("there is no such session here")]
    Unknown,
    #[error("{0}")]
    Ended(EndReason),
    #[error("the ticket is not valid, or no longer")]
    Ticket,
    #[error("the ticket was used already")]
    Replayed,
    #[error("the ticket is for somebody else's session")]
    WrongUser,
    #[error("the pass is not valid, or no longer")]
    Pass,
    #[error("the session is not ready yet")]
    NotNow,
    #[error("the session has as many viewers as it can have")]
    TooMany,
    #[error("the disk of this agent is full")]
    DiskFull,
}

/// What a viewer may know of its session.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) phase: Phase,
    pub(crate) profile: ProfileName,
    pub(crate) user: UserName,
    pub(crate) viewers: u32,
    pub(crate) status: String,
    pub(crate) mode: ViewMode,
}

/// A place at a session. Dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) screen: Screen,
    pub(crate) mode: ViewMode,
    /// When and why to leave.
    pub(crate) close: oneshot::Receiver<CloseReason>,
    /// To be told when the viewer's person does something.
    pub(crate) input: LastInput,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    session: SessionId,
    viewer: ViewerId,
    leave: mpsc::UnboundedSender<(SessionId, ViewerId)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // An owner that has stopped counts nobody.
        let _ = self.leave.send((self.session, self.viewer));
    }
}

impl Owner {
    pub(super) fn redeem(&mut self, redeem: Redeem, reply: oneshot::Sender<Result<(), Denied>>) {
        match self.exchange(redeem) {
            Ok(()) => self.turn.then(After::Redeemed(reply)),
            Err(denied) => {
                // Whoever asked may have gone; there is nobody else to tell.
                let _ = reply.send(Err(denied));
            }
        }
    }

    fn exchange(&mut self, redeem: Redeem) -> Result<(), Denied> {
        let Redeem { ticket, forget_at, view_key, hash } = redeem;
        let row = self.desk(ticket.session)?.session.row();
        let order = row.order.as_ref().ok_or(Denied::Unknown)?;
        if view_key.is_some_and(|key| key != order.view_key) {
            return Err(Denied::Unknown);
        }
        if order.user != ticket.user {
            return Err(Denied::WrongUser);
        }
        match &row.phase {
            Phase::Running => {}
            Phase::Ended { reason, .. } => return Err(Denied::Ended(reason.clone())),
            _ => return Err(Denied::NotNow),
        }
        if self.log_outs.cover(&ticket.user, ticket.issued_at) {
            return Err(Denied::Ticket);
        }
        if self.tickets.contains_key(&ticket.jti) {
            return Err(Denied::Replayed);
        }
        if self.stuck {
            return Err(Denied::DiskFull);
        }
        let used = UsedTicket { jti: ticket.jti, forget_at };
        let pass = Pass {
            hash,
            session: ticket.session,
            user: ticket.user,
            viewer: ticket.jti,
            mode: ticket.mode,
            status: ticket.status,
            issued_at: ticket.issued_at,
            last_used: clock::now(),
        };
        self.tickets.insert(used.jti, used.forget_at);
        self.passes.insert(hash, pass.clone());
        self.turn.write(Write::PutTicket(used));
        self.turn.write(Write::PutPass(pass));
        Ok(())
    }

    pub(super) fn attach(
        &mut self,
        door: Door,
        reply: oneshot::Sender<Result<Attachment, Denied>>,
    ) {
        let writes = self.turn.writes.len();
        match self.place(&door) {
            Ok(attachment) if self.turn.writes.len() > writes => {
                self.turn.then(After::Attached(reply, attachment));
            }
            // What is durable already needs no wait, and on a full disk no room.
            immediate => {
                let _ = reply.send(immediate);
            }
        }
    }

    fn place(&mut self, door: &Door) -> Result<Attachment, Denied> {
        let pass = self.pass(door)?;
        let (mode, last_used) = (pass.mode, pass.last_used);
        let screen = self.desk(door.session)?.screen.clone().ok_or(Denied::NotNow)?;
        if self.stuck && !self.desk(door.session)?.session.row().ever_attached {
            return Err(Denied::DiskFull);
        }
        self.order(door.session, Event::ViewerAttached).map_err(|refusal| match refusal {
            Refusal::NotRunning => Denied::NotNow,
            _ => Denied::Unknown,
        })?;
        let viewer = ViewerId(self.next_viewer);
        self.next_viewer += 1;
        let desk = self.desks.get_mut(&door.session).ok_or(Denied::Unknown)?;
        let evicted = desk.viewers.attach(viewer, door.pass, mode).map_err(|_| Denied::TooMany)?;
        for Evicted(other) in evicted {
            if let Some(connection) = desk.connections.remove(&other) {
                let _ = connection.close.send(CloseReason::TakenOver);
            }
        }
        desk.watched.attached();
        let input = desk.watched.input();
        let (tell, close) = oneshot::channel();
        desk.connections.insert(viewer, Connection { pass: door.pass, close: tell });
        info!(session = %door.session, viewer = viewer.0, ?mode, "Viewer attached");
        if !self.stuck && clock::now().since(last_used) >= NOTE_AFTER {
            self.note_use(door.pass);
        }
        self.count_viewers();
        let place = Place { session: door.session, viewer, leave: self.leave.clone() };
        Ok(Attachment { screen, mode, close, input, _place: place })
    }

    pub(super) fn show(&self, door: &Door) -> Result<Shown, Denied> {
        let pass = self.pass(door)?;
        let desk = self.desk(door.session)?;
        let row = desk.session.row();
        let order = row.order.as_ref().ok_or(Denied::Unknown)?;
        Ok(Shown {
            phase: row.phase.clone(),
            profile: order.profile.clone(),
            user: order.user.clone(),
            viewers: u32::try_from(desk.viewers.count()).unwrap_or(u32::MAX),
            status: pass.status.clone(),
            mode: pass.mode,
        })
    }

    /// What whoever shows this pass should know of the session's limits.
    pub(super) fn warnings(&self, door: &Door) -> Result<Warnings, Denied> {
        self.pass(door)?;
        Ok(self.desk(door.session)?.watched.warnings())
    }

    /// The pass that is shown at a door, if it opens it.
    fn pass(&self, door: &Door) -> Result<&Pass, Denied> {
        let gone =
            |it: &&super::Departed| it.session == door.session && it.view_key == door.view_key;
        if let Some(departed) = self.departed.iter().find(gone) {
            let known = departed.passes.contains(&door.pass);
            return Err(if known { Denied::Ended(departed.reason.clone()) } else { Denied::Pass });
        }
        let row = self.desk(door.session)?.session.row();
        let order = row.order.as_ref().ok_or(Denied::Unknown)?;
        if order.view_key != door.view_key {
            return Err(Denied::Unknown);
        }
        let pass = self.passes.get(&door.pass).filter(|pass| pass.session == door.session);
        let pass = pass.filter(|pass| !self.has_expired(pass)).ok_or(Denied::Pass)?;
        match &row.phase {
            Phase::Ended { reason, .. } => Err(Denied::Ended(reason.clone())),
            _ => Ok(pass),
        }
    }

    fn desk(&self, id: SessionId) -> Result<&Desk, Denied> {
        self.desks.get(&id).ok_or(Denied::Unknown)
    }

    fn has_expired(&self, pass: &Pass) -> bool {
        u128::from(clock::now().since(pass.last_used))
            >= self.parts.settings.pass_lifetime.as_millis()
    }

    pub(super) fn viewer_gone(&mut self, id: SessionId, viewer: ViewerId) {
        if let Some(desk) = self.desks.get_mut(&id) {
            desk.viewers.gone(viewer);
            desk.connections.remove(&viewer);
            if desk.viewers.count() == 0 {
                desk.watched.left_alone();
            }
            info!(session = %id, viewer = viewer.0, "Viewer gone");
            self.count_viewers();
        }
    }

    /// Notes which passes are in use, and forgets what is too old to be of use.
    pub(super) fn housekeeping(&mut self) {
        if self.stuck {
            return;
        }
        self.note_passes_in_use();
        for user in self.log_outs.prune(Instant::now()) {
            self.turn.write(Write::DeleteLogOut(user));
        }
        let now = clock::now();
        let old: Vec<_> = self.tickets.extract_if(|_, forget_at| *forget_at <= now).collect();
        for (jti, _) in old {
            self.turn.write(Write::DeleteTicket(jti));
        }
        let expired = self.passes.values().filter(|pass| self.has_expired(pass));
        let expired: Vec<_> = expired.map(|pass| pass.hash).collect();
        for hash in expired {
            self.passes.remove(&hash);
            self.turn.write(Write::DeletePass(hash));
        }
    }

    pub(super) fn note_passes_in_use(&mut self) {
        let connections = self.desks.values().flat_map(|desk| desk.connections.values());
        let used: Vec<_> = connections.map(|connection| connection.pass).collect();
        for hash in used {
            self.note_use(hash);
        }
    }

    fn note_use(&mut self, hash: PassHash) {
        if let Some(pass) = self.passes.get_mut(&hash) {
            pass.last_used = clock::now();
            self.turn.write(Write::PutPass(pass.clone()));
        }
    }
}
