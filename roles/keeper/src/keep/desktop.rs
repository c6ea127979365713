//! What is run on the display.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

const BUS: &str = "/usr/bin/dbus-run-session";
const XSESSION: &str = "/etc/X11/Xsession";

/// How the profile's command is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desktop {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// What must be in the file that `argv` names, if it names one.
    pub script: Option<String>,
}

impl Desktop {
    /// The command by itself.
    pub fn plain(command: &[String]) -> Self {
        Self { argv: command.iter().map(OsString::from).collect(), script: None }
    }

    /// The command as a desktop of this host: with a message bus of its own, so that one person
    /// can have several desktops here, and through Xsession, which sets up what the host's
    /// packages want. Each is left out where it is not installed.
    ///
    /// Xsession takes one argument and splits it at blanks, so the command goes by a script; a
    /// shell runs it, since the folder may be mounted `noexec`.
    ///
    /// # Errors
    /// `InvalidInput` when the script's path holds what Xsession would split or expand.
    pub fn full(command: &[String], script: &Path) -> io::Result<Self> {
        Self::with(command, script, installed(BUS), installed(XSESSION))
    }

    fn with(
        command: &[String],
        script: &Path,
        bus: Option<PathBuf>,
        xsession: Option<PathBuf>,
    ) -> io::Result<Self> {
        let mut argv: Vec<OsString> = Vec::new();
        if let Some(bus) = bus {
            argv.push(bus.into());
            argv.push("--".into());
        }
        let Some(xsession) = xsession else {
            argv.extend(command.iter().map(OsString::from));
            return Ok(Self { argv, script: None });
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
        let path = script.to_str().filter(|path| path.chars().all(plain));
        let Some(path) = path else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("Xsession cannot take the path {}", script.display()),
            ));
        };
        argv.push(xsession.into());
        argv.push(format!("/bin/sh {path}").into());
        Ok(Self { argv, script: Some(format!("exec {}\n", quoted(command))) })
    }
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = PathBuf::from(program);
    path.exists().then_some(path)
}

/// The words as sh(1) reads them back.
fn quoted(words: &[String]) -> String {
    let quote = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn the_command_goes_through_what_is_installed() {
        let (bus, xsession) = (Some(PathBuf::from("/bus")), Some(PathBuf::from("/xs")));
        let command = words(&["sh", "-c", "echo 'a b'"]);
        let script = Path::new("/run/abide/s/user/command");
        let with = |bus: &Option<PathBuf>, xsession: &Option<PathBuf>| {
            Desktop::with(&command, script, bus.clone(), xsession.clone()).unwrap()
        };

        let full = with(&bus, &xsession);
        let by_script = "/bin/sh /run/abide/s/user/command";
        assert_eq!(full.argv, ["/bus", "--", "/xs", by_script]);
        let expected = "exec 'sh' '-c' 'echo '\\''a b'\\'''\n";
        assert_eq!(full.script.unwrap(), expected);

        assert_eq!(with(&None, &xsession).argv, ["/xs", by_script]);
        let bare = with(&bus, &None);
        assert_eq!(bare.argv, ["/bus", "--", "sh", "-c", "echo 'a b'"]);
        assert_eq!(bare.script, None);
    }

    #[test]
    fn a_path_that_xsession_would_split_is_refused() {
        for path in ["/a b/c", "/a*/c", "/a$x"] {
            let made = Desktop::with(&words(&["x"]), Path::new(path), None, Some("/xs".into()));
            assert_eq!(made.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
