//! io/telemetry
