//! Putting one value into a configuration file that people write.

use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

/// Why the file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotSaid {
    /// It says a value already; whether it is the right one is for people.
    #[error("{} says {key} already: change it there, or leave it out here", path.display())]
    Already {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// It is not TOML.
    #[error("{} cannot be changed: it is not TOML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: toml::de::Error,
    },
    /// It cannot be read, made or written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// Makes the file say `key = "value"` before all else that it says, where no table has begun; makes file
/// and folder if they are missing. `value` has nothing that TOML would want escaped.
///
/// # Errors
/// [`NotSaid`]; nothing is changed then.
pub fn say_first(path: &Path, key: &'static str, value: &str) -> Result<(), NotSaid> {
    let failed = |cause| NotSaid::File { path: path.to_owned(), cause };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => String::new(),
        Err(cause) => return Err(failed(cause)),
    };
    let table =
        DeTable::parse(&text).map_err(|cause| NotSaid::Syntax { path: path.to_owned(), cause })?;
    if table.get_ref().contains_key(key) {
        return Err(NotSaid::Already { path: path.to_owned(), key });
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let between = if text.is_empty() { "" } else { "\n" };
    std::fs::write(path, format!("{key} = \"{value}\"\n{between}{text}")).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_put_before_tables_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("etc/broker.toml");
        say_first(&file, "public_url", "https://a").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "public_url = \"https://a\"\n");
        assert!(matches!(say_first(&file, "public_url", "b"), Err(NotSaid::Already { .. })));

        let shipped = "#public_url = 'x'\n[listen]\nhttp = 'y'\n";
        std::fs::write(&file, shipped).unwrap();
        say_first(&file, "public_url", "https://a").unwrap();
        let said = std::fs::read_to_string(&file).unwrap();
        assert_eq!(said, format!("public_url = \"https://a\"\n\n{shipped}"));
    }

    #[test]
    fn a_broken_file_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.toml");
        std::fs::write(&file, "[listen\n").unwrap();
        assert!(matches!(say_first(&file, "public_url", "b"), Err(NotSaid::Syntax { .. })));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "[listen\n");
    }
}
