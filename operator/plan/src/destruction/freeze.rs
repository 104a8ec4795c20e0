//! Reasons to destroy nothing at all: clocks that disagree or jumped, a restored Vault, a restored cluster.
//! The [`breaker`](super::breaker) freezes too.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, civil::Date};
use subrosa_crds::{Reason, destruction::digest_of};

use super::rules;
use crate::{
    record::destroyer::{BindingRules, DestroyerRecord, Frozen},
    world::fault::Fault,
};

/// How far the clocks may be apart.
pub const MOST_SKEW: SignedDuration = SignedDuration::from_secs(30);
/// People confirm the time after the destroyer was away for this long: all three clocks may share one wrong source.
pub const MOST_ABSENCE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How far the clock may jump between two looks. The limit is small because small jumps add up.
pub const MOST_DRIFT: SignedDuration = SignedDuration::from_hours(1);

/// What three clocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The destroyer's own.
    pub local: Timestamp,
    /// The API server's.
    pub api_server: Timestamp,
    /// Vault's.
    pub vault: Timestamp,
}

impl Clocks {
    /// The earliest of the three times.
    ///
    /// # Errors
    /// When they are more than [`MOST_SKEW`] apart.
    pub fn agreed(self) -> Result<Timestamp, Fault> {
        let Self { local, api_server, vault } = self;
        let (first, last) = (local.min(api_server).min(vault), local.max(api_server).max(vault));
        if last.duration_since(first) <= MOST_SKEW {
            return Ok(first);
        }
        Err(Fault::new(
            Reason::ClockSkew,
            format!(
                "nothing is destroyed while clocks disagree by more than 30 s: destroyer {local}, API server {api_server}, \
                 Vault {vault}; next: correct the clock that is wrong"
            ),
        ))
    }
}

/// How often the destroyer's record was written, by Vault and by its copy in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The version of the record in Vault; 0 where there is none.
    pub vault: u64,
    /// The version that was last copied to the cluster; `None` where it has no copy.
    pub cluster: Option<u64>,
}

/// Compares the destroyer's record with the clocks and with its copy in the cluster at `now`. Returns a new reason to
/// stop all destruction until people approve going on, and `None` where there is none.
///
/// The destroyer writes the record in Vault first, then its copy in the cluster, and writes no second record before
/// the copy of the first: the copy may be one version behind. A record that is frozen already gives no new reason,
/// unless a restored Vault brought it: then the copy (`told`) has no freeze or another one, and Approvals from before
/// the restore do not end this one. `drift` is the difference between wall clock and monotonic clock since this
/// process last looked.
pub fn found(
    record: &DestroyerRecord,
    counts: Counts,
    told: Option<&Frozen>,
    drift: SignedDuration,
    now: Timestamp,
) -> Option<Frozen> {
    let is_behind = counts.cluster.is_some_and(|cluster| counts.vault < cluster);
    if let Some(frozen) = &record.frozen
        && !(is_behind && told.map(|told| &told.digest) != Some(&frozen.digest))
    {
        return None;
    }
    let frozen = |reason: Reason, message: String| {
        Some(Frozen {
            reason: reason.as_str().to_owned(),
            digest: digest_of(&(reason.as_str(), &message, now)),
            message,
            since: now,
        })
    };
    match counts {
        Counts { vault, cluster: Some(cluster) } if vault < cluster => {
            return frozen(
                Reason::StoreRestored,
                format!(
                    "Vault was restored: the destroyer's record has version {vault} there and had {cluster} before; keys that \
                     were destroyed may be back, and holds may be gone"
                ),
            );
        }
        Counts { vault, cluster } if vault > cluster.unwrap_or(0) + 1 => {
            let cluster = cluster.map_or("none".to_owned(), |cluster| cluster.to_string());
            return frozen(
                Reason::StateRestored,
                format!(
                    "the cluster was restored: the destroyer's record has version {vault} in Vault and the cluster knows \
                     {cluster}; LegalHolds, denials and policies may be gone"
                ),
            );
        }
        Counts { .. } => {}
    }
    if drift.abs() > MOST_DRIFT {
        return frozen(
            Reason::ClockJumped,
            format!(
                "the clock went {} minutes away from the time that has passed, and says {now}",
                drift.as_mins()
            ),
        );
    }
    let last = record.last_look?;
    let passed = now.duration_since(last);
    if passed > MOST_ABSENCE {
        return frozen(
            Reason::ClockJumped,
            format!("the last look was at {last}, more than seven days before {now}: is that the time?"),
        );
    }
    if passed < -MOST_SKEW {
        return frozen(
            Reason::ClockJumped,
            format!("the last look was at {last}, and now it is {now}: time went back"),
        );
    }
    None
}

/// Merges into the `record` of a restored Vault what the cluster's copy says, so that restoring Vault makes neither
/// the end of the freeze nor later destruction easier. `rules` are those of the copy.
pub fn remember(record: &mut DestroyerRecord, rules: &BTreeMap<String, BindingRules>, today: Date) {
    let is = |frozen: &Frozen| Reason::read(&frozen.reason) == Some(Reason::StoreRestored);
    if record.frozen.as_ref().is_some_and(is) {
        record.rules = rules::stricter(&record.rules, rules, today);
    }
}

