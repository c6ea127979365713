use std::collections::BTreeSet;

use abide_model::{
    AgentFacts, AtDeadline, Change, Command, Drain, Joins, Label, Outcome, Place, Report,
};
use abide_policy::{HostRules, Limits, ProfileRules};
use uuid::Uuid;

use super::*;

const NOW: Timestamp = Timestamp(1_750_000_000_000);

fn id(n: usize) -> AgentId {
    format!("{n:032x}").parse().unwrap()
}

fn session(n: u128) -> SessionId {
    SessionId(Uuid::from_u128(n))
}

/// A cluster as the leader sees it; agents are called desk1, desk2 and so on, all heard and calm.
struct World {
    replica: Replica,
    policy: Arc<ClusterConfig>,
    placing: Placing,
    next: u128,
    silent: BTreeSet<AgentId>,
}

impl World {
    fn with(agents: usize) -> Self {
        let mut world = Self {
            replica: Replica::default(),
            policy: Arc::default(),
            placing: Placing::default(),
            next: 0,
            silent: BTreeSet::new(),
        };
        for n in 1..=agents {
            world.join(n);
        }
        world
    }

    fn join(&mut self, n: usize) {
        let hash = [u8::try_from(n).unwrap(); 32];
        let expires = NOW.plus(1000);
        self.apply(Change::AddJoinToken { hash, expires, joins: Joins::Agent });
        self.apply(Change::AdmitAgent { hash, agent: id(n), name: format!("desk{n}") });
        self.say(n, |_| ());
    }

    /// An agent says this of itself.
    fn say(&mut self, n: usize, what: impl FnOnce(&mut AgentFacts)) {
        let profile = |name: &str| Profile { name: name.parse().unwrap(), title: name.to_owned() };
        let mut facts = AgentFacts {
            boot: "b1".parse().unwrap(),
            public_url: String::new(),
            weight: 1,
            profiles: vec![profile("xfce"), profile("cad")],
            labels: BTreeSet::new(),
            max_sessions: None,
        };
        what(&mut facts);
        self.apply(Change::AgentHeard { agent: id(n), facts: facts.into() });
    }

    fn apply(&mut self, change: Change) -> Outcome {
        self.replica.0.apply(Command { at: NOW, change })
    }

    fn configure(&mut self, what: impl FnOnce(&mut ClusterConfig)) {
        let mut policy = (*self.policy).clone();
        what(&mut policy);
        self.policy = policy.into();
    }

    /// Places a session and has it committed or not.
    fn place(
        &mut self,
        user: &str,
        key: &str,
        want: &Want,
        commit: bool,
    ) -> Result<AgentId, Unplaced> {
        self.next += 1;
        let (new, user) = (session(self.next), user.parse().unwrap());
        let (profile, key) = ("xfce".parse().unwrap(), key.parse().unwrap());
        let policy = Arc::clone(&self.policy);
        let wish = Wish {
            session: new,
            user: &user,
            pool: policy.pool_of(&user, &[]).unwrap(),
            profile: &profile,
            key: &key,
            counts: Counts::OneMore(want),
        };
        let silent = &self.silent;
        let told = Told { at: NOW, cpu_pressure: 0, memory_pressure: 0, memory_left: None };
        let sign = |agent: &&AgentId| Sign { is_heard: !silent.contains(*agent), told: Some(told) };
        let signs = |agents: &[&AgentId]| agents.iter().map(sign).collect();
        let view = View { policy: &policy, now: NOW, signs };
        let latest = || Arc::new(self.replica.clone());
        let explained = self.placing.explain(latest, &wish, &view);
        let placed = self.placing.place(latest, &wish, &view)?;
        let (agent, wish_pool) = (placed.agent.clone(), wish.pool.map(|it| it.name.clone()));
        assert_eq!(explained.taken.as_ref(), Some(&agent), "the explanation agrees");
        if !commit {
            // Its request goes on waiting.
            std::mem::forget(placed);
            return Ok(agent);
        }
        drop(placed);
        let place =
            Place { session: new, agent: agent.clone(), view_key: "0".repeat(32).parse().unwrap() };
        let pool = wish_pool;
        self.apply(Change::Reserve { place, user, profile, pool, key, want: want.clone() });
        Ok(agent)
    }

    fn start(&mut self, user: &str) -> Result<AgentId, Unplaced> {
        let key = format!("k{}", self.next);
        self.place(user, &key, &Want::Start, true)
    }
}

