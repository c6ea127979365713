//! Between the messages and the types of `core/model`. Out of the model it cannot fail; into it,
//! every field is checked and the first bad one is named.

mod command;
#[cfg(feature = "next-wire")]
mod next;
mod part;
mod shared;
#[cfg(test)]
mod tests;
mod written;

pub use shared::{ConvertError, labels, report_of};
pub use written::{check_command, read_command, write_command};
