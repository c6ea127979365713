//! io/ledger
