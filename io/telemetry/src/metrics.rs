//! Numbers for Prometheus.
//!
//! A role makes a [`registry`], registers its families in [`ours`], keeps it behind an `Arc`, and
//! answers `/metrics` with [`render`].

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::process::ProcessMetrics;

/// The Content-Type of what [`render`] makes.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the names of our own metrics begin with, before an underscore.
pub const OUR_PREFIX: &str = "abide";

/// A registry that has the process's own numbers (`process_…`, under the names that Prometheus's
/// client libraries share) and `abide_build_info`. `version` is the program's.
pub fn registry(version: &'static str) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessMetrics));
    ours(&mut registry).register(
        "build",
        "The program that these numbers are of",
        Info::new(vec![("version", version)]),
    );
    registry
}

/// The part of a registry for our own metrics: `abide_…`.
pub fn ours(registry: &mut Registry) -> &mut Registry {
    registry.sub_registry_with_prefix(OUR_PREFIX)
}

/// The registry's numbers now, in OpenMetrics' text format.
pub fn render(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("a string takes all that is written");
    text
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn ours_and_the_processs_numbers_are_told() {
        let mut registry = registry("1.2.3");
        let logins: Counter = Counter::default();
        ours(&mut registry).register("logins", "Logins that succeeded", logins.clone());
        logins.inc_by(3);
        let text = render(&registry);
        for line in [
            "abide_build_info{version=\"1.2.3\"} 1\n",
            "abide_logins_total 3\n",
            "# TYPE process_resident_memory_bytes gauge\n",
            "# TYPE process_cpu_seconds counter\n",
            "# EOF\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn the_processs_numbers_are_plausible() {
        let text = render(&registry("0"));
        let number = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert!(number("process_resident_memory_bytes") > 100_000.0);
        assert!(number("process_virtual_memory_bytes") >= number("process_resident_memory_bytes"));
        assert!(number("process_cpu_seconds_total") >= 0.0);
        assert!(number("process_threads") >= 1.0);
        assert!(number("process_open_fds") >= 3.0);
        assert!(number("process_max_fds") >= number("process_open_fds"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - number("process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }
}
