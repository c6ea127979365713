//! One desktop's life, as tables of steps.

use abide_model::{BootId, EndReason, Fence, SessionId, Timestamp};
use abide_ticket::ViewMode;
use proptest::prelude::*;
use uuid::Uuid;

use crate::*;

const ID: SessionId = SessionId(Uuid::from_u128(7));
const KEEPER: KeeperMark = KeeperMark { pid: 42, start_ticks: 1000 };
const AT: Timestamp = Timestamp(5);

fn boot() -> BootId {
    "boot-1".parse().unwrap()
}

fn order() -> Order {
    Order {
        text: "v4.public.order".into(),
        user: "ada".parse().unwrap(),
        profile: "xfce".parse().unwrap(),
        pool: None,
        view_key: "0".repeat(32).parse().unwrap(),
    }
}

fn ended(reason: EndReason) -> Event {
    Event::KeeperEnded { at: AT, reason }
}

fn asked() -> EndReason {
    EndReason::Asked { by: "ada".into() }
}

fn end() -> Event {
    Event::EndOrdered { by: "ada".into() }
}

fn drive(session: &mut Session, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
    let mut out = Vec::new();
    for event in events {
        session.step(event, &mut out).unwrap();
    }
    out
}

fn after(events: impl IntoIterator<Item = Event>) -> Session {
    let mut session = Session::new(ID, boot());
    drive(&mut session, events);
    session
}

fn refused(session: &mut Session, event: Event) -> (Refusal, Vec<Effect>) {
    let (before, mut out) = (session.clone(), Vec::new());
    let refusal = session.step(event, &mut out).unwrap_err();
    assert_eq!(*session, before, "a refused order changes nothing");
    (refusal, out)
}

fn start() -> Event {
    Event::StartOrdered(order())
}

fn running() -> Session {
    after([start(), Event::KeeperStarted(KEEPER)])
}

const OVER: [Effect; 4] =
    [Effect::WriteRow, Effect::Report, Effect::CloseViewers(CloseReason::Ended), Effect::CleanUp];

fn reason(session: &Session) -> &EndReason {
    match &session.row().phase {
        Phase::Ended { reason, .. } => reason,
        other => panic!("not over: {other:?}"),
    }
}

#[test]
fn a_start_is_durable_before_it_is_reported_or_done() {
    let mut session = Session::new(ID, boot());
    let out = drive(&mut session, [start()]);
    assert_eq!(out, [Effect::WriteRow, Effect::Report, Effect::Launch]);
    let out = drive(&mut session, [Event::KeeperStarted(KEEPER)]);
    assert_eq!(out, [Effect::WriteRow, Effect::Report]);
    assert_eq!(session.row().phase, Phase::Running);
}

#[test]
fn a_repeated_start_launches_nothing_more() {
    for mut session in [after([start()]), running(), after([start(), end()])] {
        assert_eq!(drive(&mut session, [start()]), [Effect::Report]);
    }
}

#[test]
fn a_cancelled_session_never_starts() {
    let mut session = Session::new(ID, boot());
    let out = drive(&mut session, [Event::CancelOrdered]);
    assert_eq!(out, [Effect::WriteRow, Effect::Report]);
    assert_eq!(refused(&mut session, start()), (Refusal::Cancelled, vec![Effect::Report]));
}

#[test]
fn a_session_that_was_started_cannot_be_cancelled() {
    for mut session in [after([start()]), running(), after([start(), end()])] {
        let (refusal, out) = refused(&mut session, Event::CancelOrdered);
        assert_eq!((refusal, out), (Refusal::Begun, vec![Effect::Report]));
    }
}

#[test]
fn logging_out_ends_it_and_leaves_nothing() {
    let mut session = running();
    assert_eq!(drive(&mut session, [ended(EndReason::LoggedOut)]), OVER);
    assert_eq!(*reason(&session), EndReason::LoggedOut);
}

#[test]
fn an_end_waits_for_the_keeper_that_is_still_starting() {
    let mut session = after([start()]);
    assert_eq!(drive(&mut session, [end()]), [Effect::WriteRow, Effect::Report]);
    let out = drive(&mut session, [Event::KeeperStarted(KEEPER)]);
    assert_eq!(out, [Effect::WriteRow, Effect::EndKeeper { by: "ada".into() }]);
    assert_eq!(drive(&mut session, [ended(asked())]), OVER);
}

#[test]
fn an_end_whose_keeper_failed_to_start_was_asked_for_all_the_same() {
    let failed = Event::KeeperFailed { at: AT, detail: "no Xvnc".into() };
    assert_eq!(*reason(&after([start(), end(), failed])), asked());
}

#[test]
fn an_agent_that_died_while_ending_asks_the_keeper_again() {
    let mut session = running();
    drive(&mut session, [end()]);
    let mut session = Session::restored(session.row().clone());
    let out = drive(&mut session, [Event::KeeperStarted(KEEPER)]);
    assert_eq!(out, [Effect::EndKeeper { by: "ada".into() }]);
}