#[test]
fn what_is_on_its_way_counts_until_it_is_in_the_table_and_never_twice() {
    let mut world = World::with(3);
    let mut taken: Vec<_> =
        (0..3).map(|n| world.place(&format!("u{n}"), "k", &Want::Start, false).unwrap()).collect();
    taken.sort();
    assert_eq!(taken, [id(1), id(2), id(3)], "all are counted that are not in the table");
    let mut more: Vec<_> = (0..3).map(|n| world.start(&format!("v{n}")).unwrap()).collect();
    more.sort();
    assert_eq!(more, [id(1), id(2), id(3)]);
    world.placing.lock().coming.clear();
    assert_eq!(world.start("w"), Ok(id(1)), "each has one; those that never came do not count");
}

#[test]
fn the_roll_follows_the_table() {
    let mut world = World::with(2);
    for n in 0..4 {
        world.start(&format!("u{n}")).unwrap();
    }
    world.join(3);
    assert_eq!(world.start("u4"), Ok(id(3)), "a new agent has none");
    world.apply(Change::AgentUnheard { agent: id(3), since: NOW });
    assert_ne!(world.start("u5"), Ok(id(3)), "nobody hears it");
    let plan = Drain {
        by: "root".into(),
        since: NOW,
        deadline: None,
        message: "".into(),
        then: AtDeadline::Keep,
    };
    world.apply(Change::Drain { agent: id(1), plan: Some(Arc::new(plan)) });
    for n in 6..9 {
        assert_eq!(world.start(&format!("u{n}")), Ok(id(2)), "the others are silent or drained");
    }
    world.apply(Change::Drain { agent: id(1), plan: None });
    assert_eq!(world.start("u9"), Ok(id(1)), "it takes sessions again");
    world.say(1, |facts| facts.profiles.clear());
    assert_eq!(world.start("u10"), Ok(id(2)), "it offers nothing any more");
}

#[test]
fn an_agent_that_failed_a_start_is_avoided_until_one_works() {
    let mut world = World::with(2);
    let first = world.start("u0").unwrap();
    let boot = || "b1".parse().unwrap();
    let reason = abide_model::EndReason::NeverStarted { detail: "no display".into() };
    let report = |n, agent: &AgentId, report| Change::Report {
        session: session(n),
        agent: agent.clone(),
        boot: boot(),
        report,
    };
    world.apply(report(1, &first, Report::Ended { reason }));
    for n in 1..4 {
        assert_ne!(world.start(&format!("u{n}")), Ok(first.clone()));
    }
    let failed = |world: &World| world.replica.0.agent(&first).unwrap().failed_at;
    assert_eq!(failed(&world), Some(NOW));
    // One that was reserved before proves nothing; the other agent takes no more.
    let other = if first == id(1) { 2 } else { 1 };
    world.say(other, |facts| facts.max_sessions = Some(3));
    assert_eq!(world.start("u5"), Ok(first.clone()), "better than nobody");
    world.apply(report(5, &first, Report::Running { ever_attached: false }));
    assert_eq!(failed(&world), Some(NOW), "reserved in the same moment");
    assert_eq!(world.start("u6"), Ok(first.clone()));
}

#[test]
fn pools_labels_and_maxima_of_the_configuration_count_at_once() {
    let mut world = World::with(3);
    let pool = |name: &str, agents: &str, users: &[&str]| Pool {
        name: name.parse().unwrap(),
        agents: vec![agents.parse().unwrap()],
        users: users.iter().map(|it| it.parse().unwrap()).collect(),
        groups: BTreeSet::new(),
        is_default: users.is_empty(),
        profiles: None,
        sessions_per_agent: None,
        sessions_per_user: None,
        limits: Limits::default(),
    };
    world
        .configure(|it| it.pools = vec![pool("all", "desk*", &[]), pool("two", "desk2", &["ada"])]);
    assert_eq!((world.start("ada"), world.start("ada")), (Ok(id(2)), Ok(id(2))));
    assert_ne!(world.start("bob"), Ok(id(2)), "it has two already");
    world.configure(|it| it.pools[1].sessions_per_agent = Some(2));
    let Err(Unplaced::NoAgent(why)) = world.start("ada") else { panic!("its agent is full") };
    let words: Vec<_> = why.iter().map(Verdict::word).collect();
    assert_eq!(words, ["out-of-pool", "full", "out-of-pool"]);
    let gpu: Label = "gpu".parse().unwrap();
    world.configure(|it| {
        it.profiles = vec![ProfileRules {
            name: "xfce".parse().unwrap(),
            title: None,
            command: None,
            plain: false,
            environment: std::collections::BTreeMap::new(),
            requires: [gpu.clone()].into(),
            size: None,
            limits: Limits::default(),
        }];
        let host = HostRules { weight: None, max_sessions: None, labels: [gpu.clone()].into() };
        it.hosts.insert("desk3".into(), host);
    });
    assert_eq!((world.start("cid"), world.start("dan")), (Ok(id(3)), Ok(id(3))));
    world.say(1, |facts| facts.labels = [gpu].into());
    assert_eq!(world.start("eve"), Ok(id(1)), "it has a label of its own now");
}

