//! What the text may say.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use abide_config::Table;
use abide_model::{Label, PoolName, ProfileName, UserName};
use abide_policy::{
    ClusterConfig, DesktopSize, HostRules, Limits, Pattern, Pool, PressureLimits, ProfileRules,
    Shadow, ShadowMode,
};

const WORD: &str = "1 to 64 of a-z, 0-9, _ and -";
const COUNTS: RangeInclusive<u32> = 1..=1_000_000;
/// Agents tell brokers of them, beside their own files', and brokers take a thousand.
const MOST_PROFILES: usize = 500;
/// Bytes; the same.
const LONGEST_TITLE: usize = 256;
const PERCENT: RangeInclusive<u32> = 1..=100;

pub fn config(root: &mut Table<'_>) -> ClusterConfig {
    let profiles = profiles(root);
    let known: BTreeSet<_> = profiles.iter().map(|it| it.name.clone()).collect();
    ClusterConfig {
        pools: pools(root, &known),
        hosts: hosts(root),
        profiles,
        limits: limits(&mut root.table("limits")),
        sessions_per_user: root.integer("sessions_per_user", COUNTS).optional(),
        pressure: pressure(&mut root.table("pressure")),
        shadow: shadow(&mut root.table("shadow")),
        notice: root.string("notice").optional().map(Into::into),
    }
}

/// Notes a name that was taken before.
fn once<T: Ord + Clone + std::fmt::Display>(seen: &mut BTreeSet<T>, name: &T, table: &Table<'_>) {
    if !seen.insert(name.clone()) {
        table.problem(format!("another has the name \"{name}\" already"));
    }
}

fn pools(root: &mut Table<'_>, known: &BTreeSet<ProfileName>) -> Vec<Pool> {
    let (mut names, mut pools) = (BTreeSet::new(), Vec::new());
    for mut table in root.tables("pool") {
        let name = table.parsed::<PoolName>("name", WORD);
        let name = name.required_or(|| stand_in("pool"));
        once(&mut names, &name, &table);
        let agents = table.list("agents", "an agent's name; * stands for any characters", |text| {
            text.parse::<Pattern>().ok()
        });
        let users = table.list("users", "a user's name", |text| text.parse::<UserName>().ok());
        let profiles = table.list("profiles", "a profile's name", |text| text.parse().ok());
        let pool = Pool {
            agents: agents.required_or(Vec::new),
            users: users.or(Vec::new()).into_iter().collect(),
            groups: table.strings("groups").or(Vec::new()).into_iter().collect(),
            is_default: table.boolean("default").or(false),
            profiles: profiles.optional(),
            sessions_per_agent: table.integer("sessions_per_agent", COUNTS).optional(),
            sessions_per_user: table.integer("sessions_per_user", COUNTS).optional(),
            limits: limits(&mut table),
            name,
        };
        check_pool(&pool, known, &pools, &table);
        pools.push(pool);
    }
    pools
}

/// What can only be a mistake: nobody is offered it, or another goes before it for everybody.
fn check_pool(pool: &Pool, known: &BTreeSet<ProfileName>, before: &[Pool], table: &Table<'_>) {
    if pool.users.is_empty() && pool.groups.is_empty() && !pool.is_default {
        table.problem("it is offered to nobody: name users or groups, or say default = true");
    }
    if pool.agents.is_empty() {
        table.problem("agents must name one at least; \"*\" is all");
    }
    if let Some(other) = before.iter().find(|it| it.is_default && pool.is_default) {
        table.problem(format!(
            "\"{}\" is the default already: only the first would count",
            other.name
        ));
    }
    if pool.profiles.as_ref().is_some_and(Vec::is_empty) {
        table.problem("profiles must name one at least; leave it out for all");
    }
    // Agents' own files may define others, so that only a likely slip is one.
    for name in pool.profiles.iter().flatten().filter(|it| !known.contains(*it)) {
        if let Some(meant) = known.iter().find(|it| is_near(it.as_str(), name.as_str())) {
            table.problem(format!("there is no profile \"{name}\", did you mean \"{meant}\"?"));
        }
    }
}

/// Whether two names differ by letters' order or a single letter's being there.
fn is_near(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<_> = text.bytes().collect();
        letters.sort_unstable();
        letters
    };
    sorted(a) == sorted(b) || a.starts_with(b) && a.len() == b.len() + 1
}