#[test]
fn a_keeper_found_alive_after_a_restart_changes_nothing() {
    let mut session = Session::restored(running().row().clone());
    assert_eq!(drive(&mut session, [Event::KeeperStarted(KEEPER)]), []);
}

#[test]
fn a_loss_names_its_evidence() {
    let now: BootId = "boot-2".parse().unwrap();
    let gone = |evidence| Event::KeeperGone { at: AT, evidence };
    let lock_free = gone(Evidence::LockFree);
    let other_boot = gone(Evidence::OtherBoot { now: now.clone() });
    let to_boot = EndReason::LostToBoot { was: boot(), now };
    let table = [
        (running(), lock_free.clone(), EndReason::LostKeeper { pid: 42 }),
        (running(), other_boot.clone(), to_boot),
        (after([start(), Event::KeeperStarted(KEEPER), end()]), lock_free.clone(), asked()),
    ];
    for (mut session, event, expected) in table {
        assert_eq!(drive(&mut session, [event]), OVER);
        assert_eq!(*reason(&session), expected);
    }
    for event in [lock_free, other_boot] {
        let session = after([start(), event]);
        assert!(matches!(reason(&session), EndReason::NeverStarted { .. }));
    }
}

#[test]
fn a_desktop_found_without_a_ledger_is_known_again_by_its_order() {
    let mut session = Session::found(ID, boot());
    let out = drive(&mut session, [Event::KeeperStarted(KEEPER)]);
    assert_eq!(out, [Effect::WriteRow]);
    assert_eq!(drive(&mut session, [start()]), [Effect::WriteRow, Effect::Report]);
    assert_eq!(session.row().order, Some(order()));
    assert_eq!(drive(&mut session, [start()]), [Effect::Report]);
}

#[test]
fn only_what_is_over_is_forgotten() {
    let mut session = running();
    let (refusal, out) = refused(&mut session, Event::ForgetOrdered);
    assert_eq!((refusal, out), (Refusal::Alive, vec![Effect::Report]));
    drive(&mut session, [ended(EndReason::LoggedOut)]);
    assert_eq!(drive(&mut session, [Event::ForgetOrdered]), [Effect::DeleteRow]);
    let out = drive(&mut Session::new(ID, boot()), [Event::ForgetOrdered]);
    assert_eq!(out, [], "what is unknown is forgotten already");
}

#[test]
fn only_the_first_viewer_is_worth_a_record() {
    let mut session = running();
    let out = drive(&mut session, [Event::ViewerAttached]);
    assert_eq!(out, [Effect::WriteRow, Effect::Report]);
    assert!(session.row().ever_attached);
    assert_eq!(drive(&mut session, [Event::ViewerAttached]), []);
}

#[test]
fn nobody_sees_a_session_that_does_not_run() {
    let over = after([start(), Event::KeeperStarted(KEEPER), ended(EndReason::LoggedOut)]);
    for mut session in [after([start()]), after([start(), end()]), over] {
        assert_eq!(refused(&mut session, Event::ViewerAttached).0, Refusal::NotRunning);
    }
}

#[test]
fn an_order_to_end_the_unknown_is_refused() {
    let mut session = Session::new(ID, boot());
    assert_eq!(refused(&mut session, end()).0, Refusal::Unknown);
}

fn fence(term: u64, leader: u64) -> Fence {
    Fence { generation: 1, claimant: 1, term, leader }
}

#[test]
fn a_fence_once_seen_refuses_every_lower_one() {
    let mut gate = FenceGate::at(fence(5, 1));
    assert_eq!(gate.pass(fence(5, 1)), Fenced::Same);
    assert_eq!(gate.pass(fence(5, 2)), Fenced::Raised(fence(5, 2)));
    assert_eq!(gate.pass(fence(5, 1)), Fenced::Refused { highest: fence(5, 2) });
    assert_eq!(gate.pass(fence(4, 9)), Fenced::Refused { highest: fence(5, 2) });
}

#[test]
fn a_promise_is_given_to_whoever_knows_all_that_was_obeyed_and_binds() {
    let next = Fence { generation: 2, claimant: 7, term: 0, leader: 0 };
    let mut gate = FenceGate::at(fence(5, 1));
    assert_eq!(gate.promise(next, fence(4, 9)), None, "the asker does not know of term 5");
    assert_eq!(gate.highest(), fence(5, 1));
    assert_eq!(gate.promise(next, fence(5, 1)), Some(next));
    assert_eq!(gate.promise(next, fence(5, 1)), None, "it was promised already");
    assert_eq!(gate.pass(fence(9, 9)), Fenced::Refused { highest: next });
    let other = Fence { claimant: 8, ..next };
    assert_eq!(gate.promise(other, fence(5, 1)), None, "two that know the same: the first has it");
    assert_eq!(gate.highest(), next);
    let leads = Fence { term: 6, leader: 7, ..next };
    assert_eq!(gate.pass(leads), Fenced::Raised(leads));
}