#[test]
fn nobody_has_more_sessions_than_allowed_and_going_back_is_not_one_more() {
    let mut world = World::with(2);
    world.configure(|it| it.sessions_per_user = Some(2));
    let resume = Want::ResumeOrStart { profile: None };
    let too_many = Err(Unplaced::TooMany { has: 2, may: 2 });
    world.place("ada", "first", &Want::Start, false).unwrap();
    world.place("ada", "second", &Want::Start, true).unwrap();
    assert_eq!(world.place("ada", "third", &Want::Start, true), too_many, "one is on its way");
    assert!(world.place("ada", "first", &Want::Start, false).is_ok(), "a repeat of its start");
    assert!(world.place("ada", "fourth", &resume, false).is_ok(), "it finds what is there");
    assert!(world.start("bob").is_ok(), "others have their own number");
    world.placing.lock().coming.clear();
    assert!(
        world.place("ada", "fifth", &Want::Start, true).is_ok(),
        "the one on its way never came"
    );
    assert_eq!(world.place("ada", "sixth", &Want::Start, true), too_many);
    world.apply(Change::End { session: session(2), by: "ada".into() });
    assert!(world.place("ada", "seventh", &Want::Start, true).is_ok(), "one is being ended");
}

#[test]
fn an_agent_that_nobody_hears_is_taken_only_where_no_other_can_be() {
    for (heard, taken) in [(&[][..], 1), (&[1][..], 1), (&[2][..], 2), (&[1, 2][..], 1)] {
        let mut world = World::with(2);
        world.silent = (1..=2).filter(|n| !heard.contains(n)).map(id).collect();
        assert_eq!(world.start("ada"), Ok(id(taken)), "heard: {heard:?}");
    }
}

#[test]
fn each_pool_is_offered_its_own_kinds_of_desktop_in_the_order_written() {
    let mut world = World::with(2);
    let names = |world: &World, user: &str| -> Vec<String> {
        let pool = world.policy.pool_of(&user.parse().unwrap(), &[]).unwrap();
        let all = world.placing.profiles(&world.replica.0, &world.policy, pool);
        all.iter().map(|it| format!("{} {}", it.name, it.title)).collect()
    };
    assert_eq!(names(&world, "ada"), ["xfce xfce", "cad cad"]);
    let rules = |name: &str, requires: &[&str]| ProfileRules {
        name: name.parse().unwrap(),
        title: Some("Titled".into()),
        command: None,
        plain: false,
        environment: std::collections::BTreeMap::new(),
        requires: requires.iter().map(|it| it.parse().unwrap()).collect(),
        size: None,
        limits: Limits::default(),
    };
    world.configure(|it| it.profiles = vec![rules("cad", &[])]);
    assert_eq!(names(&world, "ada"), ["cad Titled", "xfce xfce"]);
    world.configure(|it| it.profiles = vec![rules("cad", &["gpu"])]);
    assert_eq!(names(&world, "ada"), ["xfce xfce"], "no agent has what it requires");
    world.say(2, |facts| facts.labels = ["gpu".parse().unwrap()].into());
    assert_eq!(names(&world, "ada"), ["cad Titled", "xfce xfce"]);
    world.apply(Change::AgentUnheard { agent: id(2), since: NOW });
    assert_eq!(names(&world, "ada"), ["xfce xfce"], "it cannot be reached");
}

proptest::proptest! {
    #[test]
    fn a_roll_that_followed_is_as_one_that_was_made_anew(
        commands in abide_model::testing::commands(80),
    ) {
        let (mut table, mut roll, policy) = (Table::default(), Roll::default(), Arc::default());
        for (n, command) in commands.into_iter().enumerate() {
            table.apply(command);
            if n % 3 == 0 {
                roll.follow(&table, &policy);
            }
        }
        roll.follow(&table, &policy);
        let rows: Vec<_> = roll.agents().map(|(agent, ..)| Arc::clone(agent)).collect();
        proptest::prop_assert_eq!(rows, table.agents().cloned().collect::<Vec<_>>());
    }
}
