//! Whether sessions can have cgroups of their own, by which the last of their programs is found.

use std::path::Path;

use crate::{Finding, Unit};

/// Whether the unit's children can make cgroups: there is a version 2 hierarchy, it can be written to,
/// and systemd lets the unit have its part of it.
pub fn cgroups(unit: &Unit) -> Finding {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    judge(&mounts, unit.property("Delegate"), |path| path.join("cgroup.procs").exists())
}

fn judge(mounts: &str, delegated: &str, has_processes: impl Fn(&Path) -> bool) -> Finding {
    const NOTE: &str = "sessions are ended all the same, by following their processes' parents";
    let Some((path, options)) = mounts.lines().find_map(version_2) else {
        let what = "there is no cgroup version 2 hierarchy";
        return Finding::warning("cgroups", what, NOTE);
    };
    if options.split(',').any(|option| option == "ro") || !has_processes(Path::new(path)) {
        let what = "cannot be written to, as in some containers";
        return Finding::warning(path, what, NOTE);
    }
    match delegated {
        "yes" => Finding::fine(path, "sessions have cgroups of their own"),
        _ => Finding::wrong(
            path,
            "the launcher's unit does not have its own part of it",
            "its [Service] needs Delegate=yes; see /usr/lib/systemd/system/abide-launcher.service",
        ),
    }
}

/// Where a line of mountinfo(5) mounts it, and how.
fn version_2(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(4);
    let found = (fields.next()?, fields.next()?);
    (after.split(' ').next() == Some("cgroup2")).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grade;

    const RW: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw";

    #[test]
    fn sessions_need_a_hierarchy_that_is_theirs() {
        let ro = RW.replace("rw,nosuid", "ro,nosuid");
        for (mounts, delegated, grade) in [
            (RW, "yes", Grade::Fine),
            (RW, "no", Grade::Wrong),
            (ro.as_str(), "yes", Grade::Warning),
            ("29 23 0:26 / /sys rw - sysfs sysfs rw", "yes", Grade::Warning),
        ] {
            assert_eq!(judge(mounts, delegated, |_| true).grade, grade, "{mounts}");
        }
    }
}
