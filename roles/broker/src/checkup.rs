//! What a broker needs of its host, and whether it has it: for `abide doctor`.

mod pair;

use std::path::Path;
use std::time::SystemTime;

use abide_checkup::{
    CertificateOf, Finding, Local, Metrics, Report, Start, Unit, belongings, certificate, file,
    listens, with_causes,
};
use abide_tls::{BrokerIdentity, WebCertificate};

use crate::ha;
use crate::settings::{LoginBackend, Settings, WebTls, settings_from};

const UNIT: &str = "abide-broker.service";
const LOGIN_SOCKET: &str = "abide-login.socket";
const USER: &str = "abide-broker";
const VERSIONS: &str = "the brokers' versions";
/// An offset that people should hear of, seconds.
const FAR_OFF: f64 = 5.0;

/// Whether somebody has begun to make this host a broker.
pub fn is_wanted(config: &Path) -> bool {
    let folder = read(config).map_or("/etc/abide/identity/broker".into(), |it| it.identity_dir);
    Unit::look(UNIT).is_in_use() || folder.join("key.pem").exists()
}

/// Looks at this host's broker. Gives its settings if the configuration can be used.
pub async fn check_up(config: &Path, report: &mut Report) -> Option<Settings> {
    let settings = match read(config) {
        Ok(settings) => settings,
        Err(finding) => {
            report.add(*finding);
            return None;
        }
    };
    report.add(Finding::fine(config.display(), "can be used"));
    let unit = Unit::look(UNIT);
    if !certificates(&settings, report) {
        // Nothing can run without: what follows from it is not told too.
        return Some(settings);
    }
    belongings(&unit, USER, &settings.identity_dir, &settings.data_dir, report);
    logins(&settings, report);
    service_address(&settings, &unit, report);
    pair::settings(&settings, report);
    report.add(unit.finding(Start::Enabled));
    // Of one that does not run there is no more to say.
    if unit.is_active() || !unit.exists() {
        report.add(listens(settings.agents, UNIT).await);
        pair::standing(&settings, report).await;
        ask(&settings, report).await;
        pair(&settings, report).await;
    }
    Some(settings)
}

fn read(config: &Path) -> Result<Settings, Box<Finding>> {
    let wrong = |what: String| Finding::wrong(config.display(), what, "edit the file");
    let text = std::fs::read_to_string(config).map_err(|error| wrong(error.to_string()))?;
    settings_from(config, &text).map_err(|problems| wrong(problems.to_string()).into())
}

/// Whether there is an identity.
fn certificates(settings: &Settings, report: &mut Report) -> bool {
    let now = SystemTime::now();
    let place = settings.identity_dir.display();
    let identity = BrokerIdentity::load(&settings.identity_dir);
    report.add(match &identity {
        Ok(found) => certificate(place, CertificateOf::Cluster, found.identity.expires_at(), now),
        Err(error) => Finding::wrong(
            place,
            with_causes(error),
            "abide broker init makes a cluster; abide broker join joins one",
        ),
    });
    if let WebTls::Files { certificate: path, key } = &settings.web_tls {
        report.add(match WebCertificate::from_files(path.clone(), key.clone()) {
            Ok(found) => certificate(path.display(), CertificateOf::Site, found.expires_at(), now),
            Err(error) => Finding::wrong(
                path.display(),
                with_causes(&error),
                format!("put certificate and key there, readable by {USER}"),
            ),
        });
    }
    identity.is_ok()
}

fn logins(settings: &Settings, report: &mut Report) {
    match &settings.login.backend {
        LoginBackend::Pam { service, .. } => {
            let mend = "apt-get install --reinstall -o Dpkg::Options::=--force-confmiss abide";
            report.add(file(Path::new("/etc/pam.d").join(service), mend));
            report.add(Unit::look(LOGIN_SOCKET).finding(Start::Wanted));
        }
        LoginBackend::UsersFile { path } => {
            report.add(file(path, "abide user add NAME --admin makes it"));
        }
    }
}

