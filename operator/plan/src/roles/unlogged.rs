//! Break-glass where nobody can read Vault's audit log, so that nobody sees what was opened: it opens nothing, unless an exception
//! lets it.
//!
//! Only the granter reads the log, so it alone decides this. A log that was given and cannot be read for a while takes no emergency
//! access away: for a day everything stays as it is.

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{Reason, TrustDomain, channel::ExceptionStatus};

use super::exceptions::{REMIND, until};
use crate::world::fault::Fault;

/// The control that is loosened: the audit log.
const CONTROL: &str = "SR-AUD-01";
/// How long it stays while a log that was given cannot be read.
const HOLDS: SignedDuration = SignedDuration::from_hours(24);
/// How long nothing is told of that: a granter that starts reads the log for some minutes.
const QUIET: SignedDuration = SignedDuration::from_mins(30);

/// What it means for break-glass that nobody can read the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnloggedGlass {
    /// The exception by which it opens all the same, or which ended.
    pub exception: Option<ExceptionStatus>,
    /// Why it opens nothing.
    pub closed: Option<Fault>,
    /// Why it opens nothing soon.
    pub ending: Option<Fault>,
}

/// Since when the log cannot be read. While it is not given that does not begin anew.
pub fn unread_since(before: Option<Timestamp>, unseen: Option<&Fault>, now: Timestamp) -> Option<Timestamp> {
    match unseen?.reason {
        Reason::AuditLogNotGiven => before,
        // A clock that was set back prolongs nothing.
        _ => Some(before.map_or(now, |before| before.min(now))),
    }
}

/// What `unseen`, why nobody can read the log, means for break-glass of `domain`; `since` is [`unread_since`].
pub fn judge(
    domain: &TrustDomain,
    unseen: Option<&Fault>,
    since: Option<Timestamp>,
    now: Timestamp,
) -> UnloggedGlass {
    let Some(unseen) = unseen else { return UnloggedGlass::default() };
    let glass = domain.spec.access.as_ref().and_then(|access| access.break_glass.as_ref());
    let exception = glass.and_then(|glass| glass.exception.as_ref());
    let exception = exception.map(|exception| until(domain, CONTROL, exception, now));
    if exception.as_ref().is_some_and(|exception| !exception.overdue) {
        return UnloggedGlass { exception, ..UnloggedGlass::default() };
    }
    let ended = match &exception {
        Some(exception) => format!("the exception for that ended with {}", exception.expires),
        None => "spec.access.breakGlass of the TrustDomain has no exception for that".to_owned(),
    };
    let name = domain.metadata.name.as_deref().unwrap_or_default();
    let next = format!("or agree on a date in spec.access.breakGlass.exception of TrustDomain {name}");
    let since = since.filter(|_| unseen.reason != Reason::AuditLogNotGiven);
    if let Some(ends) = since.and_then(|since| since.checked_add(HOLDS).ok()).filter(|ends| *ends > now) {
        let is_told = since.is_some_and(|since| now.duration_since(since) >= QUIET);
        let message = format!(
            "spec.breakGlass: it opens nothing from {ends} on, since nobody can see what was opened, and {ended}. {}, {next}",
            unseen.message
        );
        let ending = is_told.then(|| Fault::new(unseen.reason, message));
        return UnloggedGlass { exception, closed: None, ending };
    }
    let reason = if exception.is_some() { Reason::ExceptionExpired } else { unseen.reason };
    let message = format!(
        "spec.breakGlass: it opens nothing, since nobody can see what was opened, and {ended}. {}, {next}",
        unseen.message
    );
    UnloggedGlass { exception, closed: Some(Fault::new(reason, message)), ending: None }
}

impl UnloggedGlass {
    /// What condition BreakGlass adds.
    pub(super) fn told(&self) -> String {
        self.exception.as_ref().map_or_else(String::new, |exception| {
            format!("; nobody sees what was opened, by an exception until {}", exception.expires)
        })
    }

