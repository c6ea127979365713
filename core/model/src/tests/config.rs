//! The configuration's versions.

use super::*;

fn set(base: u64, text: &str) -> Change {
    Change::SetConfig { base, text: text.into(), by: "ada".into(), note: "".into() }
}

const CHANGED: Outcome = Outcome::Refused(Refusal::ConfigChanged);

#[test]
fn of_two_that_go_out_from_the_same_version_one_wins() {
    let mut table = Table::default();
    assert_eq!((table.config().number, &*table.config().text), (0, ""));
    drive(
        &mut table,
        [
            (1, set(1, "early"), CHANGED),
            (2, set(0, "one"), DONE),
            (3, set(0, "other"), CHANGED),
            (4, set(1, "two"), DONE),
            (5, set(1, "three"), CHANGED),
        ],
    );
    let config = table.config();
    assert_eq!((config.number, &*config.text, config.at), (2, "two", BEGIN.plus(4)));
    let kept = table.config_history().map(|it| (it.number, &*it.text));
    assert_eq!(kept.collect::<Vec<_>>(), [(1, "one"), (2, "two")]);
}

#[test]
fn a_repeat_is_no_second_version_also_after_another_was_taken() {
    let mut table = Table::default();
    let steps = [(1, set(0, "one"), DONE), (2, set(0, "one"), UNCHANGED), (3, set(1, "two"), DONE)];
    drive(&mut table, steps);
    let before = table.clone();
    drive(&mut table, [(3, set(0, "one"), UNCHANGED)]);
    assert_eq!(table.config(), before.config());
}

#[test]
fn the_history_is_bounded_by_count_and_by_bytes_and_keeps_the_newest() {
    let mut table = Table::default();
    for base in 0..150 {
        drive(&mut table, [(base, set(base, "small"), DONE)]);
    }
    let numbers: Vec<_> = table.config_history().map(|it| it.number).collect();
    assert_eq!((numbers.len(), numbers[0], numbers[99]), (CONFIGS_KEPT, 51, 150));
    let large = "x".repeat(CONFIG_TEXT);
    for base in 150..180 {
        drive(&mut table, [(base, set(base, &large), DONE)]);
    }
    let numbers: Vec<_> = table.config_history().map(|it| it.number).collect();
    assert_eq!(numbers, (165..=180).collect::<Vec<_>>(), "16 of 256 KiB are 4 MiB");
}
