//! Finds keys whose data is due among the ended cohorts, also of deleted Channels.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use kube::ResourceExt as _;
use subrosa_crds::{RetentionPolicy, TrustDomain, common::ConfigMapKey, names::DataKeyName};
use subrosa_destroyer::cluster::{MIRROR, Told};
use subrosa_plan::{
    destruction::listing::{self, DueKey},
    record::{channel::ChannelRecord, destroyer::BindingRules, ended::Ended, keys::KeysOfMonth},
    world::{World, domain},
};
use subrosa_records::vault::{ClassName, MonthName, RecordPath, VaultError};

use super::{DomainVault, decisions};

/// The inputs that decide whether keys of a trust domain are due.
#[derive(Clone, Debug)]
pub struct DueRules {
    /// The policies that the trust domain allows.
    pub policies: BTreeMap<String, RetentionPolicy>,
    /// The binding rules of each policy, as published by the destroyer.
    rules: BTreeMap<String, BindingRules>,
    today: Date,
}

impl DueRules {
    /// Reads them from the watches.
    pub fn of(trust_domain: &TrustDomain, world: &World, now: Timestamp) -> Self {
        let allowed = trust_domain.spec.retention_policies.iter();
        let policies =
            allowed.filter_map(|name| Some((name.clone(), (**world.retention.get(name)?).clone())));
        Self {
            policies: policies.collect(),
            rules: told(&trust_domain.name_any(), world).map(|told| told.rules).unwrap_or_default(),
            today: domain::today(trust_domain, now),
        }
    }
}

/// What the destroyer published about a trust domain.
pub fn told(domain: &str, world: &World) -> Option<Told> {
    let key = ConfigMapKey { config_map: MIRROR.to_owned(), key: domain.to_owned() };
    serde_json::from_str(&world.bundles.get(&key)?.text).ok()
}

/// The due keys. Reads every record of an ended cohort, because a key's policy may be gone and then only the record
/// has its day.
///
/// # Errors
/// When the request to Vault fails. Unreadable records are reported elsewhere and do not stop the others.
pub async fn look(vault: &DomainVault, terms: &DueRules) -> Result<Vec<DueKey>, VaultError> {
    let mut due = Vec::new();
    for id in vault.channel_records.list().await? {
        let record = match vault.channel_records.get(&id).await {
            Ok(entry) => entry.record,
            Err(error) if error.is_unreadable() => None,
            Err(error) => return Err(error),
        };
        if let Some(record) = record {
            due.extend(of_channel(vault, &record, terms).await?);
        }
    }
    Ok(due)
}

async fn of_channel(
    vault: &DomainVault,
    record: &ChannelRecord,
    terms: &DueRules,
) -> Result<Vec<DueKey>, VaultError> {
    let id = record.id();
    let mut months: BTreeMap<RecordPath, Option<KeysOfMonth>> = BTreeMap::new();
    let mut due = Vec::new();
    // Nobody closes the active keys of a deleted Channel, but their cohorts end all the same.
    let in_use = record.active().filter(|(_, cohort)| cohort.end().is_ok_and(|end| end <= terms.today));
    for (class, cohort) in record.ended.iter().flat_map(Ended::iter).chain(in_use) {
        let path = RecordPath::keys(&id, &ClassName::new(class)?, &MonthName::new(cohort.month())?);
        if !months.contains_key(&path) {
            let read = vault.key_records.read(&path).await;
            vault.key_records.forget(&path);
            let month = match read {
                Ok(entry) => entry.record,
                Err(error) if error.is_unreadable() => None,
                Err(error) => return Err(error),
            };
            months.insert(path.clone(), month);
        }
        let month = months.get(&path).and_then(Option::as_ref);
        let Some(key) = month.and_then(|month| month.keys.get(&cohort.to_string())) else { continue };
        let name = DataKeyName { id: id.clone(), class: class.to_owned(), cohort };
        // An earlier release recorded no day for open cohorts. If the policy is gone, the destroyer's record has the
        // day.
        let first = match (key.due.or(key.reseal_by), cohort.is_open()) {
            (None, true) => decisions::first_day(vault, (&id, class, cohort)).await?,
            (known, _) => known,
        };
        let found =
            listing::due(&record.channel, &name, key, &terms.policies, &terms.rules, first, terms.today);
        due.extend(found);
    }
    Ok(due)
}
