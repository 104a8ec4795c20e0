//! One trust domain: the binding rules, the freeze, and the state kept between looks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use kube::ResourceExt as _;
use subrosa_crds::{LegalHold, Reason, TrustDomain, approval::TargetKind, condition::EFFECTIVE};
use subrosa_plan::{
    destruction::{
        freeze::{self, Counts},
        order, rules,
        status::Release,
        tally::{self, Tally, Target},
    },
    record::destroyer::{DestroyerRecord, Frozen, SeenGuard},
    world::fault::Fault,
};
use subrosa_records::{store::Entry, vault::RecordPath};

use crate::{
    cluster::{ClusterApi, LookInput, Told},
    resurrected::FinishedWalk,
    survey::KeySurvey,
    vault,
    vault::DestroyerVault,
};

/// How often the record is written even without changes, so that its version shows a restore of either side.
const WRITE_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// How long after the first sight of an admission policy an Approval must be made to count.
const GUARD_DELAY: SignedDuration = SignedDuration::from_secs(freeze::MOST_SKEW.as_secs() + 1);

/// The state of a trust domain that is kept between looks.
#[derive(Default)]
pub struct DomainState {
    /// The connection to its Vault.
    pub connection: Option<Arc<DestroyerVault>>,
    /// Its keys.
    pub survey: Option<KeySurvey>,
    /// The progress through the finished lists since the keys were listed, in search of keys that came back.
    pub walk: FinishedWalk,
    /// The UID of the Destruction at which the next look continues.
    pub cursor: Option<String>,
    /// A cache: why each policy cannot be kept, where it cannot; by its digest, the jurisdictions and the day.
    contradictions: BTreeMap<(String, Vec<String>, Date), Option<Fault>>,
    /// The time of the last look, by monotonic and wall clock.
    looked: Option<(Instant, Timestamp)>,
    /// For each Destruction, by UID, for which nothing could be done: when its keys were last checked, the reason,
    /// and the number of people who approved.
    pub rested: BTreeMap<String, (Timestamp, Reason, usize)>,
}

/// What binds in a trust domain during one look.
#[derive(Clone, Debug)]
pub struct LookTerms {
    /// The destroyer's current record.
    pub record: DestroyerRecord,
    /// Since when the admission policy for Approvals is unchanged; `None` while it is missing or edited.
    pub guarded_since: Option<Timestamp>,
    /// Why nothing is destroyed, where that is so.
    pub frozen: Option<Fault>,
    /// The time zone.
    pub zone: TimeZone,
    /// The time.
    pub now: Timestamp,
}

impl LookTerms {
    /// The day in the trust domain.
    pub fn today(&self) -> Date {
        self.now.to_zoned(self.zone.clone()).date()
    }
}

/// The inputs for counting Approvals, under the current admission policy.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'a> {
    /// What was read from the API server.
    pub seen: &'a LookInput,
    /// The user who lists what is due.
    pub requester: &'a str,
}

impl Asks<'_> {
    fn tally(self, target: &Target<'_>, guarded_since: Option<Timestamp>, now: Timestamp) -> Tally {
        tally::count(&self.seen.approvals, target, guarded_since, self.requester, now)
    }
}

