//! One round: a cluster under load, one fault, and what people noticed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use abide_api::{SessionState, StartRequest, Want};
use abide_client::{Api, WishKey};
use abide_cluster::TestUser;
use anyhow::{Context, ensure};
use serde::Serialize;

use crate::acts::{Stage, duration};
use crate::apart::{Deeds, Done as DoneApart, Tenant};
use crate::audit::{Audit, audit};
use crate::cluster::{Lab, MOVING, Reign};
use crate::floating::Watch;
use crate::load::{Done, Load, Verb};
use crate::people::People;
use crate::probe::{Try, probe};
use crate::scenario::{Scenario, Who};
use crate::viewer::Viewer;

/// The load has found its rhythm after so many calls.
const WARM: usize = 12;
const WARM_WITHIN: Duration = Duration::from_secs(60);

/// What one round showed.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// From the fault to the first acknowledged start, milliseconds. The desktop's own start is in
    /// it.
    pub start_ms: f64,
    /// From the fault to the first acknowledged `connect`.
    pub connect_ms: f64,
    /// From the fault until a broker answers at the service address; where that has to move.
    pub address_ms: Option<f64>,
    /// The longest time for which two hosts had the service address, milliseconds.
    pub shared_ms: f64,
    /// Calls of the load and the probes.
    pub calls: usize,
    /// Those that failed for good, and why.
    pub failed: Vec<String>,
    /// What was acknowledged and is not there, and what is there twice.
    pub audit: Audit,
    /// The longest time without a picture at a viewer, milliseconds.
    pub gap_ms: f64,
    /// Whether the same broker leads as before, by the same election.
    pub same_leader: bool,
    /// When what was done on an agent that the leader could not reach was done, if that is the scenario.
    pub apart: Option<DoneApart>,
}

impl Round {
    /// Nothing failed, nothing lost, nothing double.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.audit.lost.is_empty() && self.audit.duplicates.is_empty()
    }
}

/// People, and what they are at, for several rounds on one cluster.
#[derive(Debug)]
pub struct Rounds {
    stage: Stage,
    people: Arc<People>,
    users: Vec<TestUser>,
    prober: Arc<Api>,
    tenant: Arc<Api>,
    /// What the connect probe connects to.
    target: String,
    watched: String,
    viewer: Viewer,
}

impl Rounds {
    /// So many people, and one viewer, on this cluster.
    ///
    /// # Errors
    /// When something of it does not start.
    pub async fn prepare(lab: Lab, people: u8) -> anyhow::Result<Self> {
        let names = (0..people).map(|number| format!("user{number}"));
        let users = names.map(|name| lab.cluster.add_user(&name)).collect::<Result<Vec<_>, _>>()?;
        let prober = lab.cluster.add_user("prober")?;
        let watcher = lab.cluster.add_user("watcher")?;
        let tenant = lab.cluster.add_user("tenant")?;
        let people = Arc::new(People::of(&lab.cluster)?);
        let (prober, watcher) = (people.log_in(&prober).await?, people.log_in(&watcher).await?);
        let tenant = Arc::new(people.log_in(&tenant).await?);
        let target = start(&prober, None).await?.session.id;
        let shown = start(&watcher, Some(MOVING)).await?;
        let watched = shown.session.id.clone();
        let viewer = Viewer::attach(Arc::new(watcher), shown).await?;
        let stage = Stage::new(lab);
        let prober = Arc::new(prober);
        Ok(Self { stage, people, users, prober, tenant, target, watched, viewer })
    }

