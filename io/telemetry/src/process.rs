//! The process's own numbers, from `/proc/self`, read when they are asked for.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};

/// Memory, processor time, files and threads. What cannot be read is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(stat) = Stat::read() {
            let cpu = ConstCounter::new(stat.cpu_seconds);
            let about = "Processor time used, in user and kernel mode";
            put(&mut encoder, "process_cpu", about, Some(&Unit::Seconds), &cpu)?;
            let about = "Memory in use";
            let gauge = ConstGauge::new(stat.resident);
            put(&mut encoder, "process_resident_memory", about, Some(&Unit::Bytes), &gauge)?;
            let about = "Address space in use";
            let gauge = ConstGauge::new(stat.virtual_memory);
            put(&mut encoder, "process_virtual_memory", about, Some(&Unit::Bytes), &gauge)?;
            let gauge = ConstGauge::new(stat.threads);
            put(&mut encoder, "process_threads", "Threads", None, &gauge)?;
            if let Some(boot) = boot_time() {
                let about = "When the process was started, since 1970";
                let gauge = ConstGauge::new(boot + stat.since_boot);
                put(&mut encoder, "process_start_time", about, Some(&Unit::Seconds), &gauge)?;
            }
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder itself.
            let gauge = ConstGauge::new(files.count().saturating_sub(1) as u64);
            put(&mut encoder, "process_open_fds", "Open files", None, &gauge)?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            let gauge = ConstGauge::new(most);
            put(&mut encoder, "process_max_fds", "Files that may be open", None, &gauge)?;
        }
        Ok(())
    }
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    unit: Option<&Unit>,
    value: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    value.encode(encoder.encode_descriptor(name, about, unit, value.metric_type())?)
}

struct Stat {
    cpu_seconds: f64,
    threads: u64,
    since_boot: f64,
    virtual_memory: u64,
    resident: u64,
}

impl Stat {
    /// `/proc/self/stat`; see proc(5) for the fields' numbers.
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is a name that may hold anything but ends with the last parenthesis.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
            threads: field(20)?,
            since_boot: field(22)? as f64 / ticks,
            virtual_memory: field(23)?,
            resident: field(24)?.saturating_mul(rustix::param::page_size() as u64),
        })
    }
}

/// When the machine was started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
