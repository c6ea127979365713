//! `abide-hosts`: makes the base that the hosts of the lab begin as. `cargo xtask lab` runs it.

use std::time::Instant;

fn main() -> anyhow::Result<()> {
    let began = Instant::now();
    if abide_hosts::ensure_base()? {
        eprintln!("The base of the hosts was made in {:.0?}", began.elapsed());
    }
    Ok(())
}
