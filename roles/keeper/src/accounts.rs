//! Users and groups by name or number, as root's settings name them.

use nix::unistd::{Group, User};

/// The host has no such user or group.
#[derive(Debug, thiserror::Error)]
pub enum UnknownAccount {
    /// The name service knows none.
    #[error("there is no {kind} {name} on this host")]
    None {
        /// A user or a group.
        kind: &'static str,
        /// What was asked for.
        name: String,
    },
    /// The name service does not work.
    #[error("cannot look up {name}")]
    Lookup {
        /// What was asked for.
        name: String,
        /// Why not.
        #[source]
        cause: nix::Error,
    },
}

/// The id of a user.
///
/// # Errors
/// [`UnknownAccount`]; a number is taken as it is.
pub fn user_id(user: &str) -> Result<u32, UnknownAccount> {
    id("user", user, |name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw())))
}

/// The id of a group.
///
/// # Errors
/// [`UnknownAccount`]; a number is taken as it is.
pub fn group_id(group: &str) -> Result<u32, UnknownAccount> {
    id("group", group, |name| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw())))
}

fn id(
    kind: &'static str,
    name: &str,
    look_up: impl FnOnce(&str) -> nix::Result<Option<u32>>,
) -> Result<u32, UnknownAccount> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    look_up(name)
        .map_err(|cause| UnknownAccount::Lookup { name: name.to_owned(), cause })?
        .ok_or_else(|| UnknownAccount::None { kind, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_go_by_name_or_number() {
        assert_eq!((user_id("root").unwrap(), group_id("root").unwrap()), (0, 0));
        assert_eq!(user_id("1234").unwrap(), 1234);
        let error = user_id("no-such-user-here").unwrap_err().to_string();
        assert_eq!(error, "there is no user no-such-user-here on this host");
    }
}
