//! What a host writes to: a file system of its own on a file of the machine's, under an overlay.
//!
//! A power cut is ext4's own shutdown (`FS_IOC_SHUTDOWN` without flushing the log), as its
//! maintainers test with: from that moment nothing more reaches the file, and the next mount finds
//! what a disk would have had, by the journal. What cannot be shown is a drive that lies about its
//! own cache, and sectors that are torn: a file of the machine's keeps all that it was given.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use abide_lab::world;
use anyhow::Context;
use rustix::ioctl::{Setter, ioctl, opcode};

use crate::base::Base;

/// Sparse: it takes what is written.
const BYTES: u64 = 8 << 30;
/// `FS_IOC_SHUTDOWN` of linux/fs.h, and its way of not flushing the log.
const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
const WITHOUT_FLUSHING: u32 = 2;

/// A host's disk.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Holds where it is mounted, and the root that the host sees.
    folder: PathBuf,
    /// Named for the world: the loop device that shows it tells whose it is.
    image: PathBuf,
    base: PathBuf,
}

impl Disk {
    /// An empty one over this base; not mounted.
    pub fn make(folder: &Path, base: &Base) -> anyhow::Result<Self> {
        for inner in ["disk", "root"] {
            std::fs::create_dir_all(folder.join(inner))?;
        }
        let image = folder.join(world::cgroup()?).with_extension("image");
        File::create_new(&image)?.set_len(BYTES)?;
        let lazily = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
        run("mkfs.ext4", &["-q", "-E", lazily, text(&image)?])?;
        Ok(Self { folder: folder.to_owned(), image, base: base.folder().to_owned() })
    }

    /// The root folder that the host sees, and the lab too while it is mounted.
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    pub fn mount(&self) -> anyhow::Result<()> {
        let disk = self.folder.join("disk");
        run("mount", &["-t", "ext4", "-o", "loop", text(&self.image)?, text(&disk)?])?;
        for inner in ["upper", "work"] {
            std::fs::create_dir_all(disk.join(inner))?;
        }
        let (base, disk) = (text(&self.base)?, text(&disk)?);
        let layers = format!("lowerdir={base},upperdir={disk}/upper,workdir={disk}/work");
        run("mount", &["-t", "overlay", "-o", &layers, "overlay", text(&self.root())?])
    }

    /// Nobody may use it any more.
    pub fn unmount(&self) -> anyhow::Result<()> {
        run("umount", &[text(&self.root())?])?;
        run("umount", &[text(&self.folder.join("disk"))?])
    }

    /// Nothing is written from now on, nor what waits to be.
    pub fn lose_power(&self) -> anyhow::Result<()> {
        let disk = File::open(self.folder.join("disk"))?;
        // SAFETY: this request reads one u32 (linux/fs.h), and `disk` is open.
        unsafe { ioctl(disk.as_fd(), Setter::<SHUTDOWN, u32>::new(WITHOUT_FLUSHING)) }
            .context("the disk's power cannot be cut")
    }
}

/// What is mounted and unmounted from now on is so in all copies of this world's mounts.
pub(crate) fn share_mounts() -> anyhow::Result<()> {
    run("mount", &["--make-rshared", "/"])
}

fn run(program: &str, words: &[&str]) -> anyhow::Result<()> {
    let mut command = std::process::Command::new(program);
    let output = command.args(words).output().with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{program} {}: {said}", words.join(" "));
    Ok(())
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}
