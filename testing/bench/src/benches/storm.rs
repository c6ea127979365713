//! A storm: 1,000 people who start a session each within 10 s, tokens in hand, on three brokers of real
//! processes and 20 played agents of three weights; against x2gobroker's `selectsession` for as many people,
//! in the same pace, on as many hosts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use abide_cluster::{Cluster, Options, PlayedAgent, Started, Storm, until};
use anyhow::{Context, ensure};

use super::Lab;
use crate::figure::{Figure, Goal, Sample, Unit};
use crate::http::{Connection, Request};
use crate::reference::X2goBroker;
use crate::stats::percentile_ms;

const STORM: Storm = Storm { people: 1_000, within: Duration::from_secs(10) };
const AGENTS: usize = 20;
const WEIGHTS: [u32; 3] = [1, 2, 4];
/// Until all agents have told their load.
const DEADLINE: Duration = Duration::from_secs(30);
/// Those who ask x2gobroker: enough that nobody waits for another to have asked.
const ASKERS: usize = 50;

/// Measures. Each round has a cluster of its own, empty at first.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let mut ours: [Vec<f64>; 5] = Default::default();
    let mut theirs: [Vec<f64>; 3] = Default::default();
    let mut missing = None;
    for round in 0..lab.rounds {
        let figures = lab.runtime.block_on(abide())?;
        ours.iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
        match x2gobroker(lab, round) {
            Ok(figures) => {
                theirs.iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
            }
            Err(cause) => missing = Some(format!("{cause:#}")),
        }
    }
    let [half, most, running, apart, repeats] = ours;
    let [their_half, their_most, their_apart] = theirs.map(|rounds| match &missing {
        None => Sample::new(X2goBroker::NAME, rounds),
        Some(cause) => Sample::missing(X2goBroker::NAME, cause),
    });
    let ms = |what: &str, rounds| Figure::new(what, Unit::Milliseconds, rounds);
    Ok(vec![
        ms("until the reservation, p50", half).beside(their_half),
        ms("until the reservation, p99", most).goal(Goal::Below(50.0)).beside(their_most).note(
            "from the request to the order's arrival at the agent: HTTP, the way to the leader, the \
             choice, the commit at three brokers, and the order",
        ),
        ms("until the answer that it runs, p99", running)
            .note("the agents are played: the desktop's own start is not in it"),
        Figure::new("the agent furthest from its ideal share, sessions", Unit::Count, apart)
            .goal(Goal::Below(1.0))
            .beside(their_apart.note("its hosts are all alike: it knows no weights")),
        Figure::new("starts that were refused or repeated", Unit::Count, repeats)
            .goal(Goal::AtMost(0.0)),
    ])
}

/// Until the reservation, p50 and p99, until the answer, p99, ms; the worst distance from the ideal; repeats.
async fn abide() -> anyhow::Result<[f64; 5]> {
    let cluster = Cluster::start(Options { brokers: 3, agents: 0, ..Options::new()? }).await?;
    let admin = cluster.log_in(cluster.admin()).await?;
    let mut agents = Vec::new();
    for n in 0..AGENTS {
        let (name, weight) = (format!("desk{n}"), WEIGHTS[n % WEIGHTS.len()]);
        agents.push(PlayedAgent::join(&cluster, &admin, &name, weight).await?);
    }
    until("every agent has told its load", DEADLINE, async || {
        let all = admin.agents().await.ok()?.agents;
        let told = all.iter().filter(|it| it.reachable && it.load.is_some());
        (told.count() == AGENTS).then_some(())
    })
    .await?;
    let started = STORM.run(&cluster).await?;
    ensure!(started.len() == STORM.people, "{} started", started.len());
    let reserved = started.iter().map(|it| until_reserved(it, &agents));
    let reserved: Vec<_> = reserved.collect::<anyhow::Result<_>>()?;
    let running: Vec<_> = started.iter().map(|it| it.took).collect();
    let repeats: u32 = started.iter().map(|it| it.repeats).sum();
    Ok([
        percentile_ms(&reserved, 50.0),
        percentile_ms(&reserved, 99.0),
        percentile_ms(&running, 99.0),
        furthest(&started, &agents),
        f64::from(repeats),
    ])
}

fn until_reserved(started: &Started, agents: &[PlayedAgent]) -> anyhow::Result<Duration> {
    let agent = agents.iter().find(|it| it.id == started.session.agent);
    let ordered = agent.and_then(|it| it.ordered(started.session.id.parse().ok()?));
    Ok(ordered.context("a session that no agent was ordered")?.duration_since(started.asked))
}

/// How far the worst agent is from the share of its weight, sessions.
fn furthest(started: &[Started], agents: &[PlayedAgent]) -> f64 {
    let weights: u32 = agents.iter().map(|it| it.weight).sum();
    let apart = agents.iter().map(|agent| {
        let has = started.iter().filter(|it| it.session.agent == agent.id).count() as f64;
        (has - f64::from(agent.weight) / f64::from(weights) * started.len() as f64).abs()
    });
    apart.fold(0.0, f64::max)
}

/// p50 and p99, ms, and the worst distance from the ideal, sessions.
fn x2gobroker(lab: &Lab, round: usize) -> anyhow::Result<[f64; 3]> {
    let hosts: Vec<_> = (0..AGENTS).map(|n| format!("desk{n}.invalid")).collect();
    let folder = lab.folder(&format!("x2gobroker-{round}"))?;
    let broker = X2goBroker::start_with(&folder, &hosts)?;
    let (address, began) = (broker.address(), Instant::now());
    let answers = thread::scope(|scope| {
        let ask = |asker| {
            move || {
                let people = (asker..STORM.people).step_by(ASKERS);
                people
                    .map(|person| ask_for(address, began, person))
                    .collect::<anyhow::Result<Vec<_>>>()
            }
        };
        let askers: Vec<_> = (0..ASKERS).map(|asker| scope.spawn(ask(asker))).collect();
        let join = |it: thread::ScopedJoinHandle<'_, _>| {
            it.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
        };
        askers.into_iter().map(join).collect::<anyhow::Result<Vec<_>>>()
    })?;
    let answers = answers.concat();
    let mut counts: BTreeMap<&str, u32> = hosts.iter().map(|it| (it.as_str(), 0)).collect();
    for (host, _) in &answers {
        *counts.get_mut(host.as_str()).context("a host of its own making")? += 1;
    }
    let ideal = STORM.people as f64 / AGENTS as f64;
    let apart = counts.values().map(|has| (f64::from(*has) - ideal).abs()).fold(0.0, f64::max);
    let took: Vec<_> = answers.iter().map(|(_, took)| *took).collect();
    Ok([percentile_ms(&took, 50.0), percentile_ms(&took, 99.0), apart])
}

/// At this person's moment; gives the host and how long the answer took.
fn ask_for(
    address: SocketAddr,
    began: Instant,
    person: usize,
) -> anyhow::Result<(String, Duration)> {
    let at = began + STORM.within.mul_f64(person as f64 / STORM.people as f64);
    thread::sleep(at.saturating_duration_since(Instant::now()));
    let head =
        [format!("POST {}", X2goBroker::PATH), format!("Content-Type: {}", X2goBroker::CONTENT)];
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    let body = format!("user=person-{person:04}&task=selectsession&sid=desk");
    let asked = Instant::now();
    let answer = Connection::open(address)?.ask(&Request::new(address, &head, &body))?;
    let took = asked.elapsed();
    let host = answer.body.split("SERVER:").nth(1).context("no server in the answer")?;
    let host = host.split([':', '\n', '\r', ' ']).next().unwrap_or_default();
    Ok((host.to_owned(), took))
}