    /// What an Event says: that it opens nothing any more, or soon.
    pub fn reminder(&self) -> Option<Fault> {
        let ending = || {
            let exception = self.exception.as_ref()?;
            exception.days_left.filter(|left| *left <= REMIND)?;
            let message = format!(
                "nobody can see what break-glass opens, and the exception for that ends with {}: it opens nothing the day after; next: \
                 have the granter read Vault's audit log (granter.auditLog of the chart), or agree on another date",
                exception.expires
            );
            Some(Fault::new(Reason::ExceptionEnding, message))
        };
        self.closed.clone().or_else(|| self.ending.clone()).or_else(ending)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{at, domain};

    fn hospital(exception: Value) -> TrustDomain {
        domain(
            "oosterlinde",
            json!({"access": {
                "provider": {"issuer": "https://login.example"},
                "logins": [{"name": "strong", "acceptedAmr": ["mfa"]}],
                "breakGlass": {"groups": ["on-call"], "acceptedAmr": ["hwk"], "exception": exception},
            }}),
        )
    }

    fn not_given() -> Fault {
        Fault::new(Reason::AuditLogNotGiven, "nobody counts uses; next: granter.auditLog of the chart")
    }

    fn unreadable() -> Fault {
        Fault::new(Reason::AuditLogUnreadable, "nobody counts uses; next: look at the file")
    }

    fn closed(domain: &TrustDomain, unseen: Option<Fault>, since: Option<&str>, now: &str) -> Option<Reason> {
        let found = judge(domain, unseen.as_ref(), since.map(at), at(now));
        if let Some(fault) = &found.closed {
            assert!(fault.message.contains("next: ") && fault.message.contains("breakGlass.exception"));
            assert_eq!(found.reminder().map(|one| one.reason), Some(fault.reason));
        }
        found.closed.map(|fault| fault.reason)
    }

    #[test]
    fn without_a_log_it_opens_nothing_but_by_an_exception_until_its_last_day_ends_in_the_time_zone() {
        let without = hospital(Value::Null);
        let noon = "2026-11-22T12:00:00Z";
        assert_eq!(closed(&without, None, None, noon), None);
        assert_eq!(closed(&without, Some(not_given()), None, noon), Some(Reason::AuditLogNotGiven));
        // Whatever was before.
        assert_eq!(closed(&without, Some(not_given()), Some(noon), noon), Some(Reason::AuditLogNotGiven));
        let with = hospital(json!({"reason": "the log is elsewhere", "expires": "2026-11-22"}));
        let none = |now: &str| closed(&with, Some(not_given()), None, now);
        assert_eq!(none("2026-11-22T22:59:59Z"), None);
        assert_eq!(none("2026-11-22T23:00:00Z"), Some(Reason::ExceptionExpired));
        assert_eq!(closed(&with, None, None, "2026-11-22T23:00:00Z"), None, "the log is there");
        let never = hospital(json!({"reason": "the log is elsewhere", "expires": "one day"}));
        assert_eq!(closed(&never, Some(not_given()), None, noon), Some(Reason::ExceptionExpired));
    }

    #[test]
    fn a_log_that_cannot_be_read_for_a_day_closes_it_and_not_before() {
        let without = hospital(Value::Null);
        let since = Some("2026-11-22T12:00:00Z");
        let found = |now: &str| judge(&without, Some(&unreadable()), since.map(at), at(now));
        assert_eq!(found("2026-11-22T12:29:59Z"), UnloggedGlass::default(), "a start");
        let told = found("2026-11-22T12:30:00Z");
        assert!(
            told.closed.is_none() && told.ending.clone().unwrap().message.contains("2026-11-23T12:00:00Z")
        );
        assert_eq!(told.reminder().map(|one| one.reason), Some(Reason::AuditLogUnreadable));
        let at_end = |now: &str| closed(&without, Some(unreadable()), since, now);
        assert_eq!(at_end("2026-11-23T11:59:59Z"), None);
        assert_eq!(at_end("2026-11-23T12:00:00Z"), Some(Reason::AuditLogUnreadable));
        let with = hospital(json!({"reason": "the log is elsewhere", "expires": "2026-11-30"}));
        let by_exception = judge(&with, Some(&unreadable()), since.map(at), at("2026-11-24T12:00:00Z"));
        assert!(by_exception.closed.is_none() && by_exception.told().contains("2026-11-30"));
        assert_eq!(by_exception.reminder().map(|one| one.reason), Some(Reason::ExceptionEnding));
    }

    #[test]
    fn the_day_begins_once_and_again_only_after_the_log_was_read() {
        let (first, later) = (at("2026-11-22T12:00:00Z"), at("2026-11-22T13:00:00Z"));
        assert_eq!(unread_since(None, Some(&unreadable()), first), Some(first));
        assert_eq!(unread_since(Some(first), Some(&unreadable()), later), Some(first));
        assert_eq!(
            unread_since(Some(later), Some(&unreadable()), first),
            Some(first),
            "a clock that was set back"
        );
        assert_eq!(unread_since(Some(first), Some(&not_given()), later), Some(first), "is not forgotten");
        assert_eq!(unread_since(None, Some(&not_given()), later), None);
        assert_eq!(unread_since(Some(first), None, later), None);
    }
}
