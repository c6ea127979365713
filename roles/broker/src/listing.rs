//! Which sessions a question fits, in which order, and how many there are.
//!
//! Pure: rows go in, places of a page come out. A page of a large table is made without making the whole:
//! only what the question looks at is looked at.

use std::cmp::Ordering;

use abide_api::{SessionCounts, SessionState, SessionsQuery};

/// What a question can look at of one session.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// UUID, hyphenated, in lower case.
    pub id: &'a str,
    /// Whose; empty if nobody knows.
    pub user: &'a str,
    /// The agent's id.
    pub agent: &'a str,
    /// The agent's name.
    pub agent_name: &'a str,
    /// The profile's name.
    pub profile: &'a str,
    /// Where its life stands.
    pub state: SessionState,
    /// Whether it is reachable.
    pub reachable: bool,
    /// Whether it has a valid start order.
    pub verified: bool,
    /// How many look at it.
    pub viewers: u32,
}

/// The answer to a question.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Places among the rows, in the order asked for.
    pub rows: Vec<usize>,
    /// How many fit.
    pub total: usize,
    /// How many would fit by state.
    pub counts: SessionCounts,
}

/// A question that was understood.
#[derive(Debug)]
pub struct Question {
    search: String,
    states: Option<Vec<SessionState>>,
    asked: SessionsQuery,
    sort: Sort,
    descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    User,
    Agent,
    Profile,
    State,
    Viewers,
    Created,
}

/// Why a question cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misunderstood {
    /// No such state.
    #[error("\"{0}\" is no state: reserved, starting, running, ending, ended, lost")]
    State(String),
    /// No such order.
    #[error(
        "\"{0}\" is no order: user, agent, profile, state, viewers, created, or one with - before it"
    )]
    Sort(String),
    /// The session after which one is to go on is not in the list.
    #[error("no session {0} fits the question any more; begin anew")]
    After(String),
}

const STATES: [(&str, SessionState); 6] = [
    ("reserved", SessionState::Reserved),
    ("starting", SessionState::Starting),
    ("running", SessionState::Running),
    ("ending", SessionState::Ending),
    ("ended", SessionState::Ended),
    ("lost", SessionState::Lost),
];

impl Question {
    /// Understands it.
    ///
    /// # Errors
    /// A state or an order that there is not.
    pub fn new(asked: SessionsQuery) -> Result<Self, Misunderstood> {
        let state = |word: &str| {
            let known = STATES.iter().find(|(name, _)| *name == word.trim());
            known.map(|(_, state)| *state).ok_or_else(|| Misunderstood::State(word.to_owned()))
        };
        let states: Option<Result<Vec<_>, _>> =
            asked.state.as_deref().map(|words| words.split(',').map(state).collect());
        let order = asked.sort.as_deref().unwrap_or("-created");
        let sort = match order.strip_prefix('-').unwrap_or(order) {
            "user" => Sort::User,
            "agent" => Sort::Agent,
            "profile" => Sort::Profile,
            "state" => Sort::State,
            "viewers" => Sort::Viewers,
            "created" => Sort::Created,
            _ => return Err(Misunderstood::Sort(order.to_owned())),
        };
        Ok(Self {
            search: asked.search.as_deref().unwrap_or_default().trim().to_lowercase(),
            states: states.transpose()?,
            descending: order.starts_with('-'),
            sort,
            asked,
        })
    }

