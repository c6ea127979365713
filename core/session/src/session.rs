//! The state machine.

use std::sync::Arc;

use abide_model::{BootId, EndReason, SessionId, Timestamp};

use crate::row::{KeeperMark, Order, Phase, Row};

/// What happens to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A broker wants it started. The order was checked.
    StartOrdered(Order),
    /// Its keeper is there: it was started, or found alive after the agent's restart.
    KeeperStarted(KeeperMark),
    /// No keeper came of the attempt to start one.
    KeeperFailed {
        /// When that was known.
        at: Timestamp,
        /// What was being done, and what went wrong.
        detail: Arc<str>,
    },
    /// Its keeper recorded the session's end.
    KeeperEnded {
        /// When.
        at: Timestamp,
        /// Why.
        reason: EndReason,
    },
    /// Its keeper is gone and has recorded nothing.
    KeeperGone {
        /// When that was seen.
        at: Timestamp,
        /// What proves it.
        evidence: Evidence,
    },
    /// A broker wants it ended.
    EndOrdered {
        /// For whom.
        by: Arc<str>,
    },
    /// A broker wants it never to start.
    CancelOrdered,
    /// A broker has recorded its end.
    ForgetOrdered,
    /// A viewer is let in.
    ViewerAttached,
}

/// What proves that a keeper is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// The host is in another boot.
    OtherBoot {
        /// The boot it is in.
        now: BootId,
    },
    /// The boot is the same, and the lock that a keeper holds while it lives is free.
    LockFree,
}

/// What to do, in this order. [`Effect::WriteRow`] comes before everything that shows or relies on
/// the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make the row durable, as it is now.
    WriteRow,
    /// Take the row out of the ledger.
    DeleteRow,
    /// Tell the brokers.
    Report,
    /// Start the keeper.
    Launch,
    /// Have the keeper end the session.
    EndKeeper {
        /// To be recorded as who asked.
        by: Arc<str>,
    },
    /// Remove what is left of the session.
    CleanUp,
    /// Send all viewers away.
    CloseViewers(CloseReason),
}

/// Why a viewer is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// Another viewer took over.
    TakenOver,
    /// The session has ended.
    Ended,
    /// Its pass was revoked.
    PassRevoked,
    /// The agent's daemon stops; the session does not.
    Restarting,
}

/// Why an order changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The ledger does not have it.
    #[error("this agent has no such session")]
    Unknown,
    /// It was cancelled, for good.
    #[error("the session was cancelled")]
    Cancelled,
    /// It was started, so it cannot be cancelled.
    #[error("the session has been started")]
    Begun,
    /// It is not over, so it cannot be forgotten.
    #[error("the session is not over")]
    Alive,
    /// It is not running, so there is nothing to see.
    #[error("the session is not running")]
    NotRunning,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    row: Row,
}

impl Session {
    /// A session that nothing is known of yet.
    pub fn new(id: SessionId, boot: BootId) -> Self {
        let row = Row {
            session: id,
            order: None,
            boot,
            keeper: None,
            ever_attached: false,
            phase: Phase::New,
        };
        Self { row }
    }

    /// A session as the ledger has it.
    pub fn restored(row: Row) -> Self {
        Self { row }
    }

    /// A session of which only the keeper was found: the ledger does not have it.
    pub fn found(id: SessionId, boot: BootId) -> Self {
        let mut session = Self::new(id, boot);
        session.row.phase = Phase::Running;
        session
    }

    /// What is to be durable of it.
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// Takes in what happened, and appends to `out` what to do about it.
    ///
    /// Orders and news may repeat, and news may come late: what is settled already is left alone.
    ///
    /// # Errors
    /// [`Refusal`] when an order cannot be followed; the session is unchanged then. `out` may hold a
    /// [`Effect::Report`] nevertheless, for whoever gave the order does not know where it stands.
    pub fn step(&mut self, event: Event, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        match event {
            Event::StartOrdered(order) => return self.start(order, out),
            Event::KeeperStarted(keeper) => self.keeper_started(keeper, out),
            Event::KeeperFailed { at, detail } => {
                self.over(at, EndReason::NeverStarted { detail }, out);
            }
            Event::KeeperEnded { at, reason } => self.over(at, reason, out),
            Event::KeeperGone { at, evidence } => {
                let reason = self.loss(evidence);
                self.over(at, reason, out);
            }
            Event::EndOrdered { by } => return self.end(by, out),
            Event::CancelOrdered => return self.cancel(out),
            Event::ForgetOrdered => return self.forget(out),
            Event::ViewerAttached => return self.attach(out),
        }
        Ok(())
    }

