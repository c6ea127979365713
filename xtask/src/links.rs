//! The pages' links to one another lead somewhere.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::shell;

pub fn check() -> anyhow::Result<()> {
    let root = shell::root();
    let mut dead = Vec::new();
    for page in pages(&root)? {
        let text = std::fs::read_to_string(root.join(&page))
            .with_context(|| format!("cannot read {}", page.display()))?;
        let beside = root.join(&page).parent().unwrap_or(&root).to_owned();
        let links = targets(&text).into_iter().map(|target| (beside.join(target), target));
        let names = named(&text).into_iter().map(|target| (root.join(target), target));
        for (_, target) in links.chain(names).filter(|(path, _)| !path.exists()) {
            dead.push(format!("{}: {target}", page.display()));
        }
    }
    if dead.is_empty() {
        return Ok(());
    }
    bail!("these links and names of pages lead nowhere:\n{}", dead.join("\n"))
}

/// Every page that is kept in the repository.
fn pages(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut list = std::process::Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "*.md"]).current_dir(root);
    Ok(shell::run_quietly(&mut list)?.lines().map(PathBuf::from).collect())
}

/// What a page links to in this repository.
fn targets(text: &str) -> Vec<&str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let links = links.filter_map(|link| link.split('#').next());
    links.filter(|link| !link.is_empty() && !link.contains(':')).collect()
}

/// The pages of `docs/` that it names.
fn named(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c));
    words.filter(|word| word.starts_with("docs/") && word.ends_with(".md")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found_and_others_left_alone() {
        let text =
            "[a](docs/a.md), [b](b.md#part \"B\"); ![c](c.png) [d](https://d.example/e.md) [f](#g)";
        assert_eq!(targets(text), ["docs/a.md", "b.md", "c.png"]);
        assert_eq!(named("a line in `docs/n.md`. web/docs/m.md"), ["docs/n.md"]);
    }

    #[test]
    fn every_link_in_the_repository_leads_somewhere() {
        check().unwrap();
    }
}