/// The message of a freeze, with the next step.
pub fn told(frozen: &Frozen) -> Fault {
    let reason = Reason::read(&frozen.reason).unwrap_or(Reason::ClockJumped);
    Fault::new(
        reason,
        format!(
            "nothing is destroyed since {}: {}; next: look what happened, then approve (subrosa approve TrustDomain/…)",
            frozen.since, frozen.message
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, now};

    fn clocks(local: i64, api_server: i64, vault: i64) -> Result<Timestamp, Fault> {
        let shifted = |seconds| now() + SignedDuration::from_secs(seconds);
        Clocks { local: shifted(local), api_server: shifted(api_server), vault: shifted(vault) }.agreed()
    }

    #[test]
    fn three_clocks_agree_within_half_a_minute() {
        assert_eq!(clocks(0, 10, 30), Ok(now()));
        for (local, api_server, vault) in [(0, 31, 0), (31, 0, 0), (0, 0, -31), (-16, 0, 15)] {
            assert_eq!(clocks(local, api_server, vault).unwrap_err().reason, Reason::ClockSkew);
        }
    }

    fn reason(last: &str, vault: u64, cluster: Option<u64>) -> Option<String> {
        let record = DestroyerRecord { last_look: Some(at(last)), ..DestroyerRecord::default() };
        found(&record, Counts { vault, cluster }, None, SignedDuration::ZERO, now())
            .map(|frozen| frozen.reason)
    }

    #[test]
    fn what_was_restored_is_seen_by_the_counts() {
        let last = "2026-11-22T11:55:00Z";
        assert_eq!(reason(last, 5, Some(5)), None);
        assert_eq!(reason(last, 6, Some(5)), None, "ended between the two writes");
        assert_eq!(reason(last, 1, None), None, "ended between the first two");
        assert_eq!(reason(last, 4, Some(5)).as_deref(), Some("StoreRestored"));
        assert_eq!(reason(last, 0, Some(5)).as_deref(), Some("StoreRestored"));
        assert_eq!(reason(last, 7, Some(5)).as_deref(), Some("StateRestored"));
        assert_eq!(reason(last, 2, None).as_deref(), Some("StateRestored"));
    }

    #[test]
    fn a_week_without_a_look_and_a_step_back_are_asked_about() {
        assert_eq!(reason("2026-11-15T12:00:00Z", 5, Some(5)), None);
        assert_eq!(reason("2026-11-15T11:59:59Z", 5, Some(5)).as_deref(), Some("ClockJumped"));
        assert_eq!(reason("2026-11-22T12:00:30Z", 5, Some(5)), None);
        assert_eq!(reason("2026-11-22T12:00:31Z", 5, Some(5)).as_deref(), Some("ClockJumped"));
        assert_eq!(reason("2036-11-22T12:00:00Z", 5, Some(5)).as_deref(), Some("ClockJumped"));
        assert_eq!(
            found(
                &DestroyerRecord::default(),
                Counts { vault: 0, cluster: None },
                None,
                SignedDuration::ZERO,
                now()
            ),
            None
        );
    }

    #[test]
    fn small_jumps_do_not_add_up() {
        let counts = Counts { vault: 5, cluster: Some(5) };
        let record = DestroyerRecord { last_look: Some(now()), ..Default::default() };
        let after = |minutes| found(&record, counts, None, SignedDuration::from_mins(minutes), now());
        assert_eq!((after(60), after(-60)), (None, None));
        assert!(after(61).is_some() && after(-61).is_some());
    }

    #[test]
    fn a_freeze_keeps_its_digest() {
        let record = DestroyerRecord { last_look: Some(at("2026-11-01T00:00:00Z")), ..Default::default() };
        let found = |record: &DestroyerRecord, vault, told: Option<&Frozen>| {
            let counts = Counts { vault, cluster: Some(5) };
            found(record, counts, told, SignedDuration::ZERO, now())
        };
        let frozen = found(&record, 5, None);
        let frozen_since = DestroyerRecord { frozen: frozen.clone(), ..record.clone() };
        assert_eq!(found(&frozen_since, 5, None), None);
        let restored = found(&record, 4, None);
        let frozen_since = DestroyerRecord { frozen: restored.clone(), ..record };
        assert_eq!(found(&frozen_since, 4, restored.as_ref()), None);
    }

    /// People approved the end of that freeze, and a restore brings it back: the same Approvals end nothing.
    #[test]
    fn a_freeze_that_came_with_a_restored_store_is_another_one() {
        let record = DestroyerRecord { last_look: Some(at("2026-11-01T00:00:00Z")), ..Default::default() };
        let counts = |vault| Counts { vault, cluster: Some(9) };
        let found = |record: &DestroyerRecord, vault, told: Option<&Frozen>| {
            found(record, counts(vault), told, SignedDuration::ZERO, now())
        };
        let frozen = found(&record, 9, None);
        let kept = DestroyerRecord { frozen: frozen.clone(), ..record };
        for told in [None, found(&DestroyerRecord::default(), 3, None).as_ref()] {
            let anew = found(&kept, 4, told).unwrap();
            assert_eq!(anew.reason, "StoreRestored");
            assert_ne!(Some(&anew.digest), frozen.as_ref().map(|frozen| &frozen.digest));
        }
        assert_eq!(found(&kept, 9, None), None, "the store is not behind");
    }
}
