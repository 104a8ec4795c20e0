//! Exceptions and further authorities: their last days, and Events about their end.

use jiff::civil::Date;
use subrosa_crds::{Reason, channel::ExceptionStatus};

use crate::{
    channel::Plan,
    consent::{extra_trust::TrustState, party::WARNING_DAYS},
    world::declaration::Declaration,
};

/// The prefix of further authorities in status, before the entry's name.
const EXTRA_TRUST: &str = "extraTrust/";

/// The exceptions and further authorities of `channel`, in force or expired.
pub(super) fn exceptions(channel: &Declaration, plan: &Plan, today: Date) -> Vec<ExceptionStatus> {
    let declared = channel.exceptions().iter().map(|one| (one.control.clone(), &one.expires));
    let extra = plan
        .extra_trust
        .iter()
        .filter(|one| matches!(one.state, TrustState::InForce(_) | TrustState::Ended))
        .map(|one| (one.control(), &one.expires));
    declared.chain(extra).map(|(control, expires)| ExceptionStatus::on(control, expires, today)).collect()
}

/// An Event: reason and sentence.
pub type ExceptionNews = (Reason, String);

/// The Events about exceptions between the statuses `before` and `now`: 30, 7 and 1 days before the end of each, and
/// once after it.
pub fn news(before: &[ExceptionStatus], now: &[ExceptionStatus]) -> Vec<ExceptionNews> {
    now.iter()
        .filter_map(|one| {
            let was = before.iter().find(|was| was.control == one.control && was.expires == one.expires);
            if one.overdue {
                return was.is_none_or(|was| !was.overdue).then(|| ended(one));
            }
            let left = one.days_left?;
            let told = was.is_some_and(|was| was.days_left == Some(left));
            let first = was.is_none_or(|was| was.days_left.is_none());
            let day = WARNING_DAYS.iter().any(|day| i64::from(*day) == left);
            (!told && (first || day)).then(|| ending(one, left))
        })
        .collect()
}

fn ended(one: &ExceptionStatus) -> ExceptionNews {
    let ExceptionStatus { control, expires, .. } = one;
    if control.starts_with(EXTRA_TRUST) {
        let note = format!(
            "{control}: its last day was {expires}; certificates of its authorities are refused now: remove the entry"
        );
        return (Reason::ExtraTrustEnded, note);
    }
    let note = format!("exception for {control} since {expires}: end it, or agree on another date");
    (Reason::ExceptionOverdue, note)
}

fn ending(one: &ExceptionStatus, left: i64) -> ExceptionNews {
    let ExceptionStatus { control, expires, .. } = one;
    let when = match left {
        0 => "ends today".to_owned(),
        1 => format!("ends on {expires}, tomorrow"),
        days => format!("ends on {expires}, in {days} days"),
    };
    let next = if control.starts_with(EXTRA_TRUST) {
        "who still shows a certificate of its authorities is refused the day after"
    } else {
        "close the gap, or agree on another date"
    };
    (Reason::ExceptionEnding, format!("{control} {when}: {next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(control: &str, left: Option<i64>, overdue: bool) -> ExceptionStatus {
        ExceptionStatus { control: control.into(), expires: "2027-01-31".into(), overdue, days_left: left }
    }

    fn reasons(before: &[ExceptionStatus], now: &[ExceptionStatus]) -> Vec<&'static str> {
        news(before, now).into_iter().map(|(reason, _)| reason.as_str()).collect()
    }

    #[test]
    fn an_end_is_told_on_its_days_and_once() {
        let at = |left| [one("SR-NET-01", Some(left), false)];
        let far = [one("SR-NET-01", None, false)];
        assert!(reasons(&[], &far).is_empty());
        assert_eq!(reasons(&far, &at(30)), ["ExceptionEnding"]);
        assert!(reasons(&at(30), &at(30)).is_empty(), "told already");
        assert!(reasons(&at(30), &at(29)).is_empty(), "not every day");
        assert_eq!(reasons(&at(8), &at(7)), ["ExceptionEnding"]);
        assert_eq!(reasons(&[], &at(3)), ["ExceptionEnding"], "declared shortly before its end");
        let overdue = [one("SR-NET-01", None, true)];
        assert_eq!(reasons(&at(0), &overdue), ["ExceptionOverdue"]);
        assert!(reasons(&overdue, &overdue).is_empty());
    }

    #[test]
    fn an_agreed_date_begins_anew() {
        let before = [one("SR-NET-01", None, true)];
        let now = [ExceptionStatus { expires: "2027-02-28".into(), ..one("SR-NET-01", Some(7), false) }];
        assert_eq!(reasons(&before, &now), ["ExceptionEnding"]);
    }

    #[test]
    fn what_ends_with_further_authorities_is_said() {
        let news = news(&[], &[one("extraTrust/old", None, true), one("extraTrust/older", Some(1), false)]);
        let [(ended, refused), (ending, tomorrow)] = news.as_slice() else { panic!("{news:?}") };
        assert_eq!((*ended, *ending), (Reason::ExtraTrustEnded, Reason::ExceptionEnding));
        assert!(refused.contains("2027-01-31") && refused.contains("remove the entry"), "{refused}");
        assert!(tomorrow.contains("tomorrow") && tomorrow.contains("refused"), "{tomorrow}");
    }
}
