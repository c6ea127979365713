//! Whether other agents can take what an agent has, should it be taken out of service.
//!
//! Nothing moves by itself: the sessions go on where they are. What is looked at is whether all of their
//! people could start anew elsewhere, and whether whoever is offered the agent is offered another.

use std::collections::BTreeMap;

use abide_api::DrainCheck;
use abide_model::{Agent, AgentId, PoolName, ProfileName, Reach, Table};
use abide_policy::{ClusterConfig, Pool};

/// People of one pool, with one kind of desktop if it is known which.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    pool: Option<PoolName>,
    profile: Option<ProfileName>,
}

/// How many more sessions there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Room {
    /// So many.
    Sessions(u32),
    /// Nobody has set a maximum.
    Endless,
}

/// Looks whether the others can take what this agent has.
pub fn check(table: &Table, policy: &ClusterConfig, agent: &Agent) -> DrainCheck {
    let others: Vec<_> = table
        .agents()
        .filter(|it| it.id != agent.id && it.drain.is_none() && it.reach == Reach::Reachable)
        .collect();
    let needs = needs(table, policy, agent);
    let mut all: BTreeMap<&AgentId, Room> = BTreeMap::new();
    let mut wanting = None;
    for (need, count) in &needs {
        let able: Vec<_> =
            others.iter().filter_map(|it| Some((it, room(policy, need, it)?))).collect();
        let room = able.iter().map(|(_, room)| *room).sum::<Room>();
        if able.is_empty() || room < Room::Sessions(*count) {
            wanting.get_or_insert((need, *count, able.len(), room));
        }
        for (other, room) in able {
            let known = all.entry(&other.id).or_insert(room);
            *known = room.max(*known);
        }
    }
    let sessions = agent.live;
    let room = all.values().copied().sum::<Room>();
    let why = match (wanting, room) {
        (Some((need, count, able, room)), _) => lacking(need, count, able, room),
        (None, Room::Endless) => {
            "The other agents have room: at least one of them has no maximum of sessions."
                .to_owned()
        }
        (None, Room::Sessions(room)) => {
            format!("The other agents have room for {room} sessions, and {sessions} are here.")
        }
    };
    let fits = wanting.is_none() && Room::Sessions(sessions) <= room;
    let room_elsewhere = match room {
        Room::Sessions(room) => Some(room),
        Room::Endless => None,
    };
    DrainCheck { sessions, room_elsewhere, fits, why }
}

/// The agent's sessions, and all pools that it belongs to, also if they have none there now.
fn needs(table: &Table, policy: &ClusterConfig, agent: &Agent) -> BTreeMap<Need, u32> {
    let whole = |pool| (Need { pool, profile: None }, 0);
    let pools = policy.pools.iter().filter(|it| it.has(&agent.name));
    let mut needs: BTreeMap<_, _> = pools.map(|pool| whole(Some(pool.name.clone()))).collect();
    if policy.pools.is_empty() {
        needs.extend([whole(None)]);
    }
    for session in table.sessions_on(&agent.id).filter(|it| it.state.is_live()) {
        // A pool that is gone from the configuration is nobody's any more.
        let pool = session.pool.clone().filter(|it| policy.pool(it).is_some());
        if pool.is_none() && !policy.pools.is_empty() {
            continue;
        }
        *needs.entry(Need { pool, profile: Some(session.profile.clone()) }).or_default() += 1;
    }
    needs
}

/// How many more an agent takes of these; `None` if it is not for them.
fn room(policy: &ClusterConfig, need: &Need, agent: &Agent) -> Option<Room> {
    let facts = agent.facts.as_deref()?;
    let pool: Option<&Pool> = need.pool.as_ref().and_then(|it| policy.pool(it));
    let offers = |profile: &ProfileName| {
        facts.profiles.iter().any(|it| it.name == *profile)
            && pool.is_none_or(|pool| pool.offers(profile))
            && policy.missing(profile, &agent.name, &facts.labels).next().is_none()
    };
    let fits =
        pool.is_none_or(|pool| pool.has(&agent.name)) && need.profile.as_ref().is_none_or(offers);
    let most = policy.most_sessions(pool, &agent.name, facts.max_sessions);
    fits.then(|| most.map_or(Room::Endless, |most| Room::Sessions(most.saturating_sub(agent.live))))
}

fn lacking(need: &Need, count: u32, able: usize, room: Room) -> String {
    let of_pool = need.pool.as_ref().map_or_else(String::new, |it| format!(" of the pool {it}"));
    let for_profile =
        need.profile.as_ref().map_or_else(String::new, |it| format!(" with the desktop {it}"));
    match (able, room) {
        (0, _) => format!("No other agent{of_pool}{for_profile} takes new sessions now."),
        (_, Room::Sessions(room)) => format!(
            "The other agents{of_pool}{for_profile} have room for {room}, and {count} such sessions are here."
        ),
        (_, Room::Endless) => unreachable!("that is room for any number"),
    }
}

impl std::iter::Sum for Room {
    fn sum<I: Iterator<Item = Self>>(rooms: I) -> Self {
        rooms.fold(Self::Sessions(0), |sum, room| match (sum, room) {
            (Self::Sessions(sum), Self::Sessions(room)) => Self::Sessions(sum.saturating_add(room)),
            _ => Self::Endless,
        })
    }
}

