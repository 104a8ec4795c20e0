//! Counts over the statuses of all Channels.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use subrosa_crds::{ChannelStatus, Reason, condition, condition::is_true};
use subrosa_plan::consent::connection::State;

/// Replaces reasons that this release does not know.
///
/// Status can be edited by others in the API server: with a new reason each second they would create series without
/// limit.
const OTHER: &str = "Other";

/// The conditions of a Channel.
const CONDITIONS: [&str; 9] = [
    condition::READY,
    condition::RECONCILING,
    condition::STALLED,
    condition::CONNECTED,
    condition::SERVED,
    condition::ISOLATED,
    condition::KEYS_READY,
    condition::RETAINED,
    condition::BACKED_UP,
];

/// The labels of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub struct ConditionLabels {
    /// Its type, such as `Isolated`.
    pub condition: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One of those in `docs/status.md`, else `Other`.
    pub reason: &'static str,
}

/// The counts over all Channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// How many there are.
    pub channels: i64,
    /// How many are Ready.
    pub ready: i64,
    /// How many declared connections are in each state.
    pub connections: BTreeMap<&'static str, i64>,
    /// How many Channels have each condition, by status and reason.
    pub conditions: BTreeMap<ConditionLabels, i64>,
    /// When the first certificate expires, in seconds since 1970.
    pub earliest_expiry: Option<i64>,
    /// When the first certificate is due for renewal, in seconds since 1970.
    pub earliest_renewal: Option<i64>,
    /// How many seconds the most overdue key rotation is late.
    pub rotation_lag: i64,
    /// When the backup was restored and verified whose proof is the oldest, in seconds since 1970.
    pub earliest_verified_restore: Option<i64>,
}

impl Census {
    /// Reads the status of every Channel once.
    pub fn of<'a>(
        channels: impl IntoIterator<Item = Option<Cow<'a, ChannelStatus>>>,
        now: Timestamp,
    ) -> Self {
        let mut census = Self::default();
        for status in channels {
            census.channels += 1;
            if let Some(status) = status {
                census.add(&status, now);
            }
        }
        census
    }

    fn add(&mut self, status: &ChannelStatus, now: Timestamp) {
        self.ready += i64::from(is_true(&status.conditions, condition::READY));
        for connection in &status.connections {
            *self
                .connections
                .entry(State::read(&connection.state).map_or(OTHER, State::as_str))
                .or_default() += 1;
        }
        for found in &status.conditions {
            let Some(condition) = CONDITIONS.into_iter().find(|kind| *kind == found.type_) else { continue };
            let reason = Reason::of(found).map_or(OTHER, Reason::as_str);
            let labels = ConditionLabels { condition, status: truth(&found.status), reason };
            *self.conditions.entry(labels).or_default() += 1;
        }
        if let Some(certificate) = &status.certificate {
            earlier(&mut self.earliest_expiry, seconds(&certificate.not_after));
            earlier(&mut self.earliest_renewal, seconds(&certificate.renew_at));
        }
        let proof = status.backup.as_ref().and_then(|backup| seconds(backup.last_drill.as_deref()?));
        earlier(&mut self.earliest_verified_restore, proof);
        for next in status.keys.iter().filter_map(|key| seconds(key.next_rotation.as_deref()?)) {
            self.rotation_lag = self.rotation_lag.max(now.as_second() - next);
        }
    }
}

fn truth(status: &str) -> &'static str {
    match status {
        "True" => "True",
        "False" => "False",
        _ => "Unknown",
    }
}

