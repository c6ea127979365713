//! Commands at random, for tests. Everything is drawn from few names and near moments, so that
//! commands meet: the same user, the same key, the session of another's making.

use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use crate::*;

/// When random runs begin.
pub const BEGIN: Timestamp = Timestamp(1_750_000_000_000);
/// An hour, milliseconds.
pub const HOUR: u64 = 3_600_000;
/// How many agents and brokers have a name here.
const NODES: u64 = 3;
/// How many sessions do.
const SESSIONS: u64 = 12;

/// The identifier with this text.
///
/// # Panics
/// It is none.
pub fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a valid identifier")
}

/// The agent with this number.
pub fn agent(number: u64) -> AgentId {
    id(&format!("{number:032x}"))
}

/// The session with this number; a greater number is a later id.
pub fn session(number: u64) -> SessionId {
    SessionId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 + u128::from(number)))
}

/// A command, complete but out of any order.
pub fn command() -> impl Strategy<Value = Command> {
    (moment(), change()).prop_map(|(at, change)| Command { at, change })
}

/// Up to `most` commands in the order of their making, by a clock that is mostly right.
pub fn commands(most: usize) -> impl Strategy<Value = Vec<Command>> {
    let steps = prop_oneof![
        6 => Just(0_i64),
        6 => 1..5_000_i64,
        1 => -60_000..0_i64,
        1 => select(vec![HOUR as i64, ENDED_KEPT_MS as i64, ENDED_KEPT_MS as i64 + 1]),
    ];
    prop::collection::vec((steps, change()), 0..=most).prop_map(|steps| {
        let mut at = BEGIN;
        let timed = steps.into_iter().map(|(step, change)| {
            at = Timestamp(at.0.saturating_add_signed(step));
            Command { at, change }
        });
        timed.collect()
    })
}

/// Any change.
pub fn change() -> impl Strategy<Value = Change> {
    let cluster = prop_oneof![
        broker().prop_map(Change::PutBroker),
        (hash(), broker()).prop_map(|(hash, broker)| Change::AdmitBroker { hash, broker }),
        prop::collection::vec(by(), 0..2).prop_map(|agents| Change::ExpectAgents { agents }),
        prop_oneof![Just(Change::BeginRebuild), by().prop_map(|by| Change::PlaceAgain { by })],
        (any_agent(), text()).prop_map(|(agent, name)| Change::RestoreAgent { agent, name }),
        (broker(), by(), prop::option::of(moment())).prop_map(|(it, certificate, removed_at)| {
            Change::RestoreKey { broker: it.id, certificate, removed_at }
        }),
        any_agent().prop_map(|agent| Change::AgentRebuilt { agent }),
        (0..4_u64).prop_map(|to| Change::RaiseGeneration { to }),
        wire().prop_map(|to| Change::RaiseWire { to }),
        (0..4_u64).prop_map(|generation| Change::DoubtTable { generation }),
        Just(Change::PassTime),
        (0..4_u64, by(), by(), by()).prop_map(|(base, text, by, note)| Change::SetConfig {
            base,
            text,
            by,
            note
        }),
        broker().prop_map(|it| Change::RemoveBroker { broker: it.id }),
        (hash(), moment(), joins()).prop_map(|(hash, expires, joins)| Change::AddJoinToken {
            hash,
            expires,
            joins
        }),
        (hash(), any_agent(), text()).prop_map(|(hash, agent, name)| Change::AdmitAgent {
            hash,
            agent,
            name
        }),
        (any_agent(), facts()).prop_map(|(agent, facts)| Change::AgentHeard { agent, facts }),
        (any_agent(), moment()).prop_map(|(agent, since)| Change::AgentUnheard { agent, since }),
        (any_agent(), prop::option::of(drain()))
            .prop_map(|(agent, plan)| Change::Drain { agent, plan }),
    ];
    let sessions = prop_oneof![
        6 => (place(), user(), profile(), pool(), key(), want()).prop_map(
            |(place, user, profile, pool, key, want)| {
                Change::Reserve { place, user, profile, pool, key, want }
            }
        ),
        2 => (any_session(), user(), key(), want()).prop_map(|(session, user, key, want)| {
            Change::Resume { session, user, key, want }
        }),
        3 => (any_session(), place(), grounds())
            .prop_map(|(old, place, grounds)| Change::Supersede { old, place, grounds }),
        9 => (any_session(), any_agent(), boot(), report()).prop_map(
            |(session, agent, boot, report)| Change::Report { session, agent, boot, report }
        ),
        1 => a_session().prop_map(|session| Change::Adopt(Arc::new(session))),
        1 => any_session().prop_map(|session| Change::Unlisted { session }),
        1 => (any_session(), by()).prop_map(|(session, by)| Change::End { session, by }),
        2 => (any_session(), by()).prop_map(|(session, by)| Change::Abandon { session, by }),
    ];
    let logins = prop_oneof![
        (jti(), moment()).prop_map(|(jti, until)| Change::RevokeToken { jti, until }),
        (user(), moment()).prop_map(|(user, until)| Change::LogOutEverywhere { user, until }),
    ];
    prop_oneof![3 => cluster, 12 => sessions, 1 => logins]
}

