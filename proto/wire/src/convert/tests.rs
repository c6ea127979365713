use std::error::Error;
use std::sync::Arc;

use abide_model::testing;
use abide_model::*;
use proptest::prelude::*;
use prost::Message;

use super::{ConvertError, check_command, read_command, report_of, write_command};
use crate::SPOKEN;
use crate::agent::{self, LedgerRow, end_reason, ledger_row};
use crate::table::{self, command::Change as WireChange};

proptest! {
    #[test]
    fn every_command_comes_back_as_it_went(mut command in testing::command(), at: u64) {
        command.at = Timestamp(at);
        for version in [WireVersion::FIRST, *SPOKEN.end()] {
            let Ok(bytes) = write_command(&command, version) else {
                prop_assert_eq!(version, WireVersion::FIRST);
                continue;
            };
            prop_assert!(check_command(&bytes).is_ok());
            prop_assert_eq!(&read_command(&bytes).unwrap(), &command);
        }
    }

    #[test]
    fn every_part_comes_back_as_it_went(part in testing::part()) {
        let wire = table::Part::from(&part);
        let back = table::Part::decode(wire.encode_to_vec().as_slice()).unwrap();
        prop_assert_eq!(Part::try_from(back.part.unwrap()).unwrap(), part);
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = (read_command(&bytes), check_command(&bytes));
        let _ = read_part(&bytes);
    }

    /// Nearer to what is understood than bytes of no kind.
    #[test]
    fn damaged_bytes_are_refused_or_are_another_command(
        command in testing::command(),
        at: prop::sample::Index,
        byte: u8,
        is_cut: bool,
    ) {
        let mut bytes = written(&command);
        let at = at.index(bytes.len());
        if is_cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(other) = read_command(&bytes) {
            prop_assert_eq!(read_command(&written(&other)).unwrap(), other);
        }
        let _ = read_part(&bytes);
    }
}

fn written(command: &Command) -> Vec<u8> {
    let newest = || write_command(command, *SPOKEN.end());
    write_command(command, WireVersion::FIRST).or_else(|_| newest()).unwrap()
}

#[test]
fn a_drain_is_not_said_to_brokers_that_could_not_read_it() {
    let change = Change::Drain { agent: testing::agent(1), plan: None };
    let command = Command { at: Timestamp(1), change };
    assert!(write_command(&command, WireVersion::FIRST).is_err());
    assert_eq!(read_command(&written(&command)).unwrap(), command);
}

fn read_part(bytes: &[u8]) -> Result<Option<Part>, Box<dyn Error>> {
    Ok(table::Part::decode(bytes)?.part.map(Part::try_from).transpose()?)
}

fn reserve() -> Command {
    let place = Place {
        session: testing::session(1),
        agent: testing::agent(2),
        view_key: testing::id("0123456789abcdef0123456789abcdef"),
    };
    let change = Change::Reserve {
        place,
        user: testing::id("ada"),
        profile: testing::id("gnome"),
        pool: None,
        key: testing::id("k"),
        want: Want::ResumeOrStart { profile: None },
    };
    Command { at: Timestamp(1_750_000_000_000), change }
}

/// What is in data folders stays readable: these bytes never change.
#[test]
fn a_logged_reservation_reads_as_it_was_written() {
    let bytes = [
        &b"\x08\x80\xb8\x83\xa1\xf7\x32\x3a\x69"[..],
        b"\x0a\x56\x0a\x10\x01\x98\0\0\0\0\x70\0\x80\0\0\0\0\0\0\x01",
        b"\x12\x2000000000000000000000000000000002\x1a\x200123456789abcdef0123456789abcdef",
        b"\x12\x03ada\x1a\x05gnome\x22\x01k\x2a\0",
    ]
    .concat();
    assert_eq!(read_command(&bytes).unwrap(), reserve());
    assert_eq!(written(&reserve()), bytes);
}

#[test]
fn each_kind_of_command_keeps_its_number() {
    let session = testing::session(1);
    let (until, by) = (Timestamp(1), "ada".into());
    let kinds = [
        (3, Change::AddJoinToken { hash: [0; 32], expires: until, joins: Joins::Agent }),
        (6, Change::AgentUnheard { agent: testing::agent(1), since: until }),
        (7, reserve().change),
        (11, Change::Unlisted { session }),
        (12, Change::End { session, by: Arc::clone(&by) }),
        (13, Change::Abandon { session, by }),
        (14, Change::RevokeToken { jti: [0; 16], until }),
        (15, Change::LogOutEverywhere { user: testing::id("ada"), until }),
    ];
    for (number, change) in kinds {
        let bytes = written(&Command { at: Timestamp(1), change });
        assert_eq!(bytes[2], number << 3 | 2, "{bytes:?}");
    }
}

