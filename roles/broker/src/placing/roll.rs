//! What placement knows of each agent, kept from one placement to the next: with 10,000 agents it would take
//! longer to gather than to choose.
//!
//! Follows the table by what has changed in it. What depends on pool and profile is worked out once for
//! each pair of them that is asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use abide_model::{
    Agent, AgentFacts, AgentId, Label, PoolName, Profile, ProfileName, Reach, Table, Timestamp,
};
use abide_placement::{Candidate, Hearing, Load};
use abide_policy::{ClusterConfig, Pool};

use super::{View, Wish};

/// How old the signs may be. Agents tell their load once a second; their silence counts after more than that.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// For how many pairs of pool and profile it is kept who fits. A person may ask for any profile.
const PAIRS: usize = 64;

/// What is heard of an agent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sign {
    /// Whether it was heard lately.
    pub is_heard: bool,
    /// What it told last of its host.
    pub told: Option<Told>,
}

/// What an agent told of its host. Percents are in hundredths.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// Linux's PSI, "some avg10".
    pub cpu_pressure: u32,
    /// The same of memory.
    pub memory_pressure: u32,
    /// Memory that is left, of the whole.
    pub memory_left: Option<u32>,
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// As which the rows are.
    table: Table,
    policy: Arc<ClusterConfig>,
    /// By id.
    rows: Vec<Row>,
    fits: HashMap<(Option<PoolName>, ProfileName), Vec<Fit>>,
    /// What reachable agents offer, by pool.
    offered: HashMap<Option<PoolName>, Arc<[Profile]>>,
    looked: Option<Timestamp>,
}

#[derive(Debug)]
struct Row {
    agent: Arc<Agent>,
    weight: u32,
    /// Beside the agent, to be near.
    live: u32,
    is_reachable: bool,
    sign: Sign,
}

/// How an agent fits to a pool and a profile.
#[derive(Debug)]
struct Fit {
    in_pool: bool,
    offers_profile: bool,
    missing: Box<[Label]>,
    most: Option<u32>,
}

impl Roll {
    /// Is ready for this session's candidates.
    pub fn see<F: Fn(&[&AgentId]) -> Vec<Sign>>(
        &mut self,
        table: &Table,
        wish: &Wish<'_>,
        view: &View<'_, F>,
    ) {
        self.follow(table, view.policy);
        self.look(view.now, &view.signs);
        self.fit(wish.pool, wish.profile);
    }

    /// Becomes as this table is.
    pub fn follow(&mut self, table: &Table, policy: &Arc<ClusterConfig>) {
        if !Arc::ptr_eq(&self.policy, policy) {
            // Weights are the configuration's to say.
            *self = Self { policy: Arc::clone(policy), ..Self::default() };
        }
        let (mut fits_anew, mut offers_anew) = (false, false);
        for (id, agent) in table.agents_unlike(&self.table) {
            let place = self.rows.binary_search_by(|row| row.agent.id.cmp(id));
            match (place, agent) {
                (Ok(at), Some(agent)) => {
                    let known = &self.rows[at].agent;
                    fits_anew |= known.facts != agent.facts || known.name != agent.name;
                    let sign = self.rows[at].sign;
                    offers_anew |= self.rows[at].agent.reach != agent.reach;
                    self.rows[at] = Row { sign, ..Row::new(agent, policy) };
                }
                (Err(at), Some(agent)) => {
                    fits_anew = true;
                    self.looked = None;
                    self.rows.insert(at, Row::new(agent, policy));
                }
                (Ok(at), None) => {
                    fits_anew = true;
                    self.rows.remove(at);
                }
                (Err(_), None) => {}
            }
        }
        if fits_anew {
            self.fits.clear();
        }
        if fits_anew || offers_anew {
            self.offered.clear();
        }
        self.table = table.clone();
    }

    /// Looks what is heard of the agents, if that was some time ago.
    fn look(&mut self, now: Timestamp, signs: impl Fn(&[&AgentId]) -> Vec<Sign>) {
        let most = LOOK_EVERY.as_millis() as u64;
        // A clock that was set back is no reason to look no more.
        let is_recent = self.looked.is_some_and(|at| at <= now && now.since(at) < most);
        // One that has just come tells its load any moment.
        let is_whole = self.rows.iter().all(|row| !row.is_reachable || row.sign.told.is_some());
        if is_recent && is_whole {
            return;
        }
        let agents: Vec<_> = self.rows.iter().map(|row| &row.agent.id).collect();
        let signs = signs(&agents);
        self.rows.iter_mut().zip(signs).for_each(|(row, sign)| row.sign = sign);
        self.looked = Some(now);
    }

    /// All agents as they are for this session, which fits were worked out for. `others` are on their way
    /// into the table, and whether they are the same person's.
    pub fn candidates<'a, 'c>(
        &'a self,
        wish: &Wish<'_>,
        others: impl Iterator<Item = (&'c AgentId, bool)>,
        now: Timestamp,
    ) -> Vec<Candidate<'a>> {
        let fits = self.fits.get(&key(wish.pool, wish.profile)).map_or(&[][..], |fits| fits);
        let of = |(row, fit): (&'a Row, &'a Fit)| row.candidate(fit, now);
        let mut all: Vec<_> = self.rows.iter().zip(fits).map(of).collect();
        let find = |id: &AgentId| self.rows.binary_search_by(|row| row.agent.id.cmp(id)).ok();
        for (agent, is_same_user) in others {
            let Some(at) = find(agent) else { continue };
            all[at].sessions += 1;
            all[at].of_user += u32::from(is_same_user);
        }
        for session in self.table.sessions_of(wish.user).filter(|it| it.state.is_live()) {
            let Some(at) = find(&session.agent) else { continue };
            all[at].of_user += 1;
        }
        all
    }

