//! Approvals of AccessRoles, which review one or give it: reads the record and adds new ones. The decisions are in [`review`] and
//! [`given`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kube::{Client, ResourceExt as _};
use subrosa_crds::{AccessRole, Approval, TrustDomain};
use subrosa_plan::{
    record::{
        self,
        destroyer::SeenGuard,
        reviews::{ReviewMark, ReviewsRecord},
    },
    roles::{
        given, review,
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

/// The recorded Approvals of a trust domain.
pub struct Noted {
    /// The record.
    pub record: ReviewsRecord,
    /// The time zone of the TrustDomain.
    pub zone: TimeZone,
}

impl Noted {
    /// None.
    pub fn nothing() -> Self {
        Self { record: ReviewsRecord::default(), zone: TimeZone::UTC }
    }
}

/// Reads the recorded Approvals of `roles` and records new ones.
///
/// # Errors
/// When the request to Vault fails. An unreadable record counts as empty, so roles may become overdue, or nobody's.
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
    if roles.is_empty() {
        return Ok(Noted { zone, ..Noted::nothing() });
    }
    let store = Store::<ReviewsRecord>::new(own.kv.clone());
    let path = RecordPath::reviews();
    let record = match store.read(&path).await {
        Ok(entry) => entry.record.unwrap_or_default(),
        Err(error) if error.is_unreadable() || matches!(error, VaultError::PermissionDenied { .. }) => {
            tracing::warn!(domain = domain.name_any(), "the record of Approvals counts as empty: {error}");
            return Ok(Noted { record: ReviewsRecord::default(), zone });
        }
        Err(error) => return Err(fault(&error)),
    };
    let asks = |role: &Arc<AccessRole>| role.spec.review.is_some() || role.spec.granted_by.is_none();
    if record.given.is_empty() && !roles.iter().any(asks) {
        return Ok(Noted { record, zone });
    }
    // Without the admission policy no Approval counts.
    let version = guard.version(client).await.unwrap_or_else(|fault| {
        tracing::warn!(domain = domain.name_any(), "no Approval is recorded: {}", fault.message);
        None
    });
    let mut approvals = view.approvals.state();
    let people = RevokedPeople::of(view.revocations.state().iter().map(AsRef::as_ref));
    approvals.retain(|one| people.lets_count(one));
    let is_there: BTreeSet<_> = roles.iter().filter_map(|role| role.uid()).collect();
    let decide = |record: Option<ReviewsRecord>| {
        let mut record: ReviewsRecord = record.unwrap_or_default();
        let guarded_since = seen(&mut record.guard, version.as_deref(), now);
        let with = Approved { view, roles, approvals: &approvals, guarded_since, now };
        let (reviews, given) = (with.reviews(&record), with.given(&record));
        if !reviews.is_empty() || !given.is_empty() {
            record.roles.retain(|uid, _| is_there.contains(uid));
            record.given.retain(|uid, _| is_there.contains(uid));
        }
        let full = |approval: &str| {
            tracing::warn!(
                domain = domain.name_any(),
                approval,
                "an Approval is not recorded, since the record has no room for another AccessRole; next: have fewer AccessRoles that ask \
                 for one in this TrustDomain"
            );
        };
        for (uid, mark) in reviews {
            if record.roles.contains_key(&uid) || record::has_room(&record) {
                record.roles.insert(uid, mark);
            } else {
                full(&mark.approval);
            }
        }
        for (uid, mark) in given {
            if record.given.contains_key(&uid) || record::has_room(&record) {
                record.given.insert(uid, mark);
            } else {
                full(&mark.approval);
            }
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
            tracing::warn!(domain = domain.name_any(), "no Approval is recorded: {error}");
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

/// What Approvals are counted by.
struct Approved<'a> {
    view: &'a ClusterView,
    roles: &'a [Arc<AccessRole>],
    approvals: &'a [Arc<Approval>],
    guarded_since: Option<Timestamp>,
    now: Timestamp,
}

impl Approved<'_> {
    /// The reviews that are not noted yet.
    fn reviews(&self, record: &ReviewsRecord) -> BTreeMap<String, ReviewMark> {
        let mark = |role: &Arc<AccessRole>| {
            let uid = role.uid()?;
            let rights = self.view.rights(role).into_iter();
            let rights =
                rights.map(|(named, opened)| (named, opened.map_or_else(|right| right, |_| Right::Pending)));
            let digest = status::digest(role, &rights.collect());
            let approvals = self.approvals.iter().map(AsRef::as_ref);
            let noted = record.roles.get(&uid);
            let mark = review::counted(role, &digest, approvals, self.guarded_since, noted, self.now)?;
            tracing::info!(role = role.name_any(), approval = mark.approval, "the role was reviewed");
            Some((uid, mark))
        };
        let reviewed = self.roles.iter().filter(|role| role.spec.review.is_some());
        reviewed.filter_map(mark).collect()
    }

    /// Who gives a role by an Approval, and that somebody took it back.
    fn given(&self, record: &ReviewsRecord) -> BTreeMap<String, ReviewMark> {
        let mark = |role: &Arc<AccessRole>| {
            let uid = role.uid()?;
            let approvals = self.approvals.iter().map(AsRef::as_ref);
            let noted = record.given.get(&uid);
            let mark = given::noted(role, approvals, self.guarded_since, noted, self.now)?;
            tracing::info!(role = role.name_any(), approval = mark.approval, "who gives the role was noted");
            Some((uid, mark))
        };
        self.roles.iter().filter_map(mark).collect()
    }
}