fn service_address(settings: &Settings, unit: &Unit, report: &mut Report) {
    let Some(wanted) = &settings.service_address else { return };
    let interface = &wanted.interface;
    report.add(match Path::new("/sys/class/net").join(interface).exists() {
        true => Finding::fine(interface, "is an interface of this host"),
        false => Finding::wrong(
            interface,
            "this host has no such interface",
            "set service_address.interface; see: ip link",
        ),
    });
    if unit.exists() && !unit.property("AmbientCapabilities").contains("cap_net_admin") {
        report.add(Finding::wrong(
            UNIT,
            "may not put the service address on an interface",
            "use /usr/share/doc/abide/examples/service-address.conf, which says how",
        ));
    }
}

/// What the broker says of itself.
async fn ask(settings: &Settings, report: &mut Report) {
    let silent = |error: reqwest::Error| {
        let mend = format!("see why: journalctl -u {UNIT} -n 50");
        Finding::wrong(settings.http, with_causes(&error), mend)
    };
    let local = match Local::new(settings.http, settings.web_tls != WebTls::Off) {
        Ok(local) => local,
        Err(error) => return report.add(silent(error)),
    };
    match local.ask("/readyz").await {
        Ok((true, _)) => report.add(Finding::fine(settings.http, "a login would work now")),
        Ok((false, why)) => report.add(Finding::wrong(
            settings.http,
            why.trim(),
            "see the other brokers: abide cluster status",
        )),
        Err(error) => return report.add(silent(error)),
    }
    match local.ask("/api/v1/cluster").await {
        Ok((true, told)) => report.add(versions(&told)),
        Ok((false, why)) => report.add(Finding::warning(VERSIONS, why.trim(), "see the journal")),
        Err(error) => return report.add(silent(error)),
    }
    match local.metrics().await {
        Ok(metrics) => {
            report.add(clock(&metrics));
            report.add(heartbeat(&metrics));
        }
        Err(error) => report.add(silent(error)),
    }
}

/// What one of a pair says of the two.
async fn pair(settings: &Settings, report: &mut Report) {
    let Some(pair) = &settings.pair else { return };
    let reply = ha::ask(settings, ha::Order::Status).await;
    let warnings = reply.details["warnings"].as_array().into_iter().flatten();
    for warning in warnings.filter_map(|it| it.as_str()) {
        report.add(Finding::warning(&pair.peer, warning, "see pair.md"));
    }
    report.add(match reply.details["peer"]["answers"].as_bool() {
        Some(true) => Finding::fine(&pair.peer, "answers as the other broker of the pair"),
        Some(false) => Finding::warning(
            &pair.peer,
            "does not answer: the other broker of the pair",
            "start it; pair.peer must be its listen.agents",
        ),
        None => Finding::wrong(&pair.peer, reply.text, "see pair.md"),
    });
}

/// Whether all brokers have come to the newest wire version, as this one tells of the cluster.
fn versions(told: &str) -> Finding {
    let cluster: abide_api::Cluster = match serde_json::from_str(told) {
        Ok(cluster) => cluster,
        Err(error) => return Finding::warning(VERSIONS, with_causes(&error), "upgrade abide"),
    };
    match cluster.wire_problem {
        None => Finding::fine(VERSIONS, "are the same"),
        Some(problem) => Finding::warning(
            VERSIONS,
            problem,
            "upgrade abide on those hosts, or: abide cluster remove; see install.md, Upgrading",
        ),
    }
}

fn clock(metrics: &Metrics) -> Finding {
    const PLACE: &str = "the broker's clock";
    const MEND: &str = "set the host's clock right; see operating.md, Clocks";
    let offset = metrics.value("abide_broker_clock_offset_seconds").unwrap_or(0.0);
    if metrics.value("abide_broker_clock_believed") == Some(0.0) {
        let what = format!("is not believed: it is {offset:.1} s off the other servers'");
        return Finding::wrong(PLACE, what, MEND);
    }
    match offset.abs() > FAR_OFF {
        true => Finding::warning(PLACE, format!("is {offset:.1} s off"), MEND),
        false => Finding::fine(PLACE, "is right"),
    }
}