fn hosts(root: &mut Table<'_>) -> BTreeMap<std::sync::Arc<str>, HostRules> {
    let named = root.named_tables("agent");
    let rules = named.into_iter().map(|(name, mut table)| {
        let labels = table.list("labels", WORD, |text| text.parse::<Label>().ok());
        let rules = HostRules {
            weight: table.integer("weight", 1..=1000).optional(),
            max_sessions: table.integer("max_sessions", 0..=1_000_000).optional(),
            labels: labels.or(Vec::new()).into_iter().collect(),
        };
        (name.into(), rules)
    });
    rules.collect()
}

fn profiles(root: &mut Table<'_>) -> Vec<ProfileRules> {
    let (mut names, mut profiles) = (BTreeSet::new(), Vec::new());
    let tables = root.tables("profile");
    if tables.len() > MOST_PROFILES {
        root.problem(format!("there are {} profiles, and may be {MOST_PROFILES}", tables.len()));
    }
    for mut table in tables {
        let name = table.parsed::<ProfileName>("name", WORD);
        let name = name.required_or(|| stand_in("profile"));
        once(&mut names, &name, &table);
        let command = table.strings("command").optional();
        if command.as_ref().is_some_and(Vec::is_empty) {
            table.problem(
                "command must name a program; leave it out for what agents' own files say",
            );
        }
        let plain = table.boolean("plain").or(false);
        let environment = table.list("environment", "a text such as \"NAME=value\"", variable);
        let environment: BTreeMap<_, _> = environment.or(Vec::new()).into_iter().collect();
        if command.is_none() && (plain || !environment.is_empty()) {
            table.problem("plain and environment belong to a command, which is missing");
        }
        let requires = table.list("requires", WORD, |text| text.parse::<Label>().ok());
        let size = table.parsed_with("size", "a size such as \"1280x800\", 320x200 at least", size);
        profiles.push(ProfileRules {
            name,
            title: title(&mut table),
            command,
            plain,
            environment,
            requires: requires.or(Vec::new()).into_iter().collect(),
            size: size.optional(),
            limits: limits(&mut table),
        });
    }
    profiles
}

fn title(table: &mut Table<'_>) -> Option<std::sync::Arc<str>> {
    let title = table.string("title").optional()?;
    if title.len() > LONGEST_TITLE {
        table.problem(format!("title has {} bytes, and may have {LONGEST_TITLE}", title.len()));
    }
    Some(title.into())
}

fn variable(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    (begins && name.chars().all(is_good) && !value.contains('\0'))
        .then(|| (name.to_owned(), value.to_owned()))
}

fn size(text: &str) -> Option<DesktopSize> {
    let (width, height) = text.split_once('x')?;
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    let is_good = (320..=16_384).contains(&width) && (200..=16_384).contains(&height);
    is_good.then_some(DesktopSize { width, height })
}

/// The same keys in `[limits]`, in a pool, and in a profile.
fn limits(table: &mut Table<'_>) -> Limits {
    let mut span = |key: &str| table.duration(key).optional();
    let limits = Limits {
        idle: span("idle"),
        disconnected: span("disconnected"),
        total: span("total"),
        warn: span("warn"),
    };
    let each =
        [("idle", limits.idle), ("disconnected", limits.disconnected), ("total", limits.total)];
    for (key, _) in each.iter().filter(|(_, it)| it.is_some_and(|it| it.as_secs() < 60)) {
        table.problem(format!("{key} must be a minute at least"));
    }
    limits
}

fn pressure(table: &mut Table<'_>) -> PressureLimits {
    let usual = PressureLimits::default();
    PressureLimits {
        cpu: table.integer("cpu", PERCENT).or(usual.cpu),
        memory: table.integer("memory", PERCENT).or(usual.memory),
        memory_left: table.integer("memory_left", 0..=90).or(usual.memory_left),
        avoid_after_failure: table.duration("avoid_after_failure").or(usual.avoid_after_failure),
    }
}

fn shadow(table: &mut Table<'_>) -> Shadow {
    let modes = [
        ("reject", ShadowMode::Reject),
        ("silent", ShadowMode::Silent),
        ("notify", ShadowMode::Notify),
        ("ask", ShadowMode::Ask),
    ];
    let usual = Shadow::default();
    Shadow {
        mode: table.choice("mode", &modes).or(usual.mode),
        ask_for: table.duration("ask_for").or(usual.ask_for),
    }
}

fn stand_in<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| unreachable!("a word is a name"))
}