#[cfg(test)]
mod tests {
    use abide_model::{AgentFacts, AtDeadline, Change, Command, Drain, Joins, Place, Profile};
    use abide_model::{Outcome, SessionId, Timestamp, Want};
    use uuid::Uuid;

    use super::*;

    fn id(n: u8) -> AgentId {
        format!("{n:032x}").parse().unwrap()
    }

    struct World {
        table: Table,
        policy: ClusterConfig,
        sessions: u128,
    }

    impl World {
        /// Agents `desk1`, `desk2` and so on, which take so many sessions each.
        fn with(most: &[Option<u32>], config: &str) -> Self {
            let policy = abide_policy_text::read(config).unwrap();
            let mut world = Self { table: Table::default(), policy, sessions: 0 };
            for (n, most) in (1..).zip(most) {
                let joins = Joins::Agent;
                world.apply(Change::AddJoinToken { hash: [n; 32], expires: Timestamp(9), joins });
                let (hash, name) = ([n; 32], format!("desk{n}"));
                world.apply(Change::AdmitAgent { hash, agent: id(n), name });
                let profile = Profile { name: "xfce".parse().unwrap(), title: String::new() };
                let facts = AgentFacts {
                    boot: "b".parse().unwrap(),
                    public_url: String::new(),
                    weight: 1,
                    profiles: vec![profile],
                    labels: Default::default(),
                    max_sessions: *most,
                };
                world.apply(Change::AgentHeard { agent: id(n), facts: facts.into() });
            }
            world
        }

        fn apply(&mut self, change: Change) {
            let outcome = self.table.apply(Command { at: Timestamp(1), change });
            assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
        }

        fn start(&mut self, agent: u8, pool: Option<&str>, profile: &str) {
            self.sessions += 1;
            let place = Place {
                session: SessionId(Uuid::from_u128(self.sessions)),
                agent: id(agent),
                view_key: "0".repeat(32).parse().unwrap(),
            };
            self.apply(Change::Reserve {
                place,
                user: "ada".parse().unwrap(),
                profile: profile.parse().unwrap(),
                pool: pool.map(|it| it.parse().unwrap()),
                key: format!("k{}", self.sessions).parse().unwrap(),
                want: Want::Start,
            });
        }

        fn check(&self, agent: u8) -> DrainCheck {
            check(&self.table, &self.policy, self.table.agent(&id(agent)).unwrap())
        }
    }

    fn drain() -> Option<std::sync::Arc<Drain>> {
        let (by, since, deadline) = ("root".into(), Timestamp(1), None);
        Some(Drain { by, since, deadline, message: "".into(), then: AtDeadline::Keep }.into())
    }

    #[test]
    fn the_others_must_have_room_for_all_that_are_there() {
        let mut world = World::with(&[Some(9), Some(2), Some(3)], "");
        for _ in 0..4 {
            world.start(1, None, "xfce");
        }
        world.start(2, None, "xfce");
        let found = world.check(1);
        assert_eq!((found.sessions, found.room_elsewhere, found.fits), (4, Some(4), true));
        world.start(3, None, "xfce");
        let found = world.check(1);
        assert_eq!((found.room_elsewhere, found.fits), (Some(3), false));
        assert!(found.why.contains("room for 3, and 4 such"), "{}", found.why);
        world.apply(Change::Drain { agent: id(3), plan: drain() });
        assert_eq!(world.check(1).room_elsewhere, Some(1), "a drained one takes none");
        world.apply(Change::AgentUnheard { agent: id(2), since: Timestamp(1) });
        let found = world.check(1);
        assert!(!found.fits && found.why.contains("No other agent"), "{}", found.why);
    }

    #[test]
    fn without_a_maximum_there_is_always_room_but_not_without_another_agent() {
        let mut world = World::with(&[None, None], "");
        for _ in 0..40 {
            world.start(1, None, "xfce");
        }
        let found = world.check(1);
        assert_eq!((found.room_elsewhere, found.fits), (None, true));
        assert!(found.why.contains("no maximum"), "{}", found.why);
        let alone = World::with(&[None], "").check(1);
        assert_eq!((alone.sessions, alone.fits), (0, false), "{}", alone.why);
    }

    #[test]
    fn each_pool_and_each_kind_of_desktop_is_looked_at_by_itself() {
        let pools = "[[pool]]\nname = 'eng'\nagents = ['desk1', 'desk2']\nusers = ['ada']\n\
                     [[pool]]\nname = 'all'\nagents = ['*']\ndefault = true";
        let mut world = World::with(&[None, Some(1), None], pools);
        world.start(1, Some("all"), "xfce");
        world.start(1, Some("eng"), "xfce");
        assert!(world.check(1).fits);
        world.start(1, Some("eng"), "xfce");
        let found = world.check(1);
        assert!(!found.fits && found.why.contains("of the pool eng"), "{}", found.why);

        let mut world = World::with(&[None, None], "");
        world.start(1, None, "cad");
        let found = world.check(1);
        assert!(!found.fits && found.why.contains("desktop cad"), "{}", found.why);
    }
}
