//! The decision and the frames by themselves; everything else against a real kernel, in namespaces.

mod decide;
mod frame;
mod holding;
mod hosts;
mod moving;
mod starting;
