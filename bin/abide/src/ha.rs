//! `abide ha`: what a cluster manager says to this host's broker.

use std::io::Write;

use abide_broker::{Code, Order};

use crate::cli::{ActivateArgs, HaCommand};
use crate::input::broker_settings;

/// What was said already, as an exit code.
#[derive(Debug, thiserror::Error)]
#[error("exit code {}", u8::from(*.0))]
pub struct HowItStands(pub Code);

pub async fn ha(command: HaCommand) -> anyhow::Result<()> {
    let milliseconds = |seconds: u16| u64::from(seconds) * 1000;
    let (args, order) = match command {
        HaCommand::Activate(it) => {
            let ActivateArgs { peer_is_down, accept_stale, timeout, ha } = it;
            let timeout_ms = milliseconds(timeout);
            (ha, Order::Activate { peer_is_down, accept_stale, timeout_ms })
        }
        HaCommand::Release(it) => (it.ha, Order::Release { timeout_ms: milliseconds(it.timeout) }),
        HaCommand::Status(args) => (args, Order::Status),
        HaCommand::Aside(args) => (args, Order::Aside),
    };
    let settings = broker_settings(&args.config)?;
    let reply = abide_broker::ask(&settings, order).await;
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&reply)?)?,
        false => writeln!(out, "{}", reply.text)?,
    }
    match reply.code {
        Code::Serves => Ok(()),
        code => Err(HowItStands(code).into()),
    }
}
