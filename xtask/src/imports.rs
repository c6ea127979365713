//! The direction of imports: folders are the diagram, and each imports only from those below it.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, bail};
use cargo_metadata::{Metadata, MetadataCommand};

/// The folders, from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Core,
    Proto,
    Io,
    Roles,
    Bin,
    /// Tests and tasks stand beside the house and look into every room.
    Outside,
}

/// One import that the diagram does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong {
    from: String,
    to: String,
    why: &'static str,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} imports {}: {}", self.from, self.to, self.why)
    }
}

/// Fails with every import that goes the wrong way.
pub fn check() -> anyhow::Result<()> {
    let manifest = crate::shell::root().join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
    let wrong = wrong_imports(&house(&metadata)?);
    if !wrong.is_empty() {
        let lines: Vec<String> = wrong.iter().map(Wrong::to_string).collect();
        bail!("imports that the house does not allow:\n  {}", lines.join("\n  "));
    }
    Ok(())
}

/// Each package: its tier, and the packages of the house that it imports, for tests too.
type House = BTreeMap<String, (Tier, Vec<String>)>;

fn house(metadata: &Metadata) -> anyhow::Result<House> {
    let mut house = House::new();
    for package in metadata.workspace_packages() {
        let path = package.manifest_path.strip_prefix(&metadata.workspace_root)?;
        let folder = path.components().next().context("a package at the root")?;
        let tier = tier_of(folder.as_str())
            .with_context(|| format!("{} lies in no folder of the house", package.name))?;
        let imports = package.dependencies.iter().filter(|it| it.path.is_some());
        let imports = imports.map(|it| it.name.clone()).collect();
        house.insert(package.name.to_string(), (tier, imports));
    }
    Ok(house)
}

fn tier_of(folder: &str) -> Option<Tier> {
    Some(match folder {
        "core" => Tier::Core,
        "proto" => Tier::Proto,
        "io" => Tier::Io,
        "roles" => Tier::Roles,
        "bin" => Tier::Bin,
        "testing" | "xtask" => Tier::Outside,
        _ => return None,
    })
}

fn wrong_imports(house: &House) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (from, (tier, imports)) in house {
        for to in imports {
            let Some((below, _)) = house.get(to) else {
                continue;
            };
            let why = match (tier, below) {
                (Tier::Roles, Tier::Roles) => "roles never import each other",
                (Tier::Bin, Tier::Bin) => "programs never import each other",
                _ if below > tier => "imports go down only",
                _ => continue,
            };
            wrong.push(Wrong { from: from.clone(), to: to.clone(), why });
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(packages: &[(&str, Tier, &[&str])]) -> House {
        let package = |(name, tier, imports): &(&str, Tier, &[&str])| {
            let imports = imports.iter().map(|&it| it.to_owned()).collect();
            ((*name).to_owned(), (*tier, imports))
        };
        packages.iter().map(package).collect()
    }

    #[test]
    fn imports_go_down_or_sideways() {
        let good = house(&[
            ("model", Tier::Core, &["ticket", "serde"]),
            ("ticket", Tier::Core, &[]),
            ("wire", Tier::Proto, &["model"]),
            ("raft", Tier::Io, &["tls", "wire", "model"]),
            ("tls", Tier::Io, &[]),
            ("broker", Tier::Roles, &["raft", "model"]),
            ("abide", Tier::Bin, &["broker", "tls"]),
            ("cluster", Tier::Outside, &["broker"]),
            ("xtask", Tier::Outside, &["cluster", "abide"]),
        ]);
        assert_eq!(wrong_imports(&good), []);
    }

    #[test]
    fn imports_that_go_up_and_between_roles_are_found() {
        let bad = house(&[
            ("model", Tier::Core, &["wire"]),
            ("wire", Tier::Proto, &["raft"]),
            ("raft", Tier::Io, &["broker"]),
            ("broker", Tier::Roles, &["agent"]),
            ("agent", Tier::Roles, &["cluster"]),
            ("abide", Tier::Bin, &["keeper"]),
            ("keeper", Tier::Bin, &[]),
            ("cluster", Tier::Outside, &[]),
        ]);
        let found: Vec<String> = wrong_imports(&bad).iter().map(Wrong::to_string).collect();
        assert_eq!(
            found,
            [
                "abide imports keeper: programs never import each other",
                "agent imports cluster: imports go down only",
                "broker imports agent: roles never import each other",
                "model imports wire: imports go down only",
                "raft imports broker: imports go down only",
                "wire imports raft: imports go down only",
            ]
        );
    }

    #[test]
    fn this_house_is_in_order() {
        check().unwrap();
    }
}
