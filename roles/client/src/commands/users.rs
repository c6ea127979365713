//! `abide user …`: the users file, on a broker's own machine.

use std::path::Path;

use abide_auth::{Answer, HashError, PasswordHash, Standing, User, UsersError, UsersFile};
use abide_model::{InvalidId, UserName};
use abide_ticket::Role;
use serde::Serialize;

use super::console::{Format, answer, answer_json, table, tell};

/// Shorter passwords are refused.
const SHORTEST: usize = 8;

/// Who is added.
#[derive(Debug)]
pub struct NewUser {
    /// The name to log in with.
    pub name: String,
    /// The password.
    pub password: Answer,
    /// The user's groups.
    pub groups: Vec<String>,
    /// What the user may do.
    pub role: Role,
}

/// Why the users file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UserCommandError {
    /// The name is none.
    #[error("{name:?} cannot be a user's name")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        #[source]
        cause: InvalidId,
    },
    /// The password is too short.
    #[error("the password is too short: it needs {SHORTEST} characters")]
    TooShort,
    /// The password cannot be hashed.
    #[error("the password cannot be hashed")]
    Hash(#[from] HashError),
    /// There is such a user.
    #[error("there is a user {0} already; a new password: abide user passwd {0}")]
    Exists(UserName),
    /// There is none.
    #[error("there is no user {0}; all of them: abide user list")]
    Unknown(UserName),
    /// The file.
    #[error(transparent)]
    File(#[from] UsersError),
    /// Standard output.
    #[error("cannot write the answer")]
    Output(#[from] std::io::Error),
}

/// Adds a user.
///
/// # Errors
/// [`UserCommandError`]; nothing is changed then.
pub fn add_user(file: &Path, new: NewUser) -> Result<(), UserCommandError> {
    let name = user_name(&new.name)?;
    let user = User {
        password: hash(new.password)?,
        groups: new.groups,
        role: new.role,
        standing: Standing::Active,
    };
    UsersFile::change(file, |users| {
        if users.contains_key(&name) {
            return Err(UserCommandError::Exists(name.clone()));
        }
        users.insert(name.clone(), user);
        Ok(())
    })??;
    tell(&format!("User {name} added."));
    Ok(())
}

/// Gives a user another password. Logins that exist stay.
///
/// # Errors
/// [`UserCommandError`]; nothing is changed then.
pub fn set_password(file: &Path, name: &str, password: Answer) -> Result<(), UserCommandError> {
    let password = hash(password)?;
    change(file, name, |user| user.password = password)?;
    tell(&format!("{name} has a new password."));
    Ok(())
}

/// Lets a user log in, or not.
///
/// # Errors
/// [`UserCommandError`]; nothing is changed then.
pub fn set_standing(file: &Path, name: &str, standing: Standing) -> Result<(), UserCommandError> {
    change(file, name, |user| user.standing = standing)?;
    tell(&match standing {
        Standing::Active => format!("{name} may log in."),
        Standing::Disabled => format!("{name} may no longer log in. Desktops go on."),
    });
    Ok(())
}

/// Takes a user out.
///
/// # Errors
/// [`UserCommandError`]; nothing is changed then.
pub fn remove_user(file: &Path, name: &str) -> Result<(), UserCommandError> {
    let name = user_name(name)?;
    UsersFile::change(file, |users| users.remove(&name).map(drop))?
        .ok_or_else(|| UserCommandError::Unknown(name.clone()))?;
    tell(&format!("User {name} removed. Desktops go on."));
    Ok(())
}

/// Shows the users, without their hashes.
///
/// # Errors
/// [`UserCommandError`].
pub fn list_users(file: &Path, format: Format) -> Result<(), UserCommandError> {
    #[derive(Serialize)]
    struct Row<'u> {
        name: &'u str,
        groups: &'u [String],
        admin: bool,
        disabled: bool,
    }
    let users = UsersFile::open(file.to_owned())?.users();
    let rows = users.iter().map(|(name, user)| Row {
        name: name.as_str(),
        groups: &user.groups,
        admin: user.role == Role::Administrator,
        disabled: user.standing == Standing::Disabled,
    });
    if format == Format::Json {
        return Ok(answer_json(&rows.collect::<Vec<_>>())?);
    }
    let word = |is: bool, word: &str| if is { word.to_owned() } else { String::new() };
    let rows = rows.map(|row| {
        [
            row.name.to_owned(),
            row.groups.join(", "),
            word(row.admin, "administrator"),
            word(row.disabled, "disabled"),
        ]
    });
    Ok(answer(&table(["USER", "GROUPS", "ROLE", "STANDING"], rows))?)
}

fn change(file: &Path, name: &str, change: impl FnOnce(&mut User)) -> Result<(), UserCommandError> {
    let name = user_name(name)?;
    UsersFile::change(file, |users| users.get_mut(&name).map(change))?
        .ok_or_else(|| UserCommandError::Unknown(name.clone()))
}

fn user_name(name: &str) -> Result<UserName, UserCommandError> {
    name.parse().map_err(|cause| UserCommandError::Name { name: name.to_owned(), cause })
}

fn hash(password: Answer) -> Result<PasswordHash, UserCommandError> {
    if password.reveal().chars().count() < SHORTEST {
        return Err(UserCommandError::TooShort);
    }
    Ok(PasswordHash::of(&password)?)
}