#[test]
fn an_agents_count_of_sessions_is_not_written() {
    let agent = Agent { live: 7, ..Agent::new(testing::agent(1), "host".into(), Timestamp(1)) };
    let back = Agent::try_from(table::Agent::from(&agent)).unwrap();
    assert_eq!(back, Agent { live: 0, ..agent });
}

#[test]
fn a_bad_field_of_a_command_is_named() {
    type Spoil = fn(&mut table::Reserve);
    let cases: [(Spoil, &str); 9] = [
        (|it| it.place = None, "place is missing"),
        (|it| it.want = None, "want is missing"),
        (|it| it.user = "a/b".into(), "user is not valid"),
        (|it| it.profile = "GNOME".into(), "profile is not valid"),
        (|it| it.key = String::new(), "key is not valid"),
        (|it| place(it).session = vec![0; 15], "session is not valid"),
        (|it| place(it).agent = "A".repeat(32), "agent is not valid"),
        (|it| place(it).view_key = "12".into(), "view key is not valid"),
        (|it| want(it).profile = "a b".into(), "profile is not valid"),
    ];
    fn place(it: &mut table::Reserve) -> &mut table::Place {
        it.place.as_mut().unwrap()
    }
    fn want(it: &mut table::Reserve) -> &mut table::Want {
        it.want.as_mut().unwrap()
    }
    for (spoil, expected) in cases {
        let mut wire = table::Command::from(&reserve());
        let Some(WireChange::Reserve(it)) = &mut wire.change else { unreachable!() };
        spoil(it);
        let cause = Command::try_from(wire).unwrap_err();
        assert_eq!(cause.to_string(), expected);
        let is_missing = matches!(cause, ConvertError::Missing(_));
        assert_eq!(cause.source().is_none(), is_missing, "{cause} says no more");
    }
}

#[test]
fn a_command_of_a_newer_version_is_refused_not_guessed() {
    // Field 99, which no version so far has, in place of the change.
    let unknown = [0x08, 0x01, 0x9a, 0x06, 0x00];
    let beyond = Command { at: Timestamp(1), change: Change::RaiseWire { to: WireVersion(99) } };
    let beyond = table::Command::from(&beyond).encode_to_vec();
    let newest = SPOKEN.end();
    for (bytes, of) in [(&unknown[..], "a later one"), (&beyond, "99")] {
        let expected = format!("it is of wire version {of}, and this Abide speaks 1 to {newest}");
        assert_eq!(read_command(bytes).unwrap_err().to_string(), expected);
        assert_eq!(check_command(bytes).unwrap_err().to_string(), expected);
    }
    assert_eq!(read_command(&[]).unwrap_err().to_string(), "change is missing");
    assert!(check_command(&[0xff; 30]).is_err());
}

#[test]
fn a_table_of_a_newer_version_is_refused_at_its_first_part() {
    let cause = Part::try_from(table::part::Part::Wire(99)).unwrap_err().to_string();
    assert!(cause.starts_with("it is of wire version 99"), "{cause}");
}

#[test]
fn a_command_is_written_only_when_the_cluster_has_come_to_its_version() {
    let unspoken = write_command(&reserve(), WireVersion(0)).unwrap_err();
    let words = "the cluster speaks wire version 0 until every broker runs an Abide that speaks 1";
    assert_eq!(unspoken.to_string(), words);
    // It is what brings a cluster of the first version to the second.
    let raise = Command { at: Timestamp(1), change: Change::RaiseWire { to: WireVersion(2) } };
    assert!(write_command(&raise, WireVersion::FIRST).is_ok());
}

#[test]
fn a_bad_field_of_a_part_is_named() {
    use table::part::Part as Wire;
    let start = || table::StartKey {
        user: "ada".into(),
        key: "k".into(),
        session: vec![0; 16],
        want: None,
        until_ms: 1,
    };
    let cases = [
        (Wire::Session(table::Session::default()), "session is not valid"),
        (Wire::Agent(table::Agent::default()), "agent is not valid"),
        (Wire::Broker(table::Broker::default()), "broker is not valid"),
        (Wire::Start(table::StartKey { session: vec![], ..start() }), "session is not valid"),
        (Wire::Start(table::StartKey { user: "\n".into(), ..start() }), "user is not valid"),
        (Wire::JoinToken(table::JoinToken::default()), "token hash is not valid"),
        (Wire::Revoked(table::Revoked::default()), "token id is not valid"),
        (Wire::LoggedOut(table::LoggedOut::default()), "user is not valid"),
        (Wire::Last(table::Last::default()), "a part of the table is missing"),
    ];
    for (wire, expected) in cases {
        assert_eq!(Part::try_from(wire).unwrap_err().to_string(), expected);
    }
    assert!(Part::try_from(Wire::Start(start())).is_ok());
}