    /// Answers it. `rows` are the newest first.
    ///
    /// # Errors
    /// There is no session to go on after.
    pub fn answer<'a>(
        &self,
        rows: impl Fn(usize) -> Row<'a>,
        len: usize,
    ) -> Result<Page, Misunderstood> {
        let (mut fitting, mut counts) = (Vec::new(), SessionCounts::default());
        for at in 0..len {
            let row = rows(at);
            if self.is_alike(&row) {
                count(&mut counts, &row);
                if self.is_so(&row) {
                    fitting.push(at);
                }
            }
        }
        self.order(&mut fitting, &rows);
        let total = fitting.len();
        let begin = self.begin(&fitting, &rows)?;
        let end = self.asked.limit.map_or(total, |limit| begin.saturating_add(limit).min(total));
        Ok(Page { rows: fitting.drain(begin.min(end)..end).collect(), total, counts })
    }

    /// But for the states.
    fn is_alike(&self, row: &Row<'_>) -> bool {
        let is =
            |wanted: &Option<String>, it: &str| wanted.as_deref().is_none_or(|wanted| wanted == it);
        let has = |it: &str| contains(it, &self.search);
        is(&self.asked.agent, row.agent)
            && is(&self.asked.user, row.user)
            && is(&self.asked.profile, row.profile)
            && (self.search.is_empty()
                || has(row.user)
                || has(row.agent_name)
                || has(row.profile)
                || has(row.id))
    }

    /// As for the states.
    fn is_so(&self, row: &Row<'_>) -> bool {
        self.states.as_ref().is_none_or(|states| states.contains(&row.state))
            && self.asked.reachable.is_none_or(|wanted| wanted == row.reachable)
            && self.asked.verified.is_none_or(|wanted| wanted == row.verified)
    }

    fn order<'a>(&self, fitting: &mut [usize], rows: &impl Fn(usize) -> Row<'a>) {
        let by = |a: &Row<'_>, b: &Row<'_>| match self.sort {
            Sort::User => a.user.cmp(b.user),
            Sort::Agent => a.agent_name.cmp(b.agent_name),
            Sort::Profile => a.profile.cmp(b.profile),
            Sort::State => (a.state as u8).cmp(&(b.state as u8)),
            Sort::Viewers => a.viewers.cmp(&b.viewers),
            // The rows stand so.
            Sort::Created => Ordering::Equal,
        };
        match (self.sort, self.descending) {
            (Sort::Created, true) => {}
            (Sort::Created, false) => fitting.reverse(),
            (_, true) => fitting.sort_by(|&a, &b| by(&rows(b), &rows(a))),
            (_, false) => fitting.sort_by(|&a, &b| by(&rows(a), &rows(b))),
        }
    }

    fn begin<'a>(
        &self,
        fitting: &[usize],
        rows: &impl Fn(usize) -> Row<'a>,
    ) -> Result<usize, Misunderstood> {
        let skip = self.asked.skip.unwrap_or(0);
        let Some(after) = &self.asked.after else { return Ok(skip) };
        let at = fitting.iter().position(|&at| rows(at).id == after);
        let at = at.ok_or_else(|| Misunderstood::After(after.clone()))?;
        Ok((at + 1).saturating_add(skip))
    }
}

fn count(counts: &mut SessionCounts, row: &Row<'_>) {
    let (counter, is_over) = match row.state {
        SessionState::Reserved => (&mut counts.reserved, false),
        SessionState::Starting => (&mut counts.starting, false),
        SessionState::Running => (&mut counts.running, false),
        SessionState::Ending => (&mut counts.ending, false),
        SessionState::Ended => (&mut counts.ended, true),
        SessionState::Lost => (&mut counts.lost, true),
    };
    *counter += 1;
    counts.unreachable += u64::from(!is_over && !row.reachable);
    counts.unverified += u64::from(!row.verified);
}

