//! systemd's units.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::{Account, Finding};

/// What is asked of systemd.
const PROPERTIES: &str = "LoadState,UnitFileState,ActiveState,SubState,NeedDaemonReload,User,PrivateTmp,\
                          Delegate,KillMode,AmbientCapabilities,ControlGroup";

/// When a unit is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Always, from boot on.
    Enabled,
    /// With what needs it.
    Wanted,
}

/// One unit, as systemd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    name: String,
    properties: BTreeMap<String, String>,
}

impl Unit {
    /// Asks systemd. Where there is none the unit has no properties.
    pub fn look(name: &str) -> Self {
        let mut show = Command::new("systemctl");
        show.args(["show", "--property", PROPERTIES, "--", name]).stdin(Stdio::null());
        let said = show.output().map(|output| output.stdout).unwrap_or_default();
        Self::parse(name, &String::from_utf8_lossy(&said))
    }

    fn parse(name: &str, text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let properties = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { name: name.to_owned(), properties }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One property; empty if systemd does not say.
    pub fn property(&self, key: &str) -> &str {
        self.properties.get(key).map_or("", String::as_str)
    }

    /// Whether systemd knows it.
    pub fn exists(&self) -> bool {
        self.property("LoadState") == "loaded"
    }

    /// Whether it runs, or is about to.
    pub fn is_active(&self) -> bool {
        match self.property("ActiveState") {
            "active" | "reloading" => true,
            "activating" => !self.falls(),
            _ => false,
        }
    }

    /// Whether it ends again and again, and waits for its next try.
    fn falls(&self) -> bool {
        self.property("SubState") == "auto-restart"
    }

    /// Whether somebody wants it to run.
    pub fn is_in_use(&self) -> bool {
        self.is_active() || self.property("UnitFileState") == "enabled"
    }

    /// Its user, if it has one that the host knows.
    pub fn user(&self) -> Option<Account> {
        Account::named(self.property("User"))
    }

    /// Whether it runs as it should.
    pub fn finding(&self, start: Start) -> Finding {
        let name = &self.name;
        if !self.exists() {
            let mend = "install the package abide, or write the unit";
            return Finding::warning(name, "systemd does not know it", mend);
        }
        let enabled = self.property("UnitFileState") == "enabled";
        if !self.is_active() {
            let state = match self.falls() {
                true => "it falls again and again",
                false => self.property("ActiveState"),
            };
            let mend = match start {
                Start::Enabled => {
                    format!(
                        "systemctl enable --now {name}\nif it fails: journalctl -u {name} -n 50"
                    )
                }
                Start::Wanted => {
                    format!("systemctl start {name}\nif it fails: journalctl -u {name} -n 50")
                }
            };
            return Finding::wrong(name, format!("does not run ({state})"), mend);
        }
        if start == Start::Enabled && !enabled {
            let mend = format!("systemctl enable {name}");
            return Finding::warning(name, "runs, but will not after a restart of the host", mend);
        }
        if self.property("NeedDaemonReload") == "yes" {
            let mend = format!("systemctl daemon-reload && systemctl restart {name}");
            return Finding::warning(name, "runs as its file was before it was changed", mend);
        }
        Finding::fine(name, "runs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grade;

    fn unit(text: &str) -> Unit {
        Unit::parse("abide-broker.service", text)
    }

    #[test]
    fn a_unit_must_run_and_be_enabled() {
        for (text, start, grade) in [
            ("LoadState=not-found\nActiveState=inactive", Start::Enabled, Grade::Warning),
            ("", Start::Enabled, Grade::Warning),
            (
                "LoadState=loaded\nUnitFileState=enabled\nActiveState=active",
                Start::Enabled,
                Grade::Fine,
            ),
            (
                "LoadState=loaded\nUnitFileState=disabled\nActiveState=active",
                Start::Enabled,
                Grade::Warning,
            ),
            (
                "LoadState=loaded\nUnitFileState=disabled\nActiveState=active",
                Start::Wanted,
                Grade::Fine,
            ),
            (
                "LoadState=loaded\nUnitFileState=enabled\nActiveState=failed",
                Start::Enabled,
                Grade::Wrong,
            ),
            (
                "LoadState=loaded\nUnitFileState=enabled\nActiveState=activating\nSubState=start",
                Start::Enabled,
                Grade::Fine,
            ),
            (
                "LoadState=loaded\nUnitFileState=enabled\nActiveState=activating\n\
                 SubState=auto-restart",
                Start::Enabled,
                Grade::Wrong,
            ),
            (
                "LoadState=loaded\nUnitFileState=static\nActiveState=active\nNeedDaemonReload=yes",
                Start::Wanted,
                Grade::Warning,
            ),
        ] {
            let found = unit(text).finding(start);
            assert_eq!(found.grade, grade, "{text}: {found:?}");
            assert_eq!(found.mend.is_some(), grade != Grade::Fine);
        }
    }

    #[test]
    fn the_units_user_is_looked_up() {
        assert_eq!(unit("User=root").user().unwrap().uid, 0);
        assert_eq!(unit("User=").user(), None);
        assert_eq!(unit("").user(), None);
    }
}
