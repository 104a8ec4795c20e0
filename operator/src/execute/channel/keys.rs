//! The data keys of a Channel and their records.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use subrosa_crds::{Reason, RetentionPolicy, cohort::Cohort};
use subrosa_plan::{
    keys as decide,
    keys::{ObservedKey, WantedKey, import},
    record::{
        channel::{ActiveKey, ChannelRecord},
        ended::Ended,
        keys::{KeyRecord, KeysOfMonth},
    },
    world::{domain, fault::Fault},
};
use subrosa_records::vault::{ClassName, Folder, MonthName, RecordPath, VaultError};

use super::{Work, later};
use crate::{
    execute::keys,
    observe::{DomainVault, vaults},
};

/// How long keys of past cohorts wait after a failure.
const IMPORT_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// The changes to records of keys: by class and month, then by cohort.
type NotedKeys = BTreeMap<(String, String), Vec<(Cohort, KeyRecord)>>;

impl Work<'_> {
    /// Makes the keys as planned and records each. Keys of ended cohorts stop rotating and stay only in their own
    /// records.
    pub(super) async fn keys(
        &mut self,
        record: &mut ChannelRecord,
    ) -> Result<BTreeMap<String, ObservedKey>, Fault> {
        let plan = self.plan;
        let Some(validated) = &plan.validated else { return Ok(BTreeMap::new()) };
        let policy = validated.kept_by();
        self.recall(&plan.keys, record).await?;
        let (found, made) = keys::carry_out(self.vault, &plan.keys, record, self.now).await;
        let imported = self.imports(record);
        let stay: Vec<_> = plan.keys.iter().chain(&imported).cloned().collect();
        // Record every key that was made, even if Vault refused others: an unrecorded key that gets deleted would be
        // made anew unnoticed.
        self.note_made(&plan.keys, &found, &stay, policy, record).await?;
        made?;
        if let Some(policy) = policy
            && let Err(fault) = self.import(&imported, policy, record).await
        {
            // The keys in use are fine; status counts those that remain to be imported.
            let channel = self.name().to_string();
            tracing::warn!(channel, reason = fault.reason.as_str(), "encryption.import: {}", fault.message);
            self.wake.push(later(self.now, IMPORT_AGAIN));
        }
        Ok(found)
    }

    /// The next keys of past cohorts that the Channel imports.
    fn imports(&self, record: &ChannelRecord) -> Vec<WantedKey> {
        let plan = self.plan;
        let policy = plan.validated.as_ref().and_then(|validated| validated.retention.as_deref());
        let Some(policy) = policy else { return Vec::new() };
        let today = domain::today(&plan.domain, self.now);
        import::missing(self.channel, &plan.id, policy, record, today).take(import::AT_ONCE).collect()
    }

    /// Adds the keys of past cohorts that are made next to `record`, before it is written, so that a key is found
    /// even if the process dies right after making it.
    pub(super) fn intend_imports(&self, record: &mut ChannelRecord) {
        for key in self.imports(record) {
            record.key_mut(&key.class, key.cohort);
        }
    }

    /// Makes the `wanted` keys of past cohorts.
    async fn import(
        &mut self,
        wanted: &[WantedKey],
        policy: &RetentionPolicy,
        record: &mut ChannelRecord,
    ) -> Result<(), Fault> {
        let plan = self.plan;
        if wanted.is_empty() {
            return Ok(());
        }
        self.recall(wanted, record).await?;
        let (found, made) = keys::carry_out(self.vault, wanted, record, self.now).await;
        // Keys that could not be made stay intended.
        let left = wanted.iter().filter(|key| !found.contains_key(&key.name));
        let stay: Vec<_> = plan.keys.iter().chain(left).cloned().collect();
        self.note_made(wanted, &found, &stay, Some(policy), record).await?;
        made?;
        if wanted.len() == import::AT_ONCE {
            self.wake.push(self.now);
        }
        Ok(())
    }

    /// Records the keys that were made, and closes those that are not in `stay`, because no cohort uses them any
    /// more.
    async fn note_made(
        &mut self,
        wanted: &[WantedKey],
        found: &BTreeMap<String, ObservedKey>,
        stay: &[WantedKey],
        policy: Option<&RetentionPolicy>,
        record: &mut ChannelRecord,
    ) -> Result<(), Fault> {
        let plan = self.plan;
        for key in wanted {
            let Some(seen) = found.get(&key.name) else { continue };
            let known = record.key_mut(&key.class, key.cohort);
            let newest = known.versions.len();
            known.versions.extend(seen.versions.clone());
            known.kept &= known.versions.len() == newest;
            let next = decide::next_rotation(key, seen);
            self.wake.extend(next.map(|next| later(next, decide::ROTATION_SLACK)));
        }
        // Keys for an import are closed at once.
        let (ending, closed) = keys::close(self.vault, decide::ending(record, stay)).await;
        let mut noted = NotedKeys::new();
        let mut note = |class: &str, cohort: Cohort, record| {
            noted.entry((class.to_owned(), cohort.month())).or_default().push((cohort, record));
        };
        for key in &plan.keys {
            // A key that Vault refused has no versions yet.
            let is_new = |known: &&ActiveKey| !known.kept && !known.versions.is_empty();
            let Some(known) = record.key(&key.class, key.cohort).filter(is_new) else { continue };
            note(
                &key.class,
                key.cohort,
                decide::key_record(&plan.id, &key.class, key.cohort, known, policy, None),
            );
        }
        for key in ending.iter().filter(|key| !key.known.versions.is_empty()) {
            let record =
                decide::key_record(&plan.id, &key.class, key.cohort, &key.known, policy, Some(self.now));
            note(&key.class, key.cohort, record);
        }
        self.keep(noted).await?;
        // Removed from the Channel's record only now that their own records have them.
        let ended: Vec<_> =
            ending.into_iter().map(|key| (key.class, key.cohort, !key.known.versions.is_empty())).collect();
        record.settle_keys(&ended);
        closed
    }

    /// Takes over from the keys' own records what the Channel's record lacks, so that no key is made twice, whatever
    /// happened to the Channel's record.
    async fn recall(&self, wanted: &[WantedKey], record: &mut ChannelRecord) -> Result<(), Fault> {
        if record.ended.is_none() {
            record.ended = Some(self.ended().await.map_err(|error| setup(self.vault, &error))?);
        }
        for key in wanted {
            let unknown = record.key(&key.class, key.cohort).is_none_or(|known| known.versions.is_empty());
            if !unknown {
                continue;
            }
            let path = self.path(&key.class, &key.cohort.month())?;
            let entry = self.vault.key_records.get(&path).await.map_err(|error| setup(self.vault, &error))?;
            let kept = entry.record.as_ref().and_then(|record| record.keys.get(&key.cohort.to_string()));
            if let Some(kept) = kept {
                record.key_mut(&key.class, key.cohort).versions.extend(kept.versions.clone());
            }
        }
        Ok(())
    }

    /// The ended cohorts, from the records of keys, for a Channel's record of a release without that field.
    async fn ended(&self) -> Result<Ended, VaultError> {
        let (kv, id) = (self.vault.kv(), &self.plan.id);
        let mut ended = Ended::default();
        for class in kv.list(&Folder::Classes(id.clone())).await? {
            let class = ClassName::new(class)?;
            for month in kv.list(&Folder::Months(id.clone(), class.clone())).await? {
                let path = RecordPath::keys(id, &class, &MonthName::new(month)?);
                let entry = self.vault.key_records.read(&path).await?;
                self.vault.key_records.forget(&path);
                for (cohort, key) in entry.record.map(|record| record.keys).unwrap_or_default() {
                    if let (Some(_), Ok(cohort)) = (key.closed, cohort.parse()) {
                        ended = ended.with(class.as_str(), cohort);
                    }
                }
            }
        }
        Ok(ended)
    }

    /// Writes the records of keys; a failure for one month does not stop the others.
    async fn keep(&self, noted: NotedKeys) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for ((class, month), records) in noted {
            let path = self.path(&class, &month)?;
            let written = self
                .vault
                .key_records
                .transaction(&path, |kept| {
                    let begun = kept.unwrap_or_else(|| KeysOfMonth::new(self.name().clone(), &class));
                    let all = records.iter().cloned();
                    Some(all.fold(begun, |month, (cohort, record)| month.with(cohort, record)))
                })
                .await;
            // The record is needed again only when a cohort begins or ends.
            self.vault.key_records.forget(&path);
            outcome = outcome.and(written.map(drop).map_err(|error| setup(self.vault, &error)));
        }
        outcome
    }

    fn path(&self, class: &str, month: &str) -> Result<RecordPath, Fault> {
        let invalid = |error: subrosa_records::vault::name::InvalidName| vaults::fault(&error.into());
        let (class, month) =
            (ClassName::new(class).map_err(invalid)?, MonthName::new(month).map_err(invalid)?);
        Ok(RecordPath::keys(&self.plan.id, &class, &month))
    }
}

/// An error about a record of keys. A missing right means that Vault was set up for an earlier release.
fn setup(vault: &DomainVault, error: &VaultError) -> Fault {
    match error {
        VaultError::PermissionDenied { .. } => Fault::new(
            Reason::SetupOutdated,
            format!("Vault was set up for an earlier release: {}", error.next_step()),
        ),
        other => vault.fault(other),
    }
}

#[cfg(test)]
mod tests;
