//! Programs that desktops need.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Finding;

/// Where login shells look.
const FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/games"];

/// Whether a program is there, and if not which Debian package has it.
pub fn program(name: &str, package: &str) -> Finding {
    match find_program(name) {
        Some(path) => Finding::fine(path.display(), "is there"),
        None => Finding::wrong(name, "is not installed", format!("apt-get install {package}")),
    }
}

/// The program of this name or path that would be run.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    match name.contains('/') {
        true => Some(PathBuf::from(name)).filter(runs),
        false => FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(runs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grade;

    #[test]
    fn programs_are_found_by_name_and_by_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("/bin/sh").is_some());
        assert!(find_program("/etc/passwd").is_none());
        let found = program("no-such-program", "a-package");
        assert_eq!(found.grade, Grade::Wrong);
        assert_eq!(found.mend.unwrap(), "apt-get install a-package");
    }
}
