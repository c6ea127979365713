//! `abide-lab`: plays scenarios, and tells what people noticed. `cargo xtask lab` builds and runs it.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use abide_lab::cluster::{Lab, Plan};
use abide_lab::keepalived::Pair;
use abide_lab::round::{Round, Rounds};
use abide_lab::scenario::{self, Scenario};
use abide_lab::{report, world};
use anyhow::{Context, bail, ensure};
use clap::Parser;

/// Plays failures on whole hosts, and tells what people noticed
#[derive(Debug, Parser)]
struct Args {
    /// Which scenario; all that the brokers suffice for if absent
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// How often each
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,
    /// How many brokers
    #[arg(long, value_name = "N", default_value_t = 3)]
    brokers: u8,
    /// How many agents
    #[arg(long, value_name = "N", default_value_t = 2)]
    agents: u8,
    /// How many people log in, start, connect and end all the time
    #[arg(long, value_name = "N", default_value_t = 4)]
    people: u8,
    /// For comparison: as many rounds of keepalived as it comes, on the first two brokers' hosts, before
    /// the brokers are there
    #[arg(long)]
    keepalived: bool,
    /// Brokers far from each other (a round trip of 200 ms, 2 % loss), with the timings for that
    #[arg(long)]
    far: bool,
    /// Write JSON here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The commit that is measured, for the JSON
    #[arg(long, value_name = "ID", default_value = "unknown")]
    commit: String,
    /// Name the scenarios, and do nothing
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if args.list {
        for scenario in scenario::ALL {
            writeln!(stdout(), "{:<17} {}", scenario.name, scenario.story)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if world::is_inside() {
        let scenarios = chosen(&args)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let good = runtime.block_on(play(&args, &scenarios))?;
        return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(obstacle) = world::obstacle() {
        bail!("there can be no lab here: {obstacle}");
    }
    chosen(&args)?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let entered = world::enter_with(&words, args.json.as_deref())?;
    Ok(if entered.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(args: &Args) -> anyhow::Result<Vec<&'static Scenario>> {
    let enough = |it: &&Scenario| args.brokers >= it.least_brokers;
    let chosen: Vec<_> = match &args.scenario {
        Some(name) => {
            let found = scenario::named(name);
            vec![found.with_context(|| format!("no scenario {name}; --list names them"))?]
        }
        None => scenario::ALL.iter().filter(enough).collect(),
    };
    let short = chosen.iter().find(|it| !enough(it));
    let short = short.map(|it| format!("{} needs {} brokers", it.name, it.least_brokers));
    ensure!(short.is_none(), "{}", short.unwrap_or_default());
    Ok(chosen)
}

async fn play(args: &Args, scenarios: &[&'static Scenario]) -> anyhow::Result<bool> {
    let mut results = Vec::new();
    writeln!(stdout(), "{}", report::HEAD)?;
    let Args { brokers, agents, far: is_far, .. } = *args;
    let plan = Plan { brokers, agents, is_far };
    let network = plan.hosts()?;
    let mut keepalived = Vec::new();
    if args.keepalived {
        let [first, second, ..] = *network.hosts() else { bail!("keepalived needs two hosts") };
        for _ in 0..args.rounds {
            keepalived.push(Pair::start(first, second).await?.first_host_dies().await?);
        }
        writeln!(stdout(), "{}", report::reference("keepalived", &keepalived))?;
    }
    let mut stage = Rounds::prepare(Lab::start_on(network, plan).await?, args.people).await?;
    for scenario in scenarios {
        let mut rounds: Vec<Round> = Vec::new();
        for number in 1..=args.rounds {
            let round = stage.play(scenario).await;
            let round = round.with_context(|| format!("{}, round {number}", scenario.name))?;
            tell(scenario, number, &round);
            rounds.push(round);
        }
        writeln!(stdout(), "{}", report::line(scenario.name, &rounds))?;
        results.push((scenario.name, rounds));
    }
    if args.json.is_some() {
        let text =
            serde_json::to_string_pretty(&report::json(&args.commit, &keepalived, &results))?
                + "\n";
        std::fs::write(world::outcome(), text)?;
    }
    Ok(results.iter().flat_map(|(_, rounds)| rounds).all(Round::is_clean))
}

/// What is wrong is said when it is seen; a table comes late.
fn tell(scenario: &Scenario, number: u32, round: &Round) {
    let wrong = round.failed.iter().chain(&round.audit.lost).chain(&round.audit.duplicates);
    for what in wrong {
        eprintln!("{}, round {number}: {what}", scenario.name);
    }
}
