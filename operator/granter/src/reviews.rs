//! Reviews of AccessRoles: reads the record and adds new reviews. The decisions are in [`review`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kube::{Client, ResourceExt as _};
use subrosa_crds::{AccessRole, Approval, TrustDomain};
use subrosa_plan::{
    record::{
        destroyer::SeenGuard,
        reviews::{ReviewMark, ReviewsRecord},
    },
    roles::{
        review,
        revoked::RevokedPeople,
        status::{self, Right},
    },
    world::{domain, fault::Fault},
};
use subrosa_process::{
    guard::GuardCheck,
    vault::{OwnVault, fault},
};
use subrosa_records::{
    store::Store,
    vault::{RecordPath, VaultError},
};

use crate::view::ClusterView;

/// How far ahead the clock of the API server, which dates Approvals, may be.
const CLOCKS: SignedDuration = SignedDuration::from_secs(5);

/// The recorded reviews of a trust domain.
pub struct Noted {
    /// The record.
    pub record: ReviewsRecord,
    /// The time zone of the TrustDomain.
    pub zone: TimeZone,
}

impl Noted {
    /// No reviews.
    pub fn nothing() -> Self {
        Self { record: ReviewsRecord::default(), zone: TimeZone::UTC }
    }
}

/// Reads the recorded reviews of `roles` and records new ones.
///
/// # Errors
/// When the request to Vault fails. An unreadable record counts as empty, so roles may become overdue.
pub async fn look(
    client: &Client,
    guard: &GuardCheck,
    view: &ClusterView,
    domain: &TrustDomain,
    own: &OwnVault,
    roles: &[Arc<AccessRole>],
    now: Timestamp,
) -> Result<Noted, Fault> {
    let zone = domain::time_zone(domain).unwrap_or(TimeZone::UTC);
    let reviewed: Vec<_> = roles.iter().filter(|role| role.spec.review.is_some()).collect();
    if reviewed.is_empty() {
        return Ok(Noted { zone, ..Noted::nothing() });
    }
    let store = Store::<ReviewsRecord>::new(own.kv.clone());
    let path = RecordPath::reviews();
    let record = match store.read(&path).await {
        Ok(entry) => entry.record.unwrap_or_default(),
        Err(error) if error.is_unreadable() || matches!(error, VaultError::PermissionDenied { .. }) => {
            tracing::warn!(domain = domain.name_any(), "the record of reviews counts as empty: {error}");
            return Ok(Noted { record: ReviewsRecord::default(), zone });
        }
        Err(error) => return Err(fault(&error)),
    };
    // Without the admission policy no Approval counts.
    let version = guard.version(client).await.unwrap_or_else(|fault| {
        tracing::warn!(domain = domain.name_any(), "no review is recorded: {}", fault.message);
        None
    });
    let mut approvals = view.approvals.state();
    let people = RevokedPeople::of(view.revocations.state().iter().map(AsRef::as_ref));
    approvals.retain(|one| people.lets_count(one));
    let is_there: BTreeSet<_> = roles.iter().filter_map(|role| role.uid()).collect();
    let decide = |record: Option<ReviewsRecord>| {
        let mut record = record.unwrap_or_default();
        let guarded_since = seen(&mut record.guard, version.as_deref(), now);
        let marks = marks(view, &reviewed, &approvals, &record, guarded_since, now);
        if !marks.is_empty() {
            record.roles.retain(|uid, _| is_there.contains(uid));
            record.roles.extend(marks);
        }
        record
    };
    if decide(Some(record.clone())) == record {
        return Ok(Noted { record, zone });
    }
    match store.transaction(&path, |record| Some(decide(record))).await {
        Ok(entry) => Ok(Noted { record: entry.record.unwrap_or_default(), zone }),
        // What is withdrawn does not wait for it.
        Err(error) => {
            tracing::warn!(domain = domain.name_any(), "no review is recorded: {error}");
            Ok(Noted { record, zone })
        }
    }
}

/// Records the admission policy of Approvals; returns since when it is as it is now, or `None` while it is missing or
/// edited.
pub fn seen(guard: &mut Option<SeenGuard>, version: Option<&str>, now: Timestamp) -> Option<Timestamp> {
    let version = version?;
    if guard.as_ref().map(|guard| guard.version.as_str()) != Some(version) {
        let since = now.saturating_add(CLOCKS).unwrap_or(now);
        *guard = Some(SeenGuard { version: version.to_owned(), since });
    }
    guard.as_ref().map(|guard| guard.since)
}

fn marks(
    view: &ClusterView,
    roles: &[&Arc<AccessRole>],
    approvals: &[Arc<Approval>],
    record: &ReviewsRecord,
    guarded_since: Option<Timestamp>,
    now: Timestamp,
) -> BTreeMap<String, ReviewMark> {
    let mark = |role: &&Arc<AccessRole>| {
        let uid = role.uid()?;
        let rights = view.opened(role).into_iter();
        let rights =
            rights.map(|(pair, opened)| (pair, opened.map_or_else(|right| right, |_| Right::Pending)));
        let digest = status::digest(role, &rights.collect());
        let approvals = approvals.iter().map(AsRef::as_ref);
        let mark = review::counted(role, &digest, approvals, guarded_since, record.roles.get(&uid), now)?;
        tracing::info!(role = role.name_any(), approval = mark.approval, "the role was reviewed");
        Some((uid, mark))
    };
    roles.iter().filter_map(mark).collect()
}