fn row(state: Option<ledger_row::State>) -> LedgerRow {
    LedgerRow { state, ever_attached: true, ..LedgerRow::default() }
}

fn over(reason: Option<end_reason::Reason>) -> LedgerRow {
    let reason = Some(agent::EndReason { reason });
    row(Some(ledger_row::State::Ended(agent::Ended { at_ms: 1, reason })))
}

#[test]
fn a_ledgers_row_says_where_its_session_stands() {
    use ledger_row::State;
    let cases = [
        (row(Some(State::Starting(agent::Starting {}))), Report::Starting),
        (row(Some(State::Running(agent::Running {}))), Report::Running { ever_attached: true }),
        (row(Some(State::Ending(agent::Ending {}))), Report::Ending),
        (row(Some(State::Cancelled(agent::Cancelled {}))), Report::Cancelled),
        (
            over(Some(end_reason::Reason::LoggedOut(agent::LoggedOut {}))),
            Report::Ended { reason: EndReason::LoggedOut },
        ),
    ];
    for (row, expected) in cases {
        assert_eq!(report_of(&row).unwrap(), expected);
    }
}

#[test]
fn a_row_that_says_nothing_or_what_no_agent_knows_is_refused() {
    let session = testing::session(1).to_string();
    let by = || "ada".to_owned();
    let cases = [
        (row(None), "state is missing"),
        (over(None), "end reason is missing"),
        (
            over(Some(end_reason::Reason::Superseded(agent::Superseded { by: session }))),
            "end reason is not valid",
        ),
        (
            over(Some(end_reason::Reason::Abandoned(agent::Abandoned { by: by() }))),
            "end reason is not valid",
        ),
        (
            over(Some(end_reason::Reason::LostToBoot(agent::LostToBoot {
                was: String::new(),
                now: by(),
            }))),
            "boot is not valid",
        ),
    ];
    for (row, expected) in cases {
        assert_eq!(report_of(&row).unwrap_err().to_string(), expected);
    }
}

#[test]
fn an_agents_text_is_cut_before_it_reaches_the_table() {
    let long = "ß".repeat(3_000_000);
    let crashed = over(Some(end_reason::Reason::Crashed(agent::Crashed { detail: long })));
    let Report::Ended { reason: EndReason::Crashed { detail } } = report_of(&crashed).unwrap()
    else {
        unreachable!();
    };
    assert_eq!(&*detail, "ß".repeat(512));
}

#[test]
fn what_the_first_version_has_no_place_for_waits_for_the_second() {
    let text: Arc<str> = "notice = 'x'".into();
    let configure =
        Change::SetConfig { base: 1, text: text.clone(), by: "ada".into(), note: "".into() };
    let Change::Reserve { place, user, profile, key, want, .. } = reserve().change else {
        unreachable!()
    };
    let pool = Some(testing::id("engineering"));
    let reserve = |pool| {
        let (place, user, profile) = (place.clone(), user.clone(), profile.clone());
        Change::Reserve { place, user, profile, pool, key: key.clone(), want: want.clone() }
    };
    let session = |pool| {
        Change::Adopt(Arc::new(Session {
            id: place.session,
            user: user.clone(),
            agent: place.agent.clone(),
            profile: profile.clone(),
            pool,
            key: key.clone(),
            view_key: place.view_key.clone(),
            created_at: Timestamp(1),
            boot: None,
            state: State::Running,
            unlisted_since: None,
        }))
    };
    for (change, in_first) in [
        (configure, false),
        (reserve(pool.clone()), false),
        (reserve(None), true),
        (session(pool), false),
        (session(None), true),
    ] {
        let command = Command { at: Timestamp(1), change };
        assert_eq!(write_command(&command, WireVersion::FIRST).is_ok(), in_first, "{command:?}");
        let bytes = write_command(&command, WireVersion(2)).unwrap();
        assert_eq!(read_command(&bytes).unwrap(), command);
    }
}
