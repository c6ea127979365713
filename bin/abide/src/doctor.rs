//! `abide doctor`: what is wrong with this host's installation.

use std::io::Write;
use std::path::Path;

use abide_checkup::Report;
use anyhow::bail;

use crate::cli::{AGENT_CONFIG, BROKER_CONFIG, DoctorArgs};

pub async fn doctor(args: DoctorArgs) -> anyhow::Result<()> {
    let DoctorArgs { broker_config, agent_config, json } = args;
    let mut report = Report::default();
    let path = broker_config.as_deref().unwrap_or(Path::new(BROKER_CONFIG));
    let broker = match broker_config.is_some() || abide_broker::is_wanted(path) {
        true => Some(abide_broker::check_up(path, &mut report).await),
        false => None,
    };
    let path = agent_config.as_deref().unwrap_or(Path::new(AGENT_CONFIG));
    let agent = match agent_config.is_some() || abide_agent::is_wanted(path) {
        true => Some(abide_agent::check_up(path, &mut report).await),
        false => None,
    };
    match (&broker, &agent) {
        (None, None) => report.add(abide_checkup::nothing_here()),
        (Some(Some(broker)), Some(Some(agent))) => {
            report.add(abide_checkup::free_port(broker.http, agent.http));
        }
        _ => {}
    }
    report.add(abide_checkup::clock_is_kept());
    report.add(abide_checkup::rights());
    let text = if json.json { report.json()? + "\n" } else { report.text() };
    std::io::stdout().write_all(text.as_bytes())?;
    match report.is_wrong() {
        true => bail!("something is wrong, as said above"),
        false => Ok(()),
    }
}
