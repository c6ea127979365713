//! Who is offered which agents.

use std::collections::BTreeSet;

use abide_model::{Label, PoolName, ProfileName, UserName};

use crate::config::ProfileRules;
use crate::{ClusterConfig, HostRules, Limits, Pattern};

/// The pool's name where the configuration has none.
pub const EVERYBODY: &str = "everybody";

/// A named set of agents, offered to some users or groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// Its agents, by their names.
    pub agents: Vec<Pattern>,
    /// Who is offered it by name.
    pub users: BTreeSet<UserName>,
    /// Members of which groups are.
    pub groups: BTreeSet<String>,
    /// Whether everybody else is.
    pub is_default: bool,
    /// The kinds of desktop it has; all that its agents offer if `None`.
    pub profiles: Option<Vec<ProfileName>>,
    /// How many sessions each of its agents takes at most.
    pub sessions_per_agent: Option<u32>,
    /// How many sessions a person may have at once.
    pub sessions_per_user: Option<u32>,
    /// Its sessions' limits.
    pub limits: Limits,
}

impl Pool {
    /// Whether an agent belongs to it.
    pub fn has(&self, agent: &str) -> bool {
        self.agents.iter().any(|it| it.fits(agent))
    }

    /// Whether it has this kind of desktop, as far as it has a say.
    pub fn offers(&self, profile: &ProfileName) -> bool {
        self.profiles.as_ref().is_none_or(|all| all.contains(profile))
    }
}

impl ClusterConfig {
    /// The pool that a person is offered. Of several that fit, the first that names the user; else
    /// the first that names one of the groups; else the first that is for everybody else; each in
    /// the order written. `Ok(None)`: there are no pools, every agent is offered.
    ///
    /// # Errors
    /// There are pools, and none is for this person.
    pub fn pool_of(&self, user: &UserName, groups: &[String]) -> Result<Option<&Pool>, NoPool> {
        if self.pools.is_empty() {
            return Ok(None);
        }
        let first = |fits: &dyn Fn(&Pool) -> bool| self.pools.iter().find(|pool| fits(pool));
        first(&|pool| pool.users.contains(user))
            .or_else(|| first(&|pool| groups.iter().any(|group| pool.groups.contains(group))))
            .or_else(|| first(&|pool| pool.is_default))
            .map(Some)
            .ok_or(NoPool)
    }

    /// A pool by its name.
    pub fn pool(&self, name: &PoolName) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name == *name)
    }

    /// A kind of desktop by its name, as far as the configuration speaks of it.
    pub fn profile(&self, name: &ProfileName) -> Option<&ProfileRules> {
        self.profiles.iter().find(|profile| profile.name == *name)
    }

    /// What an agent must have for a kind of desktop, and does not.
    pub fn missing<'a>(
        &'a self,
        profile: &ProfileName,
        agent: &str,
        own: &'a BTreeSet<Label>,
    ) -> impl Iterator<Item = &'a Label> {
        let given = self.hosts.get(agent).map(|rules| &rules.labels);
        let requires = self.profile(profile).into_iter().flat_map(|it| &it.requires);
        requires.filter(move |label| {
            !own.contains(*label) && !given.is_some_and(|given| given.contains(*label))
        })
    }

    /// How many sessions an agent takes at most: the least of what is said of it and of its pool.
    pub fn most_sessions(&self, pool: Option<&Pool>, agent: &str, own: Option<u32>) -> Option<u32> {
        let of_host = self.host(agent).and_then(|it| it.max_sessions).or(own);
        let of_pool = pool.and_then(|it| it.sessions_per_agent);
        of_host.into_iter().chain(of_pool).min()
    }

    /// An agent's share of new sessions against the others': what is said of it before what it says itself.
    pub fn weight(&self, agent: &str, own: u32) -> u32 {
        self.host(agent).and_then(|it| it.weight).unwrap_or(own)
    }

    /// How many sessions a person may have at once.
    pub fn most_of_user(&self, pool: Option<&Pool>) -> Option<u32> {
        pool.and_then(|it| it.sessions_per_user).or(self.sessions_per_user)
    }

    /// What is said of an agent.
    pub fn host(&self, agent: &str) -> Option<&HostRules> {
        self.hosts.get(agent)
    }

    /// The limits of a session: its profile's before its pool's before everybody's, each for itself.
    pub fn limits_of(&self, profile: &ProfileName, pool: Option<&PoolName>) -> Limits {
        let of_profile = self.profile(profile).map(|it| it.limits).unwrap_or_default();
        let of_pool = pool.and_then(|it| self.pool(it)).map(|it| it.limits).unwrap_or_default();
        of_profile.or(of_pool).or(self.limits)
    }
}

