//! What stands under one key: a value, nothing, or something wrong.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::base_url::BaseUrl;
use crate::table::Place;

/// The outcome of asking a table for a key. Its problem, if any, is already noted.
#[must_use]
pub struct Field<'d, T> {
    pub(crate) place: Place<'d>,
    pub(crate) found: Found<T>,
    /// What would be right, as in "an address such as 0.0.0.0:443".
    pub(crate) expected: String,
}

pub(crate) enum Found<T> {
    Value(T),
    Absent,
    Wrong,
}

impl<T> Field<'_, T> {
    /// The value, if the key is there. Also nothing if it is wrong.
    pub fn optional(self) -> Option<T> {
        match self.found {
            Found::Value(value) => Some(value),
            Found::Absent | Found::Wrong => None,
        }
    }

    /// The value, or this if the key is absent.
    pub fn or(self, default: T) -> T {
        self.optional().unwrap_or(default)
    }

    /// The value. That the key is missing is a problem.
    pub fn required(self) -> T
    where
        T: StandIn,
    {
        self.required_or(T::stand_in)
    }

    /// [`Field::required`], for types without a [`StandIn`].
    pub fn required_or(self, stand_in: impl FnOnce() -> T) -> T {
        if matches!(self.found, Found::Absent) {
            self.place.problem(format!("missing, should be {}", self.expected));
        }
        self.optional().unwrap_or_else(stand_in)
    }
}

/// A value that stands in for one that is missing, until the reading has come to its end and
/// failed. It never leaves [`read`](crate::read).
pub trait StandIn {
    /// Any value of the type.
    fn stand_in() -> Self;
}

macro_rules! stand_in {
    ($($type:ty => $value:expr),+ $(,)?) => {$(
        impl StandIn for $type {
            fn stand_in() -> Self {
                $value
            }
        }
    )+};
}

stand_in! {
    String => Self::new(),
    PathBuf => Self::new(),
    SocketAddr => Self::from((Ipv4Addr::UNSPECIFIED, 0)),
    BaseUrl => Self::localhost(),
    Duration => Self::ZERO,
    bool => false,
    u8 => 0,
    u16 => 0,
    u32 => 0,
    u64 => 0,
    usize => 0,
}

impl<T> StandIn for Vec<T> {
    fn stand_in() -> Self {
        Self::new()
    }
}
