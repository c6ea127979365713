//! The environment of the session's processes, built from nothing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use abide_desktop::MARKER;

use super::account::Account;

const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";

/// Names and values.
pub type Variables = BTreeMap<OsString, OsString>;

/// What the environment is made of; later ones win.
pub struct Sources<'a> {
    /// Whose it is.
    pub account: &'a Account,
    /// XDG_RUNTIME_DIR, unless PAM gives one.
    pub runtime_dir: &'a Path,
    /// What PAM's modules want, or the part of the keeper's own that says the language.
    pub host: Vec<(OsString, OsString)>,
    /// The profile's.
    pub profile: &'a [(String, String)],
    /// Where the X cookie is.
    pub authority: &'a Path,
    /// The session's id.
    pub session: &'a str,
}

/// Puts it together. `DISPLAY` is missing still: the display server that gets it makes it.
pub fn build(sources: Sources<'_>) -> Variables {
    let account = sources.account;
    let mut built = Variables::new();
    let mut set = |name: &str, value: &OsStr| {
        built.insert(name.into(), value.into());
    };
    set("PATH", PATH.as_ref());
    set("LANG", "C.UTF-8".as_ref());
    set("XDG_RUNTIME_DIR", sources.runtime_dir.as_os_str());
    for (name, value) in &sources.host {
        if let Some(name) = name.to_str() {
            set(name, value);
        }
    }
    for (name, value) in sources.profile {
        set(name, value.as_ref());
    }
    // Nobody's to change.
    set("HOME", account.home.as_os_str());
    set("USER", account.user.as_ref());
    set("LOGNAME", account.user.as_ref());
    set("SHELL", account.shell.as_os_str());
    set("XDG_SESSION_TYPE", "x11".as_ref());
    set("XAUTHORITY", sources.authority.as_os_str());
    set(MARKER, sources.session.as_ref());
    built.remove(OsStr::new("DISPLAY"));
    built
}

/// The variables that say the host's language and time zone, as the keeper was given them.
pub fn language(own: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let of_language = |name: &OsStr| {
        let name = name.to_string_lossy();
        name == "LANG" || name == "LANGUAGE" || name == "TZ" || name.starts_with("LC_")
    };
    own.filter(|(name, _)| of_language(name)).collect()
}

#[cfg(test)]
mod tests {
    use nix::unistd::{Gid, Uid};

    use super::*;

    fn pair(name: &str, value: &str) -> (OsString, OsString) {
        (name.into(), value.into())
    }

    #[test]
    fn later_sources_win_but_for_what_is_nobodys_to_change() {
        let account = Account {
            user: "alice".into(),
            home: "/home/alice".into(),
            shell: "/bin/bash".into(),
            uid: Uid::from_raw(1000),
            gid: Gid::from_raw(1000),
            become_groups: None,
        };
        let built = build(Sources {
            account: &account,
            runtime_dir: Path::new("/own/runtime"),
            host: vec![
                pair("LANG", "de_DE.UTF-8"),
                pair("XDG_RUNTIME_DIR", "/run/user/1000"),
                pair("HOME", "/root"),
            ],
            profile: &[
                ("LANG".into(), "fr_FR.UTF-8".into()),
                ("USER".into(), "bob".into()),
                ("DISPLAY".into(), ":0".into()),
                ("EDITOR".into(), "vi".into()),
            ],
            authority: Path::new("/s/user/Xauthority"),
            session: "0190",
        });
        let expected = [
            ("ABIDE_SESSION", "0190"),
            ("EDITOR", "vi"),
            ("HOME", "/home/alice"),
            ("LANG", "fr_FR.UTF-8"),
            ("LOGNAME", "alice"),
            ("PATH", PATH),
            ("SHELL", "/bin/bash"),
            ("USER", "alice"),
            ("XAUTHORITY", "/s/user/Xauthority"),
            ("XDG_RUNTIME_DIR", "/run/user/1000"),
            ("XDG_SESSION_TYPE", "x11"),
        ];
        assert_eq!(built, expected.map(|(n, v)| pair(n, v)).into());
    }

    #[test]
    fn of_the_keepers_own_environment_only_the_language_goes_on() {
        let own = ["LANG", "LC_TIME", "TZ", "SSH_AUTH_SOCK", "LD_PRELOAD", "LANGX"];
        let kept = language(own.iter().map(|name| pair(name, "x")));
        assert_eq!(kept, ["LANG", "LC_TIME", "TZ"].map(|name| pair(name, "x")));
    }
}