    /// Each agent, what it counts for, what it told, as in the candidates.
    pub fn agents(&self) -> impl Iterator<Item = (&Arc<Agent>, u32, Option<Told>)> {
        self.rows.iter().map(|row| (&row.agent, row.weight, row.sign.told))
    }

    /// The kinds of desktop that agents of this pool offer, those that can be reached: first those of
    /// the configuration, in the order written there, then others, in the order of the agents.
    pub fn profiles(&mut self, pool: Option<&Pool>) -> Arc<[Profile]> {
        let name = pool.map(|it| it.name.clone());
        if let Some(known) = self.offered.get(&name) {
            return Arc::clone(known);
        }
        let offered: Arc<[_]> = self.offers(pool).into();
        self.offered.insert(name, Arc::clone(&offered));
        offered
    }

    fn offers(&self, pool: Option<&Pool>) -> Vec<Profile> {
        let policy = &self.policy;
        let mut offered: Vec<Profile> = Vec::new();
        for row in self.rows.iter().filter(|row| row.is_reachable) {
            let agent = &row.agent;
            let of_pool = pool.is_none_or(|pool| pool.has(&agent.name));
            let Some(facts) = agent.facts.as_deref().filter(|_| of_pool) else { continue };
            for profile in &facts.profiles {
                let is_new = !offered.iter().any(|known| known.name == profile.name);
                if is_new && Fit::new(agent, facts, policy, pool, &profile.name).is_good() {
                    offered.push(profile.clone());
                }
            }
        }
        let place = |it: &Profile| policy.profiles.iter().position(|rules| rules.name == it.name);
        offered.sort_by_key(|it| place(it).unwrap_or(usize::MAX));
        for it in &mut offered {
            if let Some(title) = policy.profile(&it.name).and_then(|rules| rules.title.as_ref()) {
                it.title = title.to_string();
            }
        }
        offered
    }

    /// Works out who fits to a pool and a profile.
    fn fit(&mut self, pool: Option<&Pool>, profile: &ProfileName) {
        let key = key(pool, profile);
        if self.fits.contains_key(&key) {
            return;
        }
        if self.fits.len() >= PAIRS {
            self.fits.clear();
        }
        let policy = &self.policy;
        let fits = self.rows.iter().map(|row| match row.agent.facts.as_deref() {
            Some(facts) => Fit::new(&row.agent, facts, policy, pool, profile),
            // It has said nothing yet.
            None => Fit { in_pool: true, offers_profile: false, missing: [].into(), most: None },
        });
        self.fits.insert(key, fits.collect());
    }
}

fn key(pool: Option<&Pool>, profile: &ProfileName) -> (Option<PoolName>, ProfileName) {
    (pool.map(|it| it.name.clone()), profile.clone())
}

impl Row {
    fn new(agent: &Arc<Agent>, policy: &ClusterConfig) -> Self {
        let own = agent.facts.as_ref().map_or(1, |facts| facts.weight);
        Self {
            weight: policy.weight(&agent.name, own),
            live: agent.live,
            is_reachable: agent.reach == Reach::Reachable,
            sign: Sign::default(),
            agent: Arc::clone(agent),
        }
    }

    fn candidate<'a>(&'a self, fit: &'a Fit, now: Timestamp) -> Candidate<'a> {
        let ago = |at: Timestamp| Duration::from_millis(now.since(at));
        Candidate {
            agent: &self.agent.id,
            weight: self.weight,
            sessions: self.live,
            of_user: 0,
            most: fit.most,
            hearing: match (self.is_reachable, self.sign.is_heard) {
                (true, true) => Hearing::Heard,
                // The table calls it reachable for a while yet: whoever leads anew gives each its time, also
                // one that fell with the former leader's host.
                (true, false) => Hearing::Quiet,
                (false, _) => Hearing::Unreachable,
            },
            is_drained: self.agent.drain.is_some(),
            in_pool: fit.in_pool,
            offers_profile: fit.offers_profile,
            missing: &fit.missing,
            failed: self.agent.failed_at.map(ago),
            load: self.sign.told.map(|told| Load {
                age: ago(told.at),
                cpu_pressure: told.cpu_pressure,
                memory_pressure: told.memory_pressure,
                memory_left: told.memory_left,
            }),
        }
    }
}

impl Fit {
    fn new(
        agent: &Agent,
        facts: &AgentFacts,
        policy: &ClusterConfig,
        pool: Option<&Pool>,
        profile: &ProfileName,
    ) -> Self {
        let name = agent.name.as_str();
        let has_it = facts.profiles.iter().any(|it| it.name == *profile);
        Self {
            in_pool: pool.is_none_or(|pool| pool.has(name)),
            offers_profile: has_it && pool.is_none_or(|pool| pool.offers(profile)),
            missing: policy.missing(profile, name, &facts.labels).cloned().collect(),
            most: policy.most_sessions(pool, name, facts.max_sessions),
        }
    }

    fn is_good(&self) -> bool {
        self.in_pool && self.offers_profile && self.missing.is_empty()
    }
}