/// There are pools, and none is for this person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPool;

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, agents: &[&str]) -> Pool {
        Pool {
            name: name.parse().unwrap(),
            agents: agents.iter().map(|it| it.parse().unwrap()).collect(),
            users: BTreeSet::new(),
            groups: BTreeSet::new(),
            is_default: false,
            profiles: None,
            sessions_per_agent: None,
            sessions_per_user: None,
            limits: Limits::default(),
        }
    }

    fn taken(config: &ClusterConfig, user: &str, groups: &[&str]) -> Option<String> {
        let groups: Vec<_> = groups.iter().map(|it| (*it).to_owned()).collect();
        let found = config.pool_of(&user.parse().unwrap(), &groups);
        found.ok().map(|it| it.map_or(EVERYBODY.to_owned(), |it| it.name.to_string()))
    }

    #[test]
    fn the_user_goes_before_the_group_before_the_default_in_the_order_written() {
        let mut all = Pool { is_default: true, ..pool("all", &["*"]) };
        let groups = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        let eng = Pool { groups: groups(&["eng"]), ..pool("eng", &["e*"]) };
        let both = Pool { groups: groups(&["eng", "art"]), ..pool("both", &["b*"]) };
        let ada = Pool { users: ["ada".parse().unwrap()].into(), ..pool("ada", &["a"]) };
        let mut config = ClusterConfig::default();
        assert_eq!(taken(&config, "ada", &["eng"]).as_deref(), Some(EVERYBODY));
        config.pools = vec![all.clone(), eng, both, ada];
        for (user, groups, expected) in [
            ("ada", &["eng"][..], "ada"),
            ("bob", &["eng"], "eng"),
            ("bob", &["art", "eng"], "eng"),
            ("bob", &["art"], "both"),
            ("bob", &["other"], "all"),
            ("bob", &[], "all"),
        ] {
            assert_eq!(
                taken(&config, user, groups).as_deref(),
                Some(expected),
                "{user} {groups:?}"
            );
        }
        all.is_default = false;
        config.pools[0] = all;
        assert_eq!(taken(&config, "bob", &[]), None, "nobody's pool is nobody's");
    }

    #[test]
    fn each_limit_is_the_most_particular_that_is_set() {
        let hours = |n: u64| Some(std::time::Duration::from_secs(n * 3600));
        let profile = |limits| ProfileRules {
            name: "xfce".parse().unwrap(),
            title: None,
            command: None,
            plain: false,
            environment: std::collections::BTreeMap::new(),
            requires: BTreeSet::new(),
            size: None,
            limits,
        };
        let config = ClusterConfig {
            pools: vec![Pool {
                limits: Limits { idle: hours(2), total: hours(20), ..Limits::default() },
                ..pool("eng", &["*"])
            }],
            profiles: vec![profile(Limits { idle: hours(1), ..Limits::default() })],
            limits: Limits { idle: hours(9), disconnected: hours(3), ..Limits::default() },
            ..ClusterConfig::default()
        };
        let (xfce, other) = ("xfce".parse().unwrap(), "other".parse().unwrap());
        let eng = "eng".parse().unwrap();
        let told = |limits: Limits| (limits.idle, limits.disconnected, limits.total);
        assert_eq!(told(config.limits_of(&xfce, Some(&eng))), (hours(1), hours(3), hours(20)));
        assert_eq!(told(config.limits_of(&other, Some(&eng))), (hours(2), hours(3), hours(20)));
        assert_eq!(told(config.limits_of(&other, None)), (hours(9), hours(3), None));
    }
}
