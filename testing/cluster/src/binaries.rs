//! Where the programs under test are.

use std::path::PathBuf;

use anyhow::{Context, ensure};

/// The two programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `abide`.
    pub abide: PathBuf,
    /// `abide-keeper`.
    pub keeper: PathBuf,
}

impl Binaries {
    /// Those in cargo's target folder beside the running program (a test, the bench or xtask).
    ///
    /// # Errors
    /// When they are not there: building them is not done here.
    pub fn beside_this_program() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program does not know where it is")?;
        let folder = program.ancestors().skip(1).find(|folder| folder.join("abide").is_file());
        let folder = folder.with_context(|| {
            format!(
                "no abide beside {}; run: cargo build --bin abide --bin abide-keeper",
                program.display()
            )
        })?;
        Self::in_folder(folder.to_owned())
    }

    /// Those in this folder.
    ///
    /// # Errors
    /// When one is not there.
    pub fn in_folder(folder: PathBuf) -> anyhow::Result<Self> {
        let binaries = Self { abide: folder.join("abide"), keeper: folder.join("abide-keeper") };
        for program in [&binaries.abide, &binaries.keeper] {
            ensure!(
                program.is_file(),
                "{} is not there; run: cargo build --bin abide --bin abide-keeper",
                program.display()
            );
        }
        Ok(binaries)
    }
}