fn pass(n: u8) -> PassHash {
    PassHash([n; 32])
}

#[test]
fn the_last_to_take_control_has_it() {
    use ViewMode::{Control, ViewOnly};
    let mut viewers = Viewers::default();
    let table = [
        (1, 1, Control, vec![], 1),
        (2, 2, ViewOnly, vec![], 2),
        (3, 3, Control, vec![Evicted(ViewerId(1))], 2),
        (4, 3, Control, vec![Evicted(ViewerId(3))], 2),
        (5, 2, ViewOnly, vec![Evicted(ViewerId(2))], 2),
    ];
    for (id, by, mode, evicted, count) in table {
        assert_eq!(viewers.attach(ViewerId(id), pass(by), mode), Ok(evicted));
        assert_eq!(viewers.count(), count);
    }
    viewers.gone(ViewerId(1));
    assert_eq!(viewers.count(), 2, "a viewer that was sent away is not counted twice");
    assert_eq!(viewers.revoke(|hash| hash == pass(3)), [Evicted(ViewerId(4))]);
    viewers.gone(ViewerId(5));
    assert_eq!(viewers.count(), 0);
}

#[test]
fn a_full_house_refuses_without_sending_anybody_away() {
    let mut viewers = Viewers::default();
    for n in 0..MAX_VIEWERS as u8 {
        viewers.attach(ViewerId(n.into()), pass(n), ViewMode::ViewOnly).unwrap();
    }
    let one_more = viewers.attach(ViewerId(99), pass(99), ViewMode::Control);
    assert_eq!(one_more, Err(TooManyViewers));
    assert_eq!(viewers.count(), MAX_VIEWERS);
    let again = viewers.attach(ViewerId(99), pass(0), ViewMode::ViewOnly);
    assert_eq!(again, Ok(vec![Evicted(ViewerId(0))]), "a place of one's own can be taken again");
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(start()),
        Just(Event::KeeperStarted(KEEPER)),
        Just(Event::KeeperStarted(KeeperMark { pid: 43, start_ticks: 2000 })),
        Just(Event::KeeperFailed { at: AT, detail: "x".into() }),
        Just(ended(EndReason::LoggedOut)),
        Just(Event::KeeperGone { at: AT, evidence: Evidence::LockFree }),
        Just(end()),
        Just(Event::CancelOrdered),
        Just(Event::ForgetOrdered),
        Just(Event::ViewerAttached),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_nothing_is_shown_before_it_is_written(
        events in prop::collection::vec(any_event(), 0..40),
    ) {
        let mut session = Session::new(ID, boot());
        let mut launches = 0;
        for event in events {
            let before = session.row().clone();
            let mut out = Vec::new();
            let result = session.step(event, &mut out);
            let row = session.row();
            if *row != before {
                prop_assert_eq!(out.first(), Some(&Effect::WriteRow));
                prop_assert!(result.is_ok());
            }
            prop_assert!(!before.phase.is_over() || *row == before, "what is over stays as it is");
            prop_assert!(!before.ever_attached || row.ever_attached);
            prop_assert!(row.phase != Phase::Running || row.keeper.is_some());
            prop_assert!(row.order.is_some() || matches!(row.phase, Phase::New | Phase::Cancelled));
            let ends = out.iter().any(|effect| matches!(effect, Effect::EndKeeper { .. }));
            prop_assert!(!ends || row.keeper.is_some(), "only a keeper that is there can end it");
            launches += out.iter().filter(|effect| **effect == Effect::Launch).count();
        }
        prop_assert!(launches <= 1);
    }

    #[test]
    fn a_gate_is_never_lowered(fences in prop::collection::vec((0..4u64, 0..4u64), 0..40)) {
        let mut gate = FenceGate::default();
        for (term, leader) in fences {
            let before = gate.highest();
            let fenced = gate.pass(fence(term, leader));
            prop_assert!(gate.highest() >= before);
            let obeyed = !matches!(fenced, Fenced::Refused { .. });
            prop_assert_eq!(obeyed, fence(term, leader) >= before);
        }
    }

    #[test]
    fn one_viewer_at_most_has_control(
        arrivals in prop::collection::vec((0..6u8, any::<bool>()), 0..60),
    ) {
        let mut viewers = Viewers::default();
        let mut inside: Vec<(ViewerId, u8, bool)> = Vec::new();
        for (n, (by, control)) in arrivals.into_iter().enumerate() {
            let mode = if control { ViewMode::Control } else { ViewMode::ViewOnly };
            let id = ViewerId(n as u64);
            let evicted = viewers.attach(id, pass(by), mode).unwrap();
            inside.retain(|(other, ..)| !evicted.contains(&Evicted(*other)));
            inside.push((id, by, control));
            prop_assert!(inside.iter().filter(|(.., control)| *control).count() <= 1);
            prop_assert!(inside.iter().filter(|(_, other, _)| *other == by).count() == 1);
            prop_assert_eq!(inside.len(), viewers.count());
        }
    }
}