/// Whether `part`, which is in lower case, stands in `text`.
fn contains(text: &str, part: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(part);
    }
    let (text, part) = (text.as_bytes(), part.as_bytes());
    part.is_empty() || text.windows(part.len()).any(|it| it.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row<'_> = Row {
        id: "0197-a",
        user: "ada",
        agent: "a1",
        agent_name: "desk-1",
        profile: "xfce",
        state: SessionState::Running,
        reachable: true,
        verified: true,
        viewers: 0,
    };

    /// Newest first.
    const ROWS: [Row<'_>; 5] = [
        Row { id: "5", user: "Ärna", viewers: 2, ..ROW },
        Row { id: "4", user: "bob", agent: "a2", agent_name: "desk-2", reachable: false, ..ROW },
        Row { id: "3", user: "ada", state: SessionState::Ended, reachable: false, ..ROW },
        Row { id: "2", user: "", verified: false, ..ROW },
        Row { id: "1", user: "carl", state: SessionState::Reserved, profile: "cad", ..ROW },
    ];

    fn ask(query: SessionsQuery) -> Result<Page, Misunderstood> {
        Question::new(query)?.answer(|at| ROWS[at], ROWS.len())
    }

    fn ids(query: SessionsQuery) -> String {
        ask(query).unwrap().rows.into_iter().map(|at| ROWS[at].id).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_question_that_asks_nothing_is_answered_with_everything_newest_first() {
        let page = ask(SessionsQuery::default()).unwrap();
        assert_eq!((page.rows, page.total), (vec![0, 1, 2, 3, 4], 5));
        let counts = SessionCounts { running: 3, reserved: 1, ended: 1, ..Default::default() };
        assert_eq!(page.counts, SessionCounts { unreachable: 1, unverified: 1, ..counts });
    }

    #[test]
    fn every_condition_counts() {
        let all = SessionsQuery::default;
        for (query, expected) in [
            (SessionsQuery { search: some(" ADA "), ..all() }, "3"),
            (SessionsQuery { search: some("ärn"), ..all() }, "5"),
            (SessionsQuery { search: some("sk-2"), ..all() }, "4"),
            (SessionsQuery { search: some("nobody"), ..all() }, ""),
            (SessionsQuery { state: some("running, reserved"), ..all() }, "5421"),
            (SessionsQuery { state: some("running"), reachable: Some(false), ..all() }, "4"),
            (SessionsQuery { verified: Some(false), ..all() }, "2"),
            (SessionsQuery { agent: some("a2"), ..all() }, "4"),
            (SessionsQuery { user: some("ad"), ..all() }, ""),
            (SessionsQuery { profile: some("cad"), ..all() }, "1"),
        ] {
            assert_eq!(ids(query.clone()), expected, "{query:?}");
        }
    }

    #[test]
    fn what_is_alike_in_the_order_stands_newest_first() {
        let sorted = |sort| ids(SessionsQuery { sort: some(sort), ..Default::default() });
        assert_eq!(sorted("created"), "12345");
        assert_eq!(sorted("user"), "23415");
        assert_eq!(sorted("-user"), "51432");
        assert_eq!(sorted("-viewers"), "54321");
        assert_eq!(sorted("state"), "15423");
        assert_eq!(sorted("agent"), "53214");
    }

    #[test]
    fn pages_follow_on_one_another() {
        let page = |skip, after: Option<&str>| {
            let after = after.map(str::to_owned);
            ids(SessionsQuery { limit: Some(2), skip, after, ..Default::default() })
        };
        assert_eq!((page(None, None), page(Some(2), None)), ("54".into(), "32".into()));
        assert_eq!((page(Some(4), None), page(Some(9), None)), ("1".into(), String::new()));
        assert_eq!((page(None, Some("4")), page(Some(1), Some("4"))), ("32".into(), "21".into()));
        let gone = SessionsQuery { after: some("9"), ..Default::default() };
        assert_eq!(ask(gone), Err(Misunderstood::After("9".into())));
    }

    #[test]
    fn the_counts_are_of_every_state_and_the_total_of_those_asked_for() {
        let query = SessionsQuery { state: some("ended"), limit: Some(0), ..Default::default() };
        let page = ask(query).unwrap();
        assert_eq!((page.rows, page.total, page.counts.running), (vec![], 1, 3));
    }

    #[test]
    fn a_word_that_is_none_is_said_back() {
        let state = Question::new(SessionsQuery { state: some("runing"), ..Default::default() });
        assert_eq!(state.unwrap_err(), Misunderstood::State("runing".into()));
        let sort = Question::new(SessionsQuery { sort: some("-colour"), ..Default::default() });
        assert_eq!(sort.unwrap_err(), Misunderstood::Sort("-colour".into()));
    }
}
