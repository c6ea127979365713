//! Several hosts at one switch.

use std::path::Path;
use std::thread;
use std::time::Duration;

use abide_lab::network::Network;
use anyhow::Context;

use crate::base::Base;
use crate::disk;
use crate::host::Host;

/// Whatever a story waits for comes within this, also on a busy machine, or not at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// The hosts. Dropped, they are gone.
#[derive(Debug)]
pub struct Hosts {
    hosts: Vec<Host>,
    _network: Network,
    _base: Base,
}

impl Hosts {
    /// Makes hosts of these names, at 10.77.0.1 and so on, and boots them. Each knows the others'
    /// names.
    ///
    /// # Errors
    /// Outside of a world, or when one does not boot.
    pub fn boot<const N: usize>(names: [&str; N]) -> anyhow::Result<Self> {
        let base = Base::find().context("no base to make hosts of; run: cargo xtask lab hosts")?;
        let network = Network::new([])?;
        // Each host's systemd-nspawn has a copy of the mounts that there were when it began. What the lab
        // takes down must go from there too, or the disk of a host that fell would stay in use.
        disk::share_mounts()?;
        let numbered = names.into_iter().zip(1..);
        let hosts = numbered.map(|(name, number)| Host::make(name, number, &base));
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        let all = Self { hosts, _network: network, _base: base };
        all.on_each(Host::boot)?;
        let known = all.hosts.iter().map(|it| format!("{} {}\n", it.place.v4(), it.name));
        let known = format!("127.0.0.1 localhost\n::1 localhost\n{}", known.collect::<String>());
        all.on_each(|host| host.write("/etc/hosts", &known))?;
        Ok(all)
    }

    /// All of them.
    pub fn all(&self) -> &[Host] {
        &self.hosts
    }

    /// The one of this name.
    ///
    /// # Panics
    /// When the story made none.
    pub fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|it| it.name == name);
        found.unwrap_or_else(|| panic!("the story has no host {name}"))
    }

    /// Does something on each, on all at once.
    ///
    /// # Errors
    /// The first host's that failed.
    pub fn on_each(&self, act: impl Fn(&Host) -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
        thread::scope(|scope| {
            let acts = self.hosts.iter().map(|host| (host, scope.spawn(|| act(host))));
            let acts: Vec<_> = acts.collect();
            acts.into_iter().try_for_each(|(host, done)| {
                let done = done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                done.with_context(|| format!("on {}", host.name))
            })
        })
    }

    /// Installs a package file on each with apt, as an administrator does.
    ///
    /// # Errors
    /// When apt fails.
    pub fn install(&self, package: &Path) -> anyhow::Result<()> {
        self.on_each(|host| install(host, package))
    }

    /// Polls until `look` gives something.
    ///
    /// # Errors
    /// When it gave nothing for two minutes, naming `what`.
    pub async fn wait_for<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        look: impl FnMut() -> F,
    ) -> anyhow::Result<T> {
        abide_cluster::until(what, PATIENCE, look).await
    }

    /// The same for a look that says why it gives nothing.
    ///
    /// # Errors
    /// When it gave nothing for a minute: `what`, and what the last look said.
    pub async fn wait_until_ok<T, F: Future<Output = anyhow::Result<T>>>(
        &self,
        what: &str,
        look: impl FnMut() -> F,
    ) -> anyhow::Result<T> {
        abide_cluster::until_ok(what, PATIENCE, look).await
    }
}

/// The same on one.
///
/// # Errors
/// When apt fails.
pub fn install(host: &Host, package: &Path) -> anyhow::Result<()> {
    let name = package.file_name().context("a package without a name")?.to_string_lossy();
    let there = host.file(&format!("/root/{name}"));
    std::fs::copy(package, &there)
        .with_context(|| format!("cannot copy {} to {}", package.display(), there.display()))?;
    host.run(&format!("apt-get install --yes --no-install-recommends /root/{name}")).map(drop)
}
