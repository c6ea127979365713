//! `cargo xtask demo`: builds the programs, then becomes `abide-demo`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;

use crate::install::{Purpose, ensure as install};
use crate::{DemoArgs, shell};

pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    install(Purpose::Demo)?;
    let bins = shell::build(&["abide", "abide-keeper", "abide-demo"], args.release)?;
    let mut demo = Command::new(bins.join("abide-demo"));
    demo.args(["--brokers", &args.brokers.to_string()]);
    demo.args(["--agents", &args.agents.to_string()]);
    demo.args(["--base-port", &args.base_port.to_string()]);
    if let Some(dir) = &args.dir {
        demo.arg("--dir").arg(dir);
    }
    if args.no_open {
        demo.arg("--no-open");
    }
    // Signals are for the demo alone, which ends in order.
    Err(demo.exec()).context("cannot run abide-demo")
}
