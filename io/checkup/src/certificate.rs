//! When certificates end.

use std::time::{Duration, SystemTime};

use crate::Finding;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A month's notice for those that people must renew.
const NOTICE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Who renews it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateOf {
    /// The program itself, when a third of its life is left.
    Cluster,
    /// The site.
    Site,
}

/// Whether a certificate holds, and for how long yet.
pub fn certificate(
    place: impl ToString,
    of: CertificateOf,
    end: SystemTime,
    now: SystemTime,
) -> Finding {
    let mend = match of {
        CertificateOf::Cluster => {
            "it renews itself while its broker or agent runs and reaches the cluster: see the log. Once it \
             has ended, remove the identity folder's files and join again"
        }
        CertificateOf::Site => "put a new one there; it is taken over without a restart",
    };
    let Ok(left) = end.duration_since(now) else {
        let days = now.duration_since(end).unwrap_or_default().as_secs() / DAY.as_secs();
        return Finding::wrong(place, format!("the certificate ended {days} days ago"), mend);
    };
    let days = left.as_secs() / DAY.as_secs();
    let what = format!("the certificate ends in {days} days");
    match left < NOTICE {
        true => Finding::warning(place, what, mend),
        false => Finding::fine(place, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grade;

    #[test]
    fn a_certificate_is_warned_of_before_it_ends() {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        for (end, grade, part) in [
            (now + 90 * DAY, Grade::Fine, "ends in 90 days"),
            (now + 3 * DAY, Grade::Warning, "ends in 3 days"),
            (now - 2 * DAY, Grade::Wrong, "ended 2 days ago"),
        ] {
            let found = certificate("desk.pem", CertificateOf::Site, end, now);
            assert_eq!(found.grade, grade);
            assert!(found.what.contains(part), "{found:?}");
        }
    }
}
