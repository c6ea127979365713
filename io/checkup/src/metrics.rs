//! Reading OpenMetrics' text, as our own servers write it.

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// With its suffix, as in `abide_broker_log_sync_duration_seconds_bucket`.
    pub name: String,
    /// Label and value.
    pub labels: Vec<(String, String)>,
    /// In the metric's unit.
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty if it has none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

/// What a server said of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(Vec<Sample>);

impl Metrics {
    /// All samples of the text; lines that are none are left out.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// Those of one name.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Sample> {
        self.0.iter().filter(move |it| it.name == name)
    }

    /// The value of one without labels.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.all(name).next().map(|it| it.value)
    }

    /// The upper bound of the bucket that this part of a histogram's values lies below; `None` without
    /// values, infinite beyond the last bucket.
    pub fn quantile(&self, histogram: &str, part: f64) -> Option<f64> {
        let name = format!("{histogram}_bucket");
        let mut buckets: Vec<(f64, f64)> = self
            .all(&name)
            .filter_map(|it| {
                let bound = it.label("le");
                Some((if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? }, it.value))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = buckets.last()?.1;
        let enough = |bucket: &&(f64, f64)| all > 0.0 && bucket.1 >= all * part;
        buckets.iter().find(enough).map(|bucket| bucket.0)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (name, rest) = line.split_once(['{', ' '])?;
    let (labels, value) = match line.as_bytes().get(name.len())? {
        b'{' => rest.rsplit_once("} ")?,
        _ => ("", rest),
    };
    let label = |pair: &str| {
        let (label, value) = pair.split_once("=\"")?;
        Some((label.trim_start_matches(',').to_owned(), value.to_owned()))
    };
    let labels = labels.split('"').collect::<Vec<_>>();
    let labels = labels.chunks_exact(2).filter_map(|it| label(&it.join("\""))).collect();
    let value = value.split(' ').next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP x\nserving 1\nround_trip{broker=\"b1\",way=\"x y\"} 0.002\n\
        sync_bucket{le=\"0.001\"} 90\nsync_bucket{le=\"0.01\"} 999\nsync_bucket{le=\"+Inf\"} 1000\n# EOF\n";

    #[test]
    fn samples_have_names_labels_and_values() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.value("serving"), Some(1.0));
        assert_eq!(metrics.value("nothing"), None);
        let trip = metrics.all("round_trip").next().unwrap();
        assert_eq!((trip.label("broker"), trip.label("way"), trip.value), ("b1", "x y", 0.002));
    }

    #[test]
    fn a_quantile_is_its_buckets_bound() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.quantile("sync", 0.5), Some(0.01));
        assert_eq!(metrics.quantile("sync", 0.999), Some(0.01));
        assert_eq!(metrics.quantile("sync", 0.9999), Some(f64::INFINITY));
        assert_eq!(metrics.quantile("nothing", 0.5), None);
        let none = Metrics::parse("sync_bucket{le=\"+Inf\"} 0\n");
        assert_eq!(none.quantile("sync", 0.5), None);
    }
}
