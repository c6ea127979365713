//! States and times in plain words. The portal says the same, in `web/shared/standing.ts`.

use abide_api::{Session, SessionState, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A session's state, for a column.
pub(super) fn state(session: &Session) -> &'static str {
    match session.state {
        SessionState::Ended => "ended",
        SessionState::Lost => "lost",
        _ if !session.verified => "unverified",
        _ if !session.reachable => "unreachable",
        SessionState::Ending => "ending",
        SessionState::Running if session.viewers > 0 => "running, in use",
        SessionState::Running => "running",
        SessionState::Reserved | SessionState::Starting => "starting",
    }
}

/// What a person should know beyond the state.
pub(super) fn note(session: &Session) -> String {
    match (state(session), &session.reason) {
        ("ended" | "lost", Some(reason)) => reason.clone(),
        ("unreachable", _) => format!("not heard since {}", since(session.unreachable_since)),
        ("unverified", _) => "no valid start order; ask an administrator".to_owned(),
        _ => String::new(),
    }
}

/// That no broker hears the session's agent.
pub(super) fn unreachable(session: &Session) -> String {
    format!(
        "no broker has heard from {}, the server of your desktop, since {}; the desktop may well \
         be running",
        session.agent_name,
        since(session.unreachable_since)
    )
}

/// What one can do about an unreachable session.
pub(super) fn ways_on(session: &Session) -> String {
    let id = &session.id;
    format!(
        "It comes back when its server does. Meanwhile you can\n  \
         try all the same:    abide connect {id}\n  \
         start another:       abide connect --new\n  \
         stop tracking it:    abide session abandon {id}"
    )
}

/// ": the reason", if there is one.
pub(super) fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// "14:03:09 (2 minutes ago)".
pub(super) fn since(time: Option<Time>) -> String {
    match time.and_then(moment) {
        Some(at) => format!("{} ({})", clock(at, Timestamp::now(), &TimeZone::system()), ago(at)),
        None => "an unknown time".to_owned(),
    }
}

/// When, for a column: the time alone if it is today's.
pub(super) fn when(time: Time) -> String {
    match moment(time) {
        Some(at) => clock(at, Timestamp::now(), &TimeZone::system()),
        None => String::new(),
    }
}

fn moment(time: Time) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(time.0.0).ok()?).ok()
}

fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned_datetime(zone.clone()), now.to_zoned_datetime(zone.clone()));
    let format = if at.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    at.strftime(format).to_string()
}

fn ago(at: Timestamp) -> String {
    in_words(Timestamp::now().duration_since(at))
}

fn in_words(passed: SignedDuration) -> String {
    format!("{} ago", span(u64::try_from(passed.as_secs()).unwrap_or(0)))
}

/// "2 minutes", of so many seconds.
pub(super) fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_the_largest_fitting_unit() {
        for (seconds, words) in [
            (-5, "0 seconds ago"),
            (1, "1 second ago"),
            (119, "119 seconds ago"),
            (120, "2 minutes ago"),
            (7200, "2 hours ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(in_words(SignedDuration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn a_day_is_named_unless_it_is_today() {
        let at: Timestamp = "2026-11-23T18:54:00Z".parse().unwrap();
        let later: Timestamp = "2026-11-24T18:54:00Z".parse().unwrap();
        assert_eq!(clock(at, at, &TimeZone::UTC), "18:54:00");
        assert_eq!(clock(at, later, &TimeZone::UTC), "2026-11-23 18:54");
    }
}