    fn start(&mut self, order: Order, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        match self.row.phase {
            Phase::New => {
                self.row.order = Some(order);
                self.row.phase = Phase::Starting;
                out.extend([Effect::WriteRow, Effect::Report, Effect::Launch]);
                Ok(())
            }
            Phase::Cancelled => {
                out.push(Effect::Report);
                Err(Refusal::Cancelled)
            }
            _ => {
                // Found without a ledger, and now it is known whose it is.
                if self.row.order.is_none() {
                    self.row.order = Some(order);
                    out.push(Effect::WriteRow);
                }
                out.push(Effect::Report);
                Ok(())
            }
        }
    }

    fn keeper_started(&mut self, keeper: KeeperMark, out: &mut Vec<Effect>) {
        match &self.row.phase {
            Phase::Starting => {
                self.row.phase = Phase::Running;
                self.row.keeper = Some(keeper);
                out.extend([Effect::WriteRow, Effect::Report]);
            }
            Phase::Running if self.row.keeper != Some(keeper) => {
                self.row.keeper = Some(keeper);
                out.push(Effect::WriteRow);
            }
            // Ordered to end before it was there, or by an agent that then died.
            Phase::Ending { by } => {
                let by = Arc::clone(by);
                if self.row.keeper != Some(keeper) {
                    self.row.keeper = Some(keeper);
                    out.push(Effect::WriteRow);
                }
                out.push(Effect::EndKeeper { by });
            }
            _ => {}
        }
    }

    fn over(&mut self, at: Timestamp, reason: EndReason, out: &mut Vec<Effect>) {
        let reason = match &self.row.phase {
            Phase::Starting | Phase::Running => reason,
            // Whatever became of its keeper, it ended because somebody wanted it to.
            Phase::Ending { by } => EndReason::Asked { by: Arc::clone(by) },
            Phase::New | Phase::Ended { .. } | Phase::Cancelled => return,
        };
        self.row.phase = Phase::Ended { at, reason };
        out.extend([
            Effect::WriteRow,
            Effect::Report,
            Effect::CloseViewers(CloseReason::Ended),
            Effect::CleanUp,
        ]);
    }

    fn loss(&self, evidence: Evidence) -> EndReason {
        match (&self.row.phase, self.row.keeper, evidence) {
            (Phase::Starting, ..) => EndReason::NeverStarted {
                detail: "the agent stopped while it was being started, and no keeper was left"
                    .into(),
            },
            (_, _, Evidence::OtherBoot { now }) => {
                EndReason::LostToBoot { was: self.row.boot.clone(), now }
            }
            (_, Some(keeper), Evidence::LockFree) => EndReason::LostKeeper { pid: keeper.pid },
            (_, None, Evidence::LockFree) => EndReason::LostKeeper { pid: 0 },
        }
    }

    fn end(&mut self, by: Arc<str>, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        match self.row.phase {
            Phase::New => return Err(Refusal::Unknown),
            Phase::Starting | Phase::Running => {
                let has_keeper = self.row.keeper.is_some();
                self.row.phase = Phase::Ending { by: Arc::clone(&by) };
                out.extend([Effect::WriteRow, Effect::Report]);
                // One that is still being started is ended when it is there.
                if has_keeper {
                    out.push(Effect::EndKeeper { by });
                }
            }
            Phase::Ending { .. } | Phase::Ended { .. } | Phase::Cancelled => {
                out.push(Effect::Report);
            }
        }
        Ok(())
    }

    fn cancel(&mut self, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        match self.row.phase {
            Phase::New => {
                self.row.phase = Phase::Cancelled;
                out.extend([Effect::WriteRow, Effect::Report]);
                Ok(())
            }
            Phase::Cancelled => {
                out.push(Effect::Report);
                Ok(())
            }
            _ => {
                out.push(Effect::Report);
                Err(Refusal::Begun)
            }
        }
    }

    fn forget(&mut self, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        match self.row.phase {
            Phase::New => Ok(()),
            Phase::Ended { .. } | Phase::Cancelled => {
                out.push(Effect::DeleteRow);
                Ok(())
            }
            _ => {
                out.push(Effect::Report);
                Err(Refusal::Alive)
            }
        }
    }

    fn attach(&mut self, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        if self.row.phase != Phase::Running {
            return Err(Refusal::NotRunning);
        }
        if !self.row.ever_attached {
            self.row.ever_attached = true;
            out.extend([Effect::WriteRow, Effect::Report]);
        }
        Ok(())
    }
}