fn seconds(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn earlier(first: &mut Option<i64>, other: Option<i64>) {
    *first = first.iter().copied().chain(other).min();
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn channel(status: Value) -> ChannelStatus {
        serde_json::from_value(status).unwrap()
    }

    fn asked<const N: usize>(statuses: [&ChannelStatus; N]) -> Census {
        Census::of(statuses.map(|status| Some(Cow::Borrowed(status))), now())
    }

    fn says(kind: &str, status: &str, reason: &str) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": "m",
            "lastTransitionTime": "2026-11-01T00:00:00Z"})
    }

    fn certificate(renew_at: &str, not_after: &str) -> Value {
        json!({"serial": "1", "issuer": "i", "spiffeId": "s", "notBefore": "2026-11-01T00:00:00Z",
            "notAfter": not_after, "renewAt": renew_at, "secretName": "a-mtls"})
    }

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_earliest_certificate_counts_and_what_has_none_does_not() {
        let late =
            channel(json!({"certificate": certificate("2026-12-01T00:00:00Z", "2026-12-10T00:00:00Z")}));
        let soon =
            channel(json!({"certificate": certificate("2026-11-30T00:00:00Z", "2026-12-20T00:00:00Z")}));
        let none = channel(json!({}));
        let census = Census::of(
            [Some(Cow::Borrowed(&late)), Some(Cow::Owned(soon)), Some(Cow::Borrowed(&none)), None],
            now(),
        );
        assert_eq!(census.channels, 4);
        assert_eq!(census.earliest_renewal, seconds("2026-11-30T00:00:00Z"));
        assert_eq!(census.earliest_expiry, seconds("2026-12-10T00:00:00Z"));
        assert_eq!(asked([&none]).earliest_renewal, None);
    }

    #[test]
    fn the_oldest_proof_of_a_backup_counts() {
        let proven = |at: &str| channel(json!({"backup": {"lastDrill": at}}));
        let (old, new) = (proven("2026-10-01T04:00:00Z"), proven("2026-11-01T04:00:00Z"));
        let never = channel(json!({"backup": {"lastSuccess": "2026-11-01T04:00:00Z"}}));
        assert_eq!(asked([&new, &old, &never]).earliest_verified_restore, seconds("2026-10-01T04:00:00Z"));
        assert_eq!(asked([&never]).earliest_verified_restore, None);
    }

    #[test]
    fn the_rotation_that_is_most_overdue_counts_and_none_is_early() {
        let key = |next: &str| json!({"dataClass": "d", "cohort": "2026", "versions": 1, "state": "Current", "nextRotation": next});
        let closed = json!({"dataClass": "d", "cohort": "2025", "versions": 1, "state": "Due"});
        let late =
            channel(json!({"keys": [key("2026-11-22T10:00:00Z"), key("2026-11-22T11:00:00Z"), closed]}));
        let early = channel(json!({"keys": [key("2026-11-23T00:00:00Z")]}));
        assert_eq!(asked([&early, &late]).rotation_lag, 2 * 3600);
        assert_eq!(asked([&early]).rotation_lag, 0);
    }

    #[test]
    fn conditions_are_counted_by_what_they_say() {
        let wide = || says("Isolated", "False", "ForeignPolicy");
        let one = channel(json!({"conditions": [says("Ready", "True", "InForceUnproven"), wide()]}));
        let two = channel(json!({"conditions": [says("Ready", "False", "ForeignPolicy"), wide()]}));
        let census = asked([&one, &two]);
        let count = |condition, status, reason| {
            census.conditions.get(&ConditionLabels { condition, status, reason }).copied()
        };
        assert_eq!(count("Isolated", "False", "ForeignPolicy"), Some(2));
        assert_eq!(count("Ready", "True", "InForceUnproven"), Some(1));
        assert_eq!(count("Ready", "False", "ForeignPolicy"), Some(1));
        assert_eq!((census.conditions.len(), census.ready), (3, 1), "only what occurs is a series");
    }

    #[test]
    fn what_somebody_writes_into_status_makes_no_series() {
        let made_up = (0..50).map(|n| says("Ready", &format!("s{n}"), &format!("Reason{n}")));
        let foreign = says("Foreign", "True", "AllOpen");
        let conditions: Vec<_> = made_up.chain([foreign]).collect();
        let connection = json!({"name": "x", "direction": "Ingress", "state": "Made-up"});
        let census = asked([&channel(json!({"conditions": conditions, "connections": [connection]}))]);
        let other = ConditionLabels { condition: "Ready", status: "Unknown", reason: OTHER };
        assert_eq!(census.conditions.into_iter().collect::<Vec<_>>(), [(other, 50)]);
        assert_eq!(census.connections.into_iter().collect::<Vec<_>>(), [(OTHER, 1)]);
    }
}
