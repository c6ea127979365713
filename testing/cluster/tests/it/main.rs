//! The cluster for tests, and the command line on it.

mod command_line;
mod leftovers;