/// A part of a snapshot. It need not fit to any other. An agent's count of sessions is 0.
pub fn part() -> impl Strategy<Value = Part> {
    let start = (user(), key(), any_session(), prop::option::of(want()), moment());
    prop_oneof![
        moment().prop_map(Part::Now),
        broker().prop_map(|it| Part::Broker(Arc::new(it))),
        an_agent().prop_map(|it| Part::Agent(Arc::new(it))),
        a_session().prop_map(|it| Part::Session(Arc::new(it))),
        start.prop_map(|(user, key, session, want, until)| Part::Start {
            user,
            key,
            session,
            want,
            until
        }),
        any::<u64>().prop_map(Part::Revision),
        any::<u64>().prop_map(Part::Generation),
        wire().prop_map(Part::Wire),
        rebuild().prop_map(|it| Part::Rebuild(Arc::new(it))),
        config().prop_map(|it| Part::Config(Arc::new(it))),
        (broker(), by(), moment())
            .prop_map(|(it, certificate, at)| Part::Removed(it.id, Removed { certificate, at })),
        (hash(), moment(), admission()).prop_map(|(hash, expires, admission)| Part::JoinToken {
            hash,
            expires,
            admission
        }),
        (jti(), moment()).prop_map(|(jti, until)| Part::Revoked { jti, until }),
        (user(), moment(), moment()).prop_map(|(user, before, until)| Part::LoggedOut {
            user,
            before,
            until
        }),
    ]
}

/// What an agent may say of a session.
pub fn report() -> impl Strategy<Value = Report> {
    prop_oneof![
        2 => Just(Report::Starting),
        4 => any::<bool>().prop_map(|ever_attached| Report::Running { ever_attached }),
        1 => Just(Report::Ending),
        1 => reason().prop_map(|reason| Report::Ended { reason }),
        1 => Just(Report::Cancelled),
    ]
}

fn a_session() -> impl Strategy<Value = Session> {
    let names = (any_session(), user(), any_agent(), (profile(), pool()), key(), view_key());
    let life = (moment(), prop::option::of(boot()), state(), prop::option::of(moment()));
    (names, life).prop_map(|((id, user, agent, (profile, pool), key, view_key), life)| {
        let (created_at, boot, state, unlisted_since) = life;
        Session {
            id,
            user,
            agent,
            profile,
            pool,
            key,
            view_key,
            created_at,
            boot,
            state,
            unlisted_since,
        }
    })
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Reserved),
        Just(State::Starting),
        Just(State::Running),
        by().prop_map(|by| State::Ending { by }),
        any_session().prop_map(|by| State::Superseded { by }),
        (moment(), reason()).prop_map(|(at, reason)| State::Ended { at, reason }),
    ]
}

fn reason() -> impl Strategy<Value = EndReason> {
    prop_oneof![
        Just(EndReason::LoggedOut),
        by().prop_map(|detail| EndReason::Crashed { detail }),
        by().prop_map(|by| EndReason::Asked { by }),
        by().prop_map(|detail| EndReason::NeverStarted { detail }),
        (boot(), boot()).prop_map(|(was, now)| EndReason::LostToBoot { was, now }),
        any::<u32>().prop_map(|pid| EndReason::LostKeeper { pid }),
        Just(EndReason::HostShutDown),
        by().prop_map(|by| EndReason::Abandoned { by }),
        any_session().prop_map(|by| EndReason::Superseded { by }),
        Just(EndReason::Cancelled),
    ]
}

fn an_agent() -> impl Strategy<Value = Agent> {
    let reach = prop_oneof![
        Just(Reach::Reachable),
        moment().prop_map(|since| Reach::Unreachable { since }),
    ];
    let names = (any_agent(), text(), moment(), prop::option::of(facts()), reach);
    (names, prop::option::of(drain()), prop::option::of(moment())).prop_map(
        |((id, name, joined_at, facts, reach), drain, failed_at)| Agent {
            facts,
            reach,
            drain,
            failed_at,
            ..Agent::new(id, name, joined_at)
        },
    )
}

fn drain() -> impl Strategy<Value = Arc<Drain>> {
    let then = select(vec![AtDeadline::Keep, AtDeadline::End]);
    (by(), moment(), prop::option::of(moment()), by(), then).prop_map(
        |(by, since, deadline, message, then)| Drain { by, since, deadline, message, then }.into(),
    )
}

