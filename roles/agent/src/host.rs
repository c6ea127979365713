//! What the kernel says of this host.

use std::io;
use std::path::Path;
use std::time::Duration;

use abide_model::BootId;
use abide_wire::agent::Load;

/// Which boot this is.
///
/// # Errors
/// When `/proc` is not what it should be.
pub(crate) fn boot_id() -> io::Result<BootId> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    text.trim().parse().map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
}

/// The host's load; what cannot be read is 0, as on kernels without pressure information.
pub(crate) fn load() -> Load {
    let memory = read("/proc/meminfo");
    let pressure = |path| some_avg10(&read(path)).unwrap_or(0);
    Load {
        viewers: Vec::new(),
        memory_available: bytes_of(&memory, "MemAvailable:").unwrap_or(0),
        memory_total: bytes_of(&memory, "MemTotal:").unwrap_or(0),
        cpus: std::thread::available_parallelism()
            .map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
        load1_milli: load1_milli(&read("/proc/loadavg")).unwrap_or(0),
        cpu_pressure_centi: pressure("/proc/pressure/cpu"),
        memory_pressure_centi: pressure("/proc/pressure/memory"),
        clock_offset_ms: 0,
    }
}

/// For how long the host has been up; nothing if it does not say.
pub(crate) fn up() -> Duration {
    let text = read("/proc/uptime");
    let seconds = text.split_whitespace().next().and_then(|up| up.parse().ok());
    seconds.and_then(|it| Duration::try_from_secs_f64(it).ok()).unwrap_or_default()
}

/// How long after the host's start a process was started: field 22 of `/proc/PID/stat`, in clock ticks.
pub(crate) fn after_boot(start_ticks: u64) -> Duration {
    Duration::from_millis(
        start_ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second(),
    )
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// `MemTotal:       16303612 kB`
fn bytes_of(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// `0.42 0.30 0.25 1/345 6789`
fn load1_milli(loadavg: &str) -> Option<u32> {
    let load: f64 = loadavg.split_whitespace().next()?.parse().ok()?;
    Some((load * 1000.0) as u32)
}

/// `some avg10=1.53 avg60=0.87 avg300=0.44 total=12345`, in hundredths.
fn some_avg10(pressure: &str) -> Option<u32> {
    let line = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    let value = line.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?;
    Some((value.parse::<f64>().ok()? * 100.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let meminfo = "MemTotal:       16303612 kB\nMemFree: 1 kB\nMemAvailable:    8000 kB\n";
        assert_eq!(bytes_of(meminfo, "MemAvailable:"), Some(8_192_000));
        assert_eq!(bytes_of(meminfo, "SwapTotal:"), None);
        assert_eq!(load1_milli("0.42 0.30 0.25 1/345 6789"), Some(420));
        assert_eq!(some_avg10("some avg10=1.53 avg60=0.87\nfull avg10=0.10"), Some(153));
        assert_eq!(some_avg10(""), None);
        assert!(load().memory_total > 0 && boot_id().is_ok());
    }
}
