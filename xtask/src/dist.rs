//! `cargo xtask dist`: the Debian package. What is in it: bin/abide/Cargo.toml and packaging/.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::install::{Purpose, ensure as install};
use crate::{DistArgs, Profile, shell};

/// The one that this was tried with.
const CARGO_DEB: &str = "3.8.0";

/// Shells, and what their completions' files are called.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "abide.bash"), ("zsh", "_abide"), ("fish", "abide.fish")];

/// Builds the package, and says where it is.
pub fn run(args: &DistArgs) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{}", package(args)?.display())?)
}

/// Builds the package; gives where it is.
pub fn package(args: &DistArgs) -> anyhow::Result<PathBuf> {
    install(Purpose::Dist)?;
    install_cargo_deb()?;
    let release = matches!(args.profile, Profile::Release);
    let programs = match args.no_build {
        true => shell::target_folder(release)?,
        false => shell::build(&["abide", "abide-keeper"], release)?,
    };
    for program in ["abide", "abide-keeper"] {
        let path = programs.join(program);
        ensure!(path.is_file(), "{} is not built", path.display());
    }
    shell::step("Writing manual pages and completions", || write_pages(&programs))?;
    shell::step("Packing", || pack(args))
}

fn install_cargo_deb() -> anyhow::Result<()> {
    if shell::run_quietly(shell::cargo().args(["deb", "--version"])).is_ok() {
        return Ok(());
    }
    eprintln!("cargo-deb is not installed, and is installed now, which takes minutes.");
    shell::step("Installing cargo-deb", || {
        let mut install = shell::cargo();
        install.args(["install", "--locked", "cargo-deb", "--version", CARGO_DEB]);
        shell::run_quietly(&mut install)
    })?;
    Ok(())
}

/// From the command line's own definition, by the program that was just built.
fn write_pages(programs: &Path) -> anyhow::Result<()> {
    let folder = programs.join("dist");
    // Pages of commands that are no more must not stay.
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot remove earlier pages")?;
    }
    let (manual, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&manual)?;
    fs::create_dir_all(&completions)?;
    let abide = || Command::new(programs.join("abide"));
    shell::run(abide().arg("manual").arg(&manual))?;
    let pages = fs::read_dir(&manual)?.map(|page| Ok(page?.path()));
    let pages = pages.collect::<anyhow::Result<Vec<_>>>()?;
    // As Debian wants it; without a time, so that the same pages give the same files.
    shell::run(Command::new("gzip").args(["--best", "--no-name"]).args(pages))?;
    for (name, file) in COMPLETIONS {
        let file = File::create(completions.join(file))?;
        shell::run(abide().args(["completions", name]).stdout(file))?;
    }
    Ok(())
}

fn pack(args: &DistArgs) -> anyhow::Result<PathBuf> {
    let mut deb = shell::cargo();
    // Some of the paths in its manifest are taken from there, some from the current folder.
    deb.current_dir(shell::root().join("bin/abide")).args(["deb", "--no-build", "--quiet"]);
    match args.profile {
        Profile::Release => {}
        // Packed fast too: nobody keeps it.
        Profile::Dev => {
            deb.args(["--profile", "dev", "--fast"]);
        }
    }
    if let Some(revision) = &args.revision {
        deb.args(["--deb-revision", revision]);
    }
    let said = shell::run_quietly(&mut deb)?;
    let path = said.lines().map(str::trim).rfind(|line| line.ends_with(".deb"));
    path.map(PathBuf::from).context("cargo-deb does not say where the package is")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packaging(path: &str) -> PathBuf {
        shell::root().join("packaging").join(path)
    }

    /// What stands in a unit's [Service].
    fn service(unit: &str) -> Vec<(String, String)> {
        let text = fs::read_to_string(packaging("systemd").join(unit)).unwrap();
        let lines = text.lines().skip_while(|line| *line != "[Service]").skip(1);
        let lines = lines.take_while(|line| !line.starts_with('['));
        let pairs = lines.filter(|line| !line.starts_with('#')).filter_map(|it| it.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn desktops_inherit_no_sandbox_from_the_launcher_and_outlive_it() {
        let service = service("abide-launcher.service");
        let harmless = [
            "Type",
            "EnvironmentFile",
            "ExecStart",
            "Restart",
            "RestartSec",
            "KillMode",
            "Delegate",
            "OOMPolicy",
            "TasksMax",
        ];
        for (key, _) in &service {
            assert!(harmless.contains(&key.as_str()), "desktops would inherit {key}");
        }
        for wanted in [("KillMode", "process"), ("Delegate", "yes"), ("OOMPolicy", "continue")] {
            let wanted = (wanted.0.to_owned(), wanted.1.to_owned());
            assert!(service.contains(&wanted), "{wanted:?} is missing");
        }
    }

    #[test]
    fn broker_and_agent_are_locked_in() {
        for (unit, user) in
            [("abide-broker.service", "abide-broker"), ("abide-agent.service", "abide-agent")]
        {
            let service = service(unit);
            for (key, value) in [
                ("User", user),
                ("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE"),
                ("NoNewPrivileges", "yes"),
                ("ProtectSystem", "strict"),
                ("ProtectHome", "yes"),
                ("PrivateDevices", "yes"),
                ("MemoryDenyWriteExecute", "yes"),
                ("SystemCallFilter", "~@privileged"),
            ] {
                let wanted = (key.to_owned(), value.to_owned());
                assert!(service.contains(&wanted), "{unit} lacks {wanted:?}");
            }
        }
    }

    #[test]
    fn what_dpkg_runs_is_sound_shell() {
        for script in ["postinst", "prerm", "postrm"] {
            let path = packaging("debian").join(script);
            assert!(
                Command::new("sh").arg("-n").arg(&path).status().unwrap().success(),
                "{script}"
            );
        }
    }
}