impl DomainState {
    /// Reads the destroyer's record and writes what changed: binding rules, the admission policy that was seen, a
    /// freeze or its end, the time. The cluster gets the version of one write before the next write happens.
    ///
    /// # Errors
    /// When Vault or the API server does not answer: nothing is done then.
    /// When Vault or the API server does not say: nothing is done then.
    pub async fn bind(
        &mut self,
        cluster: &ClusterApi,
        vault: &DestroyerVault,
        domain: &TrustDomain,
        asks: Asks<'_>,
        now: Result<Timestamp, Fault>,
        local: Timestamp,
    ) -> Result<LookTerms, Fault> {
        let name = domain.name_any();
        let read = vault.own.read(&RecordPath::destroyer()).await.map_err(|error| vault::fault(&error))?;
        let told = cluster.told(&name).await?;
        let zone = subrosa_plan::world::domain::time_zone(domain).unwrap_or(TimeZone::UTC);
        let (at, clocks) = match now {
            Ok(now) => (now, None),
            Err(fault) => (local, Some(fault)),
        };
        let before = read.record.clone().unwrap_or_default();
        let mut record = before.clone();
        let mut waiting = BTreeMap::new();
        let mut may_tell = true;
        // While the clocks disagree, nothing that depends on the time is written.
        if clocks.is_none() {
            let counts = Counts { vault: read.version, cluster: told.as_ref().map(|told| told.version) };
            let told_freeze = told.as_ref().and_then(|told| told.frozen.as_ref());
            if let Some(frozen) = freeze::found(&before, counts, told_freeze, self.drift(), at) {
                tracing::error!(domain = name, reason = frozen.reason, "{}", frozen.message);
                record.frozen = Some(frozen);
                // Approving the end of this freeze says nothing about lists that a restored record names.
                record.asked.clear();
                // After a restore of Vault the cluster's copy is the evidence, until people have decided.
                self.survey = None;
            }
            if let Some(told) = &told {
                freeze::remember(&mut record, &told.rules, at.to_zoned(zone.clone()).date());
            }
            waiting = self.settle(&mut record, domain, asks, &zone, at);
            // While frozen the cluster keeps its version; otherwise a restored Vault would catch up with it
            // unnoticed.
            may_tell = record.frozen.is_none() || told.is_none();
            if before.frozen.is_some() && record.frozen.is_none() {
                // The cluster first: a crash between the two writes would otherwise find the older version and freeze
                // again.
                cluster
                    .tell(&name, &Told { version: read.version, ..told.clone().unwrap_or_default() })
                    .await?;
            }
        }
        // The last write may not have reached the cluster, because of a crash or a refusal.
        let is_behind = told.as_ref().map_or(0, |told| told.version) < read.version;
        if clocks.is_none() && record.frozen.is_none() && is_behind {
            cluster.tell(&name, &Told { version: read.version, ..told.clone().unwrap_or_default() }).await?;
        }
        let entry = self.write(vault, read, record, clocks.is_none(), at).await?;
        let record = entry.record.unwrap_or_default();
        let guarded_since = record
            .guard
            .as_ref()
            .filter(|guard| Some(&guard.version) == asks.seen.guard.as_ref())
            .map(|guard| guard.since);
        let tells = Told {
            version: if may_tell { entry.version } else { told.as_ref().map_or(0, |told| told.version) },
            frozen: record.frozen.clone(),
            approved: approved(&record),
            waiting,
            rules: record.rules.clone(),
            guarded_since,
            requester: asks.requester.to_owned(),
        };
        if clocks.is_none() && told.as_ref() != Some(&tells) {
            cluster.tell(&name, &tells).await?;
        }
        let frozen = clocks.or_else(|| record.frozen.as_ref().map(freeze::told));
        Ok(LookTerms { record, guarded_since, frozen, zone, now: at })
    }

    /// Why each policy that `domain` allows cannot be kept on `today`, by name; only those that cannot.
    pub fn contradictions(
        &mut self,
        domain: &TrustDomain,
        seen: &LookInput,
        today: Date,
    ) -> BTreeMap<String, Fault> {
        let mut before = std::mem::take(&mut self.contradictions);
        let mut found = BTreeMap::new();
        for policy in domain.spec.retention_policies.iter().filter_map(|name| seen.policies.get(name)) {
            let jurisdictions = &domain.spec.jurisdictions;
            let key = (rules::digest(policy), jurisdictions.clone(), today);
            let fault =
                before.remove(&key).unwrap_or_else(|| order::contradiction(policy, jurisdictions, today));
            found.extend(fault.clone().map(|fault| (policy.name_any(), fault)));
            self.contradictions.insert(key, fault);
        }
        found
    }

    /// The difference between wall clock and monotonic clock since the last look.
    fn drift(&mut self) -> SignedDuration {
        let (instant, wall) = (Instant::now(), Timestamp::now());
        let before = self.looked.replace((instant, wall));
        before.map_or(SignedDuration::ZERO, |(since, then)| {
            let passed =
                SignedDuration::try_from(instant.duration_since(since)).unwrap_or(SignedDuration::MAX);
            wall.duration_since(then).saturating_sub(passed)
        })
    }

