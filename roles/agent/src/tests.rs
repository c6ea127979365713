//! The daemon against a broker that is a test.
