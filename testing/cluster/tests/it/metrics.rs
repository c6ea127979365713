//! Every metric has its line in docs/metrics.md, and every line there its metric.

use std::collections::BTreeMap;
use std::time::Duration;

use abide_cluster::{Cluster, Options, until};

const DEADLINE: Duration = Duration::from_secs(20);

/// Type and unit; no unit if the page's column says in words what is counted.
type Kind = (String, Option<String>);

/// By the name that a sample has in Prometheus, without a histogram's suffixes.
async fn exported(cluster: &Cluster, url: &str) -> BTreeMap<String, Kind> {
    let http = cluster.trust().unwrap().client().unwrap();
    let text = http.get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
    let lines = |keyword: &'static str| {
        let lines = text.lines().filter_map(move |line| line.strip_prefix(keyword));
        lines.map(|line| line.split_once(' ').unwrap())
    };
    let units: BTreeMap<_, _> = lines("# UNIT ").collect();
    let kinds = lines("# TYPE ").map(|(name, kind)| {
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        (format!("{name}{suffix}"), (kind.to_owned(), units.get(name).map(ToString::to_string)))
    });
    kinds.collect()
}

/// What the page's table below a heading says.
fn documented(heading: &str) -> BTreeMap<String, Kind> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next().unwrap().split(['{', '`']).next().unwrap();
        let (kind, unit) = (cells.next().unwrap(), cells.next().unwrap());
        let unit = Some(unit).filter(|unit| ["seconds", "bytes"].contains(unit));
        (name.to_owned(), (kind.to_owned(), unit.map(str::to_owned)))
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_stands_in_the_page_and_no_other() {
    let options = Options { agents: 1, ..Options::new().unwrap() };
    let cluster = Cluster::start(options).await.unwrap();
    for (heading, url) in [("Brokers", &cluster.broker().url), ("Agents", &cluster.agents()[0].url)]
    {
        let mut page = documented("Every program");
        page.extend(documented(heading));
        // An agent's clock offset is known once a broker has answered it.
        let _ = until("they are known", DEADLINE, async || {
            let known = exported(&cluster, url.as_str()).await;
            (known.len() >= page.len()).then_some(())
        })
        .await;
        assert_eq!(exported(&cluster, url.as_str()).await, page, "{heading}");
    }
}
