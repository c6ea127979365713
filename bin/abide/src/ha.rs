//! `abide ha`: what a cluster manager says to this host's broker, and how that stands.

use std::io::{Write, stdout};

use crate::cli::{ActivateArgs, HaCommand};
use crate::input::broker_settings;

pub async fn ha(command: HaCommand) -> anyhow::Result<()> {
    let seconds = |timeout: u16| u64::from(timeout) * 1000;
    let (args, order) = match command {
        HaCommand::Activate(it) => {
            let ActivateArgs { peer_is_down, accept_stale, timeout, ha } = it;
            let timeout_ms = seconds(timeout);
            (ha, abide_broker::Order::Activate { peer_is_down, accept_stale, timeout_ms })
        }
        HaCommand::Release(it) => {
            (it.ha, abide_broker::Order::Release { timeout_ms: seconds(it.timeout) })
        }
        HaCommand::Status(args) => (args, abide_broker::Order::Status),
        HaCommand::Aside(args) => (args, abide_broker::Order::Aside),
    };
    let settings = broker_settings(&args.config)?;
    let reply = abide_broker::ask(&settings, order).await;
    let mut out = stdout();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&reply)?)?,
        false => writeln!(out, "{}", reply.text)?,
    }
    match reply.code {
        abide_broker::Code::Serves => Ok(()),
        code => Err(HowItStands(code).into()),
    }
}

/// What was said already, as an exit code.
#[derive(Debug, thiserror::Error)]
#[error("exit code {}", u8::from(*.0))]
pub struct HowItStands(pub abide_broker::Code);
