//! Whether somebody keeps the host's clock right.

use std::process::{Command, Stdio};

use crate::Finding;

/// Whether the clock is kept by NTP, as far as systemd knows.
pub fn clock_is_kept() -> Finding {
    let mut ask = Command::new("timedatectl");
    ask.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null());
    let said = ask.output().map(|output| output.stdout).unwrap_or_default();
    judge(String::from_utf8_lossy(&said).trim())
}

fn judge(said: &str) -> Finding {
    const PLACE: &str = "the host's clock";
    match said {
        "yes" => Finding::fine(PLACE, "is kept by NTP"),
        "no" => Finding::warning(
            PLACE,
            "is not kept by NTP",
            "apt-get install systemd-timesyncd, or chrony; see operating.md, Clocks",
        ),
        _ => Finding::warning(PLACE, "cannot be asked about", "see: timedatectl"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grade;

    #[test]
    fn a_clock_that_nobody_keeps_is_told() {
        assert_eq!(judge("yes").grade, Grade::Fine);
        assert_eq!(judge("no").grade, Grade::Warning);
        assert_eq!(judge("").grade, Grade::Warning);
    }
}
