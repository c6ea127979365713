//! Sessions as brokers hear of them.

use abide_session::{Phase, Row};
use abide_wire::agent::{self, LedgerRow, ledger_row::State};

/// The report of a row; `None` for a session that nothing is known of.
pub(crate) fn report(row: &Row) -> Option<LedgerRow> {
    let state = match &row.phase {
        Phase::New => return None,
        Phase::Starting => State::Starting(agent::Starting {}),
        Phase::Running => State::Running(agent::Running {}),
        Phase::Ending { .. } => State::Ending(agent::Ending {}),
        Phase::Ended { at, reason } => {
            State::Ended(agent::Ended { at_ms: at.0, reason: Some(reason.into()) })
        }
        Phase::Cancelled => State::Cancelled(agent::Cancelled {}),
    };
    Some(LedgerRow {
        session: row.session.to_string(),
        start_order: row.order.as_ref().map(|order| order.text.to_string()).unwrap_or_default(),
        state: Some(state),
        boot_id: row.boot.to_string(),
        ever_attached: row.ever_attached,
    })
}