    /// Plays the scenario once.
    ///
    /// # Errors
    /// When the cluster does not come back. What people notice is in the answer.
    pub async fn play(&mut self, scenario: &Scenario) -> anyhow::Result<Round> {
        let brokers = self.people.brokers();
        let enough = brokers >= usize::from(scenario.least_brokers);
        ensure!(enough, "{} needs {} brokers", scenario.name, scenario.least_brokers);
        let load = Load::begin(&self.people, &self.users);
        abide_cluster::until("the load has found its rhythm", WARM_WITHIN, async || {
            (load.answered() >= WARM).then_some(())
        })
        .await?;
        self.stage.lab.settle().await?;
        let before = self.stage.lab.reign().await?;
        let victim = self.victim(scenario).await?;
        let tenant = self.tenant(scenario).await?;
        self.viewer.longest_gap()?;

        let struck = self.stage.strike(scenario.act, victim)?;
        let (fault, limit) = (struck.at, scenario.limit);
        let deeds = tenant.map(|it| it.act(fault + duration(scenario.act)));
        let starts = tokio::spawn(probe(self.prober.clone(), Try::Start, fault, limit));
        let connect = Try::Connect(self.target.clone());
        let connects = tokio::spawn(probe(self.prober.clone(), connect, fault, limit));
        let hosts = self.stage.lab.brokers();
        let watch = Watch::is_due(scenario.act) && brokers > 2;
        let watch = watch.then(|| Watch::begin(fault, limit, hosts));
        self.stage.last(scenario.act, struck, brokers == 1).await?;
        let (starts, connects) = (starts.await??, connects.await??);
        let apart = match deeds.map(Deeds::done) {
            Some(done) => Some(done.await),
            None => None,
        };
        self.stage.restore().await?;
        let moved = match watch {
            Some(watch) => Some(watch.finish().await?),
            None => None,
        };

        let done = load.finish().await;
        let mut living = living(&done);
        living.extend([self.target.clone(), self.watched.clone()]);
        living.extend(starts.sessions.iter().cloned());
        living.extend(apart.iter().flatten().map(|it| it.session.clone()));
        let gap = self.viewer.longest_gap()?;
        let failed_starts = done.iter().filter(|it| it.verb == Verb::Start && it.error.is_some());
        // Of deeds that failed nobody knows which of the tenant's two sessions live.
        let tenants = if matches!(apart, Some(Err(_))) { 2 } else { 0 };
        let unheard = failed_starts.count() + starts.failed.len() + tenants;
        let audit = audit(&self.stage.lab.cluster, &self.people, &living, unheard).await?;
        let after = self.stage.lab.reign().await?;
        self.clear().await?;
        let failures = done.iter().filter_map(|it| {
            it.error.as_ref().map(|error| format!("{:?} of {}: {error}", it.verb, it.user))
        });
        let deposed = deposed(scenario, &before, &after);
        let deeds = apart.iter().flat_map(|it| it.as_ref().err());
        let deeds = deeds.map(|error| format!("on the agent that was apart: {error:#}"));
        let failed = failures.chain(starts.failed).chain(connects.failed).chain(deposed);
        let failed = failed.chain(deeds).collect();
        let ms = |it: Duration| it.as_secs_f64() * 1e3;
        Ok(Round {
            start_ms: ms(starts.after),
            connect_ms: ms(connects.after),
            address_ms: moved.map(|it| ms(it.after)),
            shared_ms: moved.map_or(0.0, |it| ms(it.shared)),
            calls: done.len(),
            failed,
            audit,
            gap_ms: ms(gap),
            same_leader: before == after,
            apart: apart.and_then(Result::ok),
        })
    }

    /// Ends every session but the two that are for measuring.
    async fn clear(&self) -> anyhow::Result<()> {
        let admin = &self.stage.lab.admin;
        for session in admin.sessions().await?.sessions {
            let stays = session.id == self.target || session.id == self.watched;
            if session.state == SessionState::Running && !stays {
                admin.end(&session.id).await?;
            }
        }
        Ok(())
    }

    /// Somebody on the agent that the leader is cut off from, if that is the scenario.
    async fn tenant(&mut self, scenario: &Scenario) -> anyhow::Result<Option<Tenant>> {
        if !scenario.act.is_between() {
            return Ok(None);
        }
        let tenant = Tenant::move_in(self.tenant.clone()).await?;
        let agents = self.stage.lab.cluster.agents();
        let index = agents.iter().position(|agent| agent.id == tenant.agent);
        self.stage.apart = index.context("no such agent")?.try_into()?;
        Ok(Some(tenant))
    }

    /// The index of the broker that it is done to.
    async fn victim(&self, scenario: &Scenario) -> anyhow::Result<usize> {
        let leader = self.stage.lab.leader().await?;
        Ok(match scenario.act.who() {
            Some(Who::Follower) => (leader + 1) % self.people.brokers(),
            Some(Who::Leader) | None => leader,
        })
    }
}

/// What is done to a follower is no reason for an election.
fn deposed(scenario: &Scenario, before: &Reign, after: &Reign) -> Option<String> {
    let deposed = scenario.act.who() == Some(Who::Follower) && before != after;
    deposed.then(|| format!("the leader was deposed: {before:?} became {after:?}"))
}

async fn start(api: &Api, profile: Option<&str>) -> anyhow::Result<abide_api::SessionReply> {
    let request = StartRequest { profile: profile.map(str::to_owned), want: Want::Start };
    Ok(api.start(&request, &WishKey::random()).await?)
}

/// The sessions whose start was acknowledged, and whose end nobody asked for.
fn living(done: &[Done]) -> BTreeSet<String> {
    let of = |verb: Verb| done.iter().filter(move |it| it.verb == verb);
    let started =
        of(Verb::Start).filter(|it| it.error.is_none()).filter_map(|it| it.session.clone());
    let ended: BTreeSet<&String> = of(Verb::End).filter_map(|it| it.session.as_ref()).collect();
    started.filter(|id| !ended.contains(id)).collect()
}
