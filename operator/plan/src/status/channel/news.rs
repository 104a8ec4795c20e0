//! Which changes of conditions become Events.

use subrosa_crds::{
    Reason,
    condition::{self, Condition},
};

/// Conditions whose turn to bad is an Event. Ready is left out, because it repeats one of them.
const TOLD: [&str; 5] =
    [condition::STALLED, condition::ISSUING, condition::SERVED, condition::ISOLATED, condition::KEYS_READY];

/// Transient reasons; for example, a renewed certificate is not served by the pods for a while.
const PASSING: [Reason; 5] = [
    Reason::DefaultDenyPending,
    Reason::NamespacePending,
    Reason::PolicyMissing,
    Reason::StaleCertificate,
    Reason::RestartAwaitsRollout,
];

/// The conditions that turned bad since `before`, or are bad for a new reason.
pub fn turned_bad<'now>(
    before: &[Condition],
    now: &'now [Condition],
) -> impl Iterator<Item = &'now Condition> {
    now.iter().filter(|condition| {
        let bad = match condition.type_.as_str() {
            condition::STALLED | condition::ISSUING => "True",
            _ => "False",
        };
        let was = condition::find(before, &condition.type_);
        if condition.type_ == condition::TRUST_FITS {
            return was.is_none_or(|was| was.reason != condition.reason);
        }
        TOLD.contains(&condition.type_.as_str())
            && condition.status == bad
            && Reason::of(condition).is_none_or(|reason| !PASSING.contains(&reason))
            && was.is_none_or(|was| was.status != bad || was.reason != condition.reason)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn says(kind: &str, status: &str, reason: &str) -> Condition {
        crate::testing::read(json!({
            "type": kind, "status": status, "reason": reason, "message": "m",
            "lastTransitionTime": "2026-11-22T12:00:00Z",
        }))
    }

    #[test]
    fn what_turned_bad_is_told_once_and_what_passes_is_not() {
        let heard = |before: &[Condition], now: Condition| turned_bad(before, &[now]).count();
        let silent = || says("Served", "False", "NotMounted");
        assert_eq!(heard(&[], silent()), 1);
        assert_eq!(heard(&[silent()], silent()), 0);
        assert_eq!(heard(&[says("Served", "True", "CurrentEverywhere")], silent()), 1);
        assert_eq!(heard(&[says("Served", "False", "KeyNotHeld")], silent()), 1, "for another reason");
        assert_eq!(heard(&[], says("Served", "True", "CurrentEverywhere")), 0);
        assert_eq!(heard(&[], says("Stalled", "True", "InvalidSelector")), 1);
        let full = |reason| says("TrustFits", "True", reason);
        assert_eq!(heard(&[], full("TrustNearlyFull")), 1, "it fits still: a warning");
        assert_eq!(heard(&[full("TrustNearlyFull")], full("TrustNearlyFull")), 0);
        assert_eq!(heard(&[full("TrustNearlyFull")], says("TrustFits", "False", "TrustTooLarge")), 1);
        let pending = || says("Issuing", "True", "NamesPending");
        assert_eq!((heard(&[], pending()), heard(&[pending()], pending())), (1, 0));
        assert_eq!(heard(&[], says("Ready", "False", "VaultSealed")), 0, "its cause is told");
        for reason in PASSING {
            assert_eq!(heard(&[], says("Served", "False", reason.as_str())), 0, "{reason}");
        }
    }
}
