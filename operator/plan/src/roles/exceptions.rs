//! Logins that ask for no second factor: an exception lets them, until its last day.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use subrosa_crds::{AccessRole, Reason, TrustDomain, channel::ExceptionStatus, trust_domain::LoginException};

use super::conflicts::{self, RoleName};
use crate::world::{domain, fault::Fault};

/// The control that is loosened: unique identity and a second factor.
const CONTROL: &str = "SR-ACC-02";
/// How many days before its end somebody is reminded.
pub(super) const REMIND: i64 = 7;

/// The exception of `login` at `now`; `None` for a login that asks for a second factor, or that there is not.
pub fn exception(domain: &TrustDomain, login: &str, now: Timestamp) -> Option<ExceptionStatus> {
    let logins = domain.spec.access.iter().flat_map(|access| &access.logins);
    let exception = logins.filter(|one| one.name == login).find_map(|one| one.exception.as_ref())?;
    Some(until(domain, CONTROL, exception, now))
}

/// How `exception` stands at `now`. A day that cannot be read is past.
pub(super) fn until(
    domain: &TrustDomain,
    control: &str,
    exception: &LoginException,
    now: Timestamp,
) -> ExceptionStatus {
    let status = ExceptionStatus::on(control.to_owned(), &exception.expires, domain::today(domain, now));
    let is_day = exception.expires.parse::<Date>().is_ok();
    ExceptionStatus { overdue: status.overdue || !is_day, ..status }
}

/// The logins that give nothing at `now`, because their exception has ended.
pub fn ended(domain: &TrustDomain, now: Timestamp) -> BTreeMap<String, Fault> {
    let logins = domain.spec.access.iter().flat_map(|access| &access.logins);
    let ended = logins.filter_map(|login| {
        let exception = exception(domain, &login.name, now).filter(|exception| exception.overdue)?;
        let message = format!(
            "spec.login: login {} asks for no second factor, and the exception for that ended with {}, so it gives nothing; next: have it \
             ask for one in spec.access.logins of TrustDomain {} (acceptedAmr or acceptedAcr) and run subrosa vault-setup, or agree \
             on another date there",
            login.name,
            exception.expires,
            domain.metadata.name.as_deref().unwrap_or_default(),
        );
        Some((login.name.clone(), Fault::new(Reason::ExceptionExpired, message)))
    });
    ended.collect()
}

/// The roles of those logins. What they give by break-glass stays: that login asks for a second factor.
pub fn withheld<'a>(
    roles: impl IntoIterator<Item = &'a AccessRole>,
    ended: &BTreeMap<String, Fault>,
) -> BTreeMap<RoleName, Fault> {
    let of_ended = |role: &'a AccessRole| Some((conflicts::name(role), ended.get(&role.spec.login)?.clone()));
    roles.into_iter().filter_map(of_ended).collect()
}

/// What an Event says in the last week.
pub fn reminder(login: &str, exception: &ExceptionStatus) -> Option<Fault> {
    exception.days_left.filter(|left| *left <= REMIND)?;
    let message = format!(
        "login {login} asks for no second factor, and the exception for that ends with {}: the role gives nothing the day after; next: \
         have the login ask for a second factor, or agree on another date",
        exception.expires
    );
    Some(Fault::new(Reason::ExceptionEnding, message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{at, domain, read};

    fn hospital() -> TrustDomain {
        let exception = |expires: &str| json!({"reason": "the tokens are late", "expires": expires});
        domain(
            "oosterlinde",
            json!({"access": {
                "provider": {"issuer": "https://login.example"},
                "logins": [
                    {"name": "strong", "acceptedAmr": ["mfa"]},
                    {"name": "old", "exception": exception("2026-11-22")},
                    {"name": "never", "exception": exception("one day")},
                ],
            }}),
        )
    }

    fn role(login: &str) -> AccessRole {
        read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
            "metadata": {"name": login, "namespace": "cc-front"},
            "spec": {
                "login": login, "subjects": [{"group": "quality"}],
                "allow": [{"channels": ["voice"], "dataClasses": ["fax"], "actions": ["Open"]}],
            },
        }))
    }

    #[test]
    fn a_login_without_a_second_factor_gives_until_the_last_day_ends_in_the_time_zone() {
        let roles = ["strong", "old", "never", "gone"].map(role);
        let withheld = |now: &str| {
            let withheld = withheld(&roles, &ended(&hospital(), at(now)));
            withheld.into_iter().map(|((_, name), fault)| (name, fault.reason)).collect::<Vec<_>>()
        };
        let ended = |login: &str| (login.to_owned(), Reason::ExceptionExpired);
        // 22 November ends at 23:00 UTC in Amsterdam.
        assert_eq!(withheld("2026-11-22T22:59:59Z"), [ended("never")]);
        assert_eq!(withheld("2026-11-22T23:00:00Z"), [ended("never"), ended("old")]);
    }

    #[test]
    fn the_end_is_told_and_somebody_is_reminded_in_the_last_week() {
        let on = |login: &str, now: &str| exception(&hospital(), login, at(now));
        assert_eq!((on("strong", "2026-11-01T12:00:00Z"), on("gone", "2026-11-01T12:00:00Z")), (None, None));
        let reminded = |now: &str| {
            let exception = on("old", now).unwrap();
            (exception.overdue, exception.days_left, reminder("old", &exception).map(|fault| fault.reason))
        };
        assert_eq!(reminded("2026-10-01T12:00:00Z"), (false, None, None));
        assert_eq!(reminded("2026-11-14T12:00:00Z"), (false, Some(8), None));
        assert_eq!(reminded("2026-11-15T12:00:00Z"), (false, Some(7), Some(Reason::ExceptionEnding)));
        assert_eq!(reminded("2026-11-23T12:00:00Z"), (true, None, None));
    }
}