/// The heartbeat is the limit of every append: it must outlast a round trip and the slowest sync.
fn heartbeat(metrics: &Metrics) -> Finding {
    const PLACE: &str = "the heartbeat";
    let Some(heartbeat) = metrics.value("abide_broker_heartbeat_interval_seconds") else {
        return Finding::warning(PLACE, "is not told by the broker", "see /metrics");
    };
    let trips = metrics.all("abide_broker_peer_round_trip_seconds").map(|it| it.value);
    let trip = trips.fold(0.0, f64::max);
    let sync = metrics.quantile("abide_broker_log_sync_duration_seconds", 0.999).unwrap_or(0.0);
    let what = format!(
        "every {:.0} ms; a round trip takes {:.1} ms, the slowest syncs {:.1} ms (99.9 %)",
        heartbeat * 1e3,
        trip * 1e3,
        sync * 1e3
    );
    match trip + sync < heartbeat {
        true => Finding::fine(PLACE, what),
        false => Finding::warning(
            PLACE,
            format!("is too short: {what}"),
            "use cluster.timing = \"slow\" on all brokers, or faster disks; see operating.md",
        ),
    }
}

#[cfg(test)]
mod tests {
    use abide_checkup::Grade;

    use super::*;

    fn metrics(trip: f64, sync: f64) -> Metrics {
        Metrics::parse(&format!(
            "abide_broker_heartbeat_interval_seconds 0.075\n\
             abide_broker_peer_round_trip_seconds{{broker=\"a\"}} 0.0001\n\
             abide_broker_peer_round_trip_seconds{{broker=\"b\"}} {trip}\n\
             abide_broker_log_sync_duration_seconds_bucket{{le=\"{sync}\"}} 1000\n\
             abide_broker_log_sync_duration_seconds_bucket{{le=\"+Inf\"}} 1000\n"
        ))
    }

    #[test]
    fn a_heartbeat_must_outlast_a_round_trip_and_a_sync() {
        assert_eq!(heartbeat(&metrics(0.001, 0.01)).grade, Grade::Fine);
        assert_eq!(heartbeat(&metrics(0.001, 0.1)).grade, Grade::Warning);
        assert_eq!(heartbeat(&metrics(0.05, 0.03)).grade, Grade::Warning);
        assert_eq!(heartbeat(&Metrics::parse("")).grade, Grade::Warning);
    }

    #[test]
    fn brokers_of_different_versions_are_pointed_out() {
        let told = |problem: serde_json::Value| {
            let cluster = serde_json::json!({
                "cluster": "c", "answered_by": "a", "term": 1, "leader": null, "generation": 0,
                "can_lose": 1, "voters": 3, "brokers": [], "wire": 1, "wire_problem": problem,
            });
            versions(&cluster.to_string())
        };
        assert_eq!(told(serde_json::Value::Null).grade, Grade::Fine);
        let found = told("broker b runs an older one".into());
        assert_eq!(found.grade, Grade::Warning);
        assert!(found.what.contains("broker b"), "{found:?}");
    }

    #[test]
    fn a_clock_that_is_not_believed_is_wrong() {
        let of = |believed, offset| {
            clock(&Metrics::parse(&format!(
                "abide_broker_clock_believed {believed}\nabide_broker_clock_offset_seconds {offset}\n"
            )))
        };
        assert_eq!(of(1, 0.2).grade, Grade::Fine);
        assert_eq!(of(1, -6.0).grade, Grade::Warning);
        assert_eq!(of(0, 3600.0).grade, Grade::Wrong);
    }

    #[tokio::test]
    async fn a_wrong_file_is_all_that_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("broker.toml");
        std::fs::write(&config, "datadir = '/x'\n").unwrap();
        let mut report = Report::default();
        assert!(check_up(&config, &mut report).await.is_none());
        let [only] = &report.findings[..] else { panic!("{report:?}") };
        assert!(only.what.contains("public_url: missing"), "{only:?}");
        assert!(only.what.contains("did you mean \"data_dir\"?"), "{only:?}");
    }
}
