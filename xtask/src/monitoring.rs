//! The alert rules and the dashboard in `packaging/monitoring`: Prometheus's own tool judges the rules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::shell;

fn folder() -> PathBuf {
    shell::root().join("packaging/monitoring")
}

/// The rules are sound, and fire when their tests say so.
pub fn check() -> anyhow::Result<()> {
    let promtool = promtool()?;
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let mut command = Command::new(&promtool);
        shell::run_quietly(command.current_dir(folder()).args(arguments))?;
    }
    Ok(())
}

/// Debian has it in the package of the server, which would run once installed: only the tool is taken out.
fn promtool() -> anyhow::Result<PathBuf> {
    if shell::exists("promtool") {
        return Ok("promtool".into());
    }
    let kept = shell::root().join("target/promtool");
    let tool = kept.join("usr/bin/promtool");
    if tool.exists() {
        return Ok(tool);
    }
    if !shell::exists("apt-get") {
        bail!(
            "promtool is missing, and there is no apt-get here to get it: it belongs to Prometheus"
        );
    }
    eprintln!("Getting promtool out of Debian's package prometheus");
    std::fs::create_dir_all(&kept)?;
    shell::run_quietly(
        Command::new("apt-get").current_dir(&kept).args(["download", "prometheus"]),
    )?;
    let package = package_in(&kept)?;
    shell::run_quietly(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&kept))?;
    std::fs::remove_file(package)?;
    Ok(tool)
}

fn package_in(folder: &Path) -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut packages = entries.filter(|path| path.extension().is_some_and(|it| it == "deb"));
    packages.next().context("apt-get has downloaded nothing")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Our metrics' names in a text, without a histogram's suffixes.
    fn names(text: &str) -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let ours = words.filter(|word| word.starts_with("abide_") && word.len() > "abide_".len());
        let plain = ours.map(|name| {
            let suffixes = ["_bucket", "_sum", "_count"];
            suffixes.iter().find_map(|it| name.strip_suffix(it)).unwrap_or(name)
        });
        plain.map(str::to_owned).collect()
    }

    #[test]
    fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
        let page = std::fs::read_to_string(shell::root().join("docs/metrics.md")).unwrap();
        let known = names(&page);
        for file in ["alerts.yml", "alerts_test.yml", "dashboard.json"] {
            let asked = names(&std::fs::read_to_string(folder().join(file)).unwrap());
            let unknown: Vec<_> = asked.difference(&known).collect();
            assert!(unknown.is_empty() && asked.len() > 4, "{file}: {unknown:?}");
        }
    }

    #[test]
    fn the_dashboards_panels_have_places_of_their_own() {
        let text = std::fs::read_to_string(folder().join("dashboard.json")).unwrap();
        let board: serde_json::Value = serde_json::from_str(&text).unwrap();
        let panels = board["panels"].as_array().unwrap();
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}", panel["title"]);
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|it| panel["gridPos"][it].as_u64().unwrap());
            assert!(x + w <= 24);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{} lies on another", panel["title"]);
            }
        }
        assert!(panels.len() > 10);
    }
}