fn facts() -> impl Strategy<Value = Arc<AgentFacts>> {
    let offer = (profile(), text()).prop_map(|(name, title)| Profile { name, title });
    let labels =
        prop::collection::btree_set(select(["gpu", "cad_2"].map(id::<Label>).to_vec()), 0..3);
    let most = prop::option::of(1..9_u32);
    (boot(), text(), 1..5_u32, prop::collection::vec(offer, 0..3), labels, most).prop_map(
        |(boot, public_url, weight, profiles, labels, max_sessions)| {
            Arc::new(AgentFacts { boot, public_url, weight, profiles, labels, max_sessions })
        },
    )
}

fn broker() -> impl Strategy<Value = Broker> {
    let timing = prop_oneof![Just(Timing::Lan), Just(Timing::Slow)];
    (0..NODES, text(), text(), text(), timing).prop_map(
        |(n, public_url, agent_address, certificate, timing)| Broker {
            id: id(&format!("{n:032x}")),
            public_url,
            agent_address,
            certificate,
            timing,
        },
    )
}

fn rebuild() -> impl Strategy<Value = Rebuild> {
    let texts = || prop::collection::vec(by(), 0..3);
    let reported = prop::collection::vec(any_agent(), 0..3);
    let placing = prop::option::of((moment(), by()).prop_map(|(at, by)| Placing { at, by }));
    (moment(), texts(), reported, texts(), placing).prop_map(
        |(since, expected, reported, keys, placing)| Rebuild {
            since,
            expected: expected.into_iter().collect(),
            reported: reported.into_iter().collect(),
            keys: keys.into_iter().collect(),
            placing,
        },
    )
}

fn config() -> impl Strategy<Value = ConfigVersion> {
    (1..9_u64, by(), moment(), by(), by()).prop_map(|(number, text, at, by, note)| ConfigVersion {
        number,
        text,
        at,
        by,
        note,
    })
}

fn joins() -> impl Strategy<Value = Joins> {
    select(vec![Joins::Agent, Joins::Broker])
}

fn admission() -> impl Strategy<Value = Admission> {
    let broker = broker().prop_map(|it| it.id);
    prop_oneof![
        prop::option::of(any_agent()).prop_map(Admission::Agent),
        prop::option::of(broker).prop_map(Admission::Broker),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    (any_session(), any_agent(), view_key()).prop_map(|(session, agent, view_key)| Place {
        session,
        agent,
        view_key,
    })
}

fn grounds() -> impl Strategy<Value = Grounds> {
    prop_oneof![Just(Grounds::Unheard), Just(Grounds::Disobeyed)]
}

fn want() -> impl Strategy<Value = Want> {
    prop_oneof![
        prop::option::of(profile()).prop_map(|profile| Want::ResumeOrStart { profile }),
        Just(Want::Start),
    ]
}

/// From before the runs' beginning until after the end of most.
fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        8 => (0..200 * HOUR).prop_map(|after| BEGIN.plus(after)),
        1 => (0..200 * HOUR).prop_map(|before| Timestamp(BEGIN.0 - before)),
    ]
}

fn any_session() -> impl Strategy<Value = SessionId> {
    (0..SESSIONS).prop_map(session)
}

fn any_agent() -> impl Strategy<Value = AgentId> {
    (0..NODES).prop_map(agent)
}

fn user() -> impl Strategy<Value = UserName> {
    let long = "x".repeat(256);
    select(["ada", "grace hopper", "зоя@example.org", &long].map(id::<UserName>).to_vec())
}

fn profile() -> impl Strategy<Value = ProfileName> {
    select(["gnome", "xfce_4-small"].map(id::<ProfileName>).to_vec())
}

fn pool() -> impl Strategy<Value = Option<PoolName>> {
    prop::option::of(select(["engineering", "all_2"].map(id::<PoolName>).to_vec()))
}

fn key() -> impl Strategy<Value = IdempotencyKey> {
    select(["1", "2", "a/key?of=some#length"].map(id::<IdempotencyKey>).to_vec())
}

fn view_key() -> impl Strategy<Value = ViewKey> {
    any::<u128>().prop_map(|bits| id(&format!("{bits:032x}")))
}

fn boot() -> impl Strategy<Value = BootId> {
    select(["b1", "9f2c41de-6c1f-4a52-8f4e-2a3a4c1f8d77"].map(id::<BootId>).to_vec())
}

fn hash() -> impl Strategy<Value = TokenHash> {
    (0..3_u8).prop_map(|byte| [byte; 32])
}

/// A version that every build reads.
fn wire() -> impl Strategy<Value = WireVersion> {
    (1..=2_u32).prop_map(WireVersion)
}

fn jti() -> impl Strategy<Value = [u8; 16]> {
    (0..3_u8).prop_map(|byte| [byte; 16])
}

fn by() -> impl Strategy<Value = Arc<str>> {
    text().prop_map(Into::into)
}

fn text() -> impl Strategy<Value = String> {
    ".{0,12}"
}
