//! core/placement