    /// Updates the record at `now`; returns which rules of which policy wait for Approvals.
    fn settle(
        &self,
        record: &mut DestroyerRecord,
        domain: &TrustDomain,
        asks: Asks<'_>,
        zone: &TimeZone,
        now: Timestamp,
    ) -> BTreeMap<String, Vec<String>> {
        let version = asks.seen.guard.as_ref();
        if let Some(version) =
            version.filter(|version| record.guard.as_ref().map(|guard| &guard.version) != Some(version))
        {
            // The API server dates Approvals, and its clock may be ahead by the allowed skew.
            let since = now.saturating_add(GUARD_DELAY).unwrap_or(now);
            record.guard = Some(SeenGuard { version: version.clone(), since });
        }
        let guarded =
            record.guard.as_ref().filter(|guard| Some(&guard.version) == version).map(|guard| guard.since);
        let strictest = rules::strictest(record.rules.values());
        if let Some(frozen) = &record.frozen {
            let (name, uid) = (domain.name_any(), domain.uid().unwrap_or_default());
            let target =
                Target { kind: TargetKind::TrustDomain, name: &name, uid: &uid, digest: &frozen.digest };
            if asks.tally(&target, guarded, now).is_enough(strictest, now) {
                tracing::warn!(
                    domain = name,
                    reason = frozen.reason,
                    "people say that destruction may go on"
                );
                record.frozen = None;
                record.last_look = Some(now);
            }
        }
        if record.frozen.is_some() {
            return BTreeMap::new();
        }
        let is_open = |uid: &String| {
            asks.seen.destructions.iter().any(|one| one.metadata.uid.as_deref() == Some(uid.as_str()))
        };
        record.asked.retain(is_open);
        let mut waiting = BTreeMap::new();
        let today = now.to_zoned(zone.clone()).date();
        for policy in domain.spec.retention_policies.iter().filter_map(|name| asks.seen.policies.get(name)) {
            let (name, uid, digest) =
                (policy.name_any(), policy.uid().unwrap_or_default(), rules::digest(policy));
            let before = record.rules.get(&name);
            let target =
                Target { kind: TargetKind::RetentionPolicy, name: &name, uid: &uid, digest: &digest };
            let needed = before.map_or(i32::MAX, |before| before.approvals);
            let approved = asks.tally(&target, guarded, now).is_enough(needed, now);
            let bound = rules::bind(policy, before, approved, today);
            if !bound.waiting.is_empty() {
                waiting.insert(name.clone(), bound.waiting);
            }
            record.rules.insert(name, bound.rules);
        }
        waiting
    }

    async fn write(
        &self,
        vault: &DestroyerVault,
        read: Entry<DestroyerRecord>,
        mut record: DestroyerRecord,
        clocks_agree: bool,
        now: Timestamp,
    ) -> Result<Entry<DestroyerRecord>, Fault> {
        let before = read.record.clone().unwrap_or_default();
        let is_old = before.last_look.is_none_or(|last| now.duration_since(last) >= WRITE_EVERY);
        if clocks_agree && record.frozen.is_none() && (is_old || record != before) {
            record.last_look = Some(now);
        }
        if record == before && read.record.is_some() || !clocks_agree {
            return Ok(read);
        }
        vault
            .own
            .put(&RecordPath::destroyer(), record, read.version)
            .await
            .map_err(|error| vault::fault(&error))
    }
}

fn approved(record: &DestroyerRecord) -> BTreeMap<String, String> {
    let rules = record.rules.iter();
    rules.filter_map(|(name, rules)| Some((name.clone(), rules.approved.clone()?))).collect()
}

