//! What one agent's link was told of "log out everywhere".
//!
//! Levels, not events: whatever of the table was not told on this link is told now, so an agent that
//! was away hears it when it is back.

use std::collections::HashMap;

use abide_model::{Table, Timestamp, UserName};
use abide_wire::agent::RevokePasses;

/// Users in one command: some 300 KiB at the most, far below what a message may have.
const TOGETHER: usize = 1000;

/// Until when each user's logins ended, as it was told.
#[derive(Debug, Default)]
pub struct LogOuts(HashMap<UserName, Timestamp>);

impl LogOuts {
    /// What the table has beyond this, as commands; from now on it counts as told. What the table has
    /// forgotten is forgotten here.
    pub fn news(&mut self, table: &Table) -> Vec<RevokePasses> {
        let all: HashMap<_, _> =
            table.logged_out().map(|(user, before)| (user.clone(), before)).collect();
        let is_new =
            |user: &UserName, before: Timestamp| self.0.get(user).is_none_or(|told| *told < before);
        let new = all.iter().filter(|(user, before)| is_new(user, **before));
        let new: Vec<_> = new.map(|(user, before)| of(user, *before)).collect();
        self.0 = all;
        new.chunks(TOGETHER)
            .filter_map(|users| {
                let (first, others) = users.split_first()?;
                Some(RevokePasses { others: others.to_vec(), ..first.clone() })
            })
            .collect()
    }
}

fn of(user: &UserName, before: Timestamp) -> RevokePasses {
    RevokePasses { user: user.to_string(), before_ms: before.0, others: Vec::new() }
}

#[cfg(test)]
mod tests {
    use abide_model::{Change, Command};

    use super::*;

    fn log_out(table: &mut Table, user: &str, at: u64) {
        let user = user.parse().unwrap();
        let change = Change::LogOutEverywhere { user, until: Timestamp(1_000_000) };
        table.apply(Command { at: Timestamp(at), change });
    }

    #[test]
    fn each_log_out_is_told_once_a_link() {
        let (mut table, mut told) = (Table::default(), LogOuts::default());
        log_out(&mut table, "ada", 5);
        let ada = |before_ms| RevokePasses { user: "ada".into(), before_ms, others: vec![] };
        assert_eq!(told.news(&table), [ada(5)]);
        assert_eq!(told.news(&table), []);
        log_out(&mut table, "ada", 9);
        assert_eq!(told.news(&table), [ada(9)]);
        assert_eq!(LogOuts::default().news(&table), [ada(9)], "a new link hears it anew");
    }

    #[test]
    fn many_go_in_few_messages() {
        let mut table = Table::default();
        for n in 0..2500 {
            log_out(&mut table, &format!("user{n}"), 5);
        }
        let commands = LogOuts::default().news(&table);
        let sizes: Vec<_> = commands.iter().map(|it| 1 + it.others.len()).collect();
        assert_eq!(sizes, [1000, 1000, 500]);
    }
}