/// Changes the destroyer's record, and updates the cluster's copy before another write is possible.
///
/// # Errors
/// When Vault or the API server refuses.
pub async fn change(
    cluster: &ClusterApi,
    vault: &DestroyerVault,
    domain: &str,
    change: impl FnOnce(DestroyerRecord) -> DestroyerRecord,
) -> Result<(), Fault> {
    let path = RecordPath::destroyer();
    let read = vault.own.read(&path).await.map_err(|error| vault::fault(&error))?;
    let before = read.record.unwrap_or_default();
    let record = change(before.clone());
    if record == before {
        return Ok(());
    }
    let told = cluster.told(domain).await?.unwrap_or_default();
    // Overwriting the copy would lose the evidence that it had a later version.
    if told.version > read.version {
        let message = format!(
            "the destroyer's record has version {} in Vault and had {} before: the next look freezes",
            read.version, told.version
        );
        return Err(Fault::new(Reason::StoreRestored, message));
    }
    let entry = vault.own.put(&path, record, read.version).await.map_err(|error| vault::fault(&error))?;
    cluster.tell(domain, &Told { version: entry.version, ..told }).await
}

/// Freezes destruction because the breaker tripped for the lists in `asked`, and tells the cluster at once.
///
/// # Errors
/// When Vault or the API server does not take it: this look stops then.
pub async fn trip(
    cluster: &ClusterApi,
    vault: &DestroyerVault,
    domain: &str,
    frozen: &Frozen,
    asked: &BTreeSet<String>,
) -> Result<(), Fault> {
    let trip = |mut record: DestroyerRecord| {
        record.frozen.get_or_insert_with(|| frozen.clone());
        record.asked.extend(asked.iter().cloned());
        record
    };
    change(cluster, vault, domain, trip).await?;
    let told = cluster.told(domain).await?.unwrap_or_default();
    cluster.tell(domain, &Told { frozen: Some(frozen.clone()), ..told }).await
}

/// Writes the record once more after decisions were made, so that the cluster knows a later version than every
/// earlier snapshot of Vault. While frozen this waits.
///
/// # Errors
/// When Vault or the API server refuses: the next look tries again.
pub async fn count(
    cluster: &ClusterApi,
    vault: &DestroyerVault,
    domain: &str,
    bound: &LookTerms,
    now: Timestamp,
) -> Result<(), Fault> {
    if bound.frozen.is_some() || !vault.take_decided() {
        return Ok(());
    }
    let looked = |record| DestroyerRecord { last_look: Some(now), ..record };
    let counted = change(cluster, vault, domain, looked).await;
    if counted.is_err() {
        vault.note_decided();
    }
    counted
}

/// The Approvals for the release of a LegalHold; `None` while no release is requested.
pub fn release(hold: &LegalHold, asks: Asks<'_>, bound: &LookTerms) -> Option<Release> {
    if !hold.spec.is_released() {
        return None;
    }
    let (name, uid, digest) = (hold.name_any(), hold.uid().unwrap_or_default(), hold.spec.release_digest());
    let target = Target { kind: TargetKind::LegalHold, name: &name, uid: &uid, digest: &digest };
    let tally = asks.tally(&target, bound.guarded_since, bound.now);
    let need = rules::strictest(bound.record.rules.values());
    // A release that took effect stays when its Approvals expire; expired Approvals cannot cause one.
    let conditions = hold.status.iter().flat_map(|status| &status.conditions);
    let has_ended =
        conditions.filter(|one| one.type_ == EFFECTIVE).any(|one| Reason::of(one) == Some(Reason::Released));
    let approved = tally.is_enough(need, bound.now) || (has_ended && tally.still_stands(need));
    Some(Release { have: tally.valid(bound.now).len(), need, approved })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_goes_away_from_the_time_that_has_passed_is_seen() {
        let mut kept = DomainState::default();
        assert_eq!(kept.drift(), SignedDuration::ZERO, "nothing to compare with");
        assert!(kept.drift().abs() < SignedDuration::from_secs(10));
        for hours in [2, -2] {
            let away = SignedDuration::from_hours(hours);
            kept.looked = Some((Instant::now(), Timestamp::now() - away));
            assert!((kept.drift() - away).abs() < SignedDuration::from_secs(10));
            assert!(kept.drift().abs() < SignedDuration::from_secs(10), "told once");
        }
    }
}
