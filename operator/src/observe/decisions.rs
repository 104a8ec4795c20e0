//! The destroyer's decisions, as explanation for keys that look faulty.

use jiff::{Timestamp, civil::Date};
use subrosa_crds::{cohort::Cohort, names::ChannelId};
use subrosa_plan::{record::decision::DecisionRecord, world::key_fault::KeyFault};
use subrosa_records::vault::{ClassName, RecordPath, VaultError};

use super::DomainVault;

/// Whether a decision explains a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// No decision explains it.
    Nothing,
    /// An approved destruction is in progress.
    UnderWay,
    /// The destroyer confirmed that the key is gone.
    Destroyed,
}

/// Whether the destroyer's decision explains this fault of the key whose first version was made at `first`.
///
/// # Errors
/// When the request to Vault fails.
pub async fn explains(
    vault: &DomainVault,
    (id, class, cohort): (&ChannelId, &str, Cohort),
    fault: KeyFault,
    first: Option<Timestamp>,
) -> Result<Decided, VaultError> {
    if !matches!(fault, KeyFault::Missing | KeyFault::SoftDeleted | KeyFault::DeletionAllowed) {
        return Ok(Decided::Nothing);
    }
    let record = decision(vault, (id, class, cohort)).await?;
    Ok(record.map_or(Decided::Nothing, |record| judged(&record, fault, first)))
}

/// Whether the destroyer confirmed that the key is gone.
///
/// # Errors
/// When the request to Vault fails.
pub async fn is_destroyed(
    vault: &DomainVault,
    (id, class, cohort): (&ChannelId, &str, Cohort),
) -> Result<bool, VaultError> {
    Ok(decision(vault, (id, class, cohort)).await?.is_some_and(|record| record.destroyed().is_some()))
}

/// The due day that the destroyer recorded when it first saw the key.
///
/// # Errors
/// When the request to Vault fails.
pub async fn first_day(
    vault: &DomainVault,
    (id, class, cohort): (&ChannelId, &str, Cohort),
) -> Result<Option<Date>, VaultError> {
    Ok(decision(vault, (id, class, cohort)).await?.and_then(|record| record.due))
}

/// The decision about a key; `None` where there is none or it cannot be read.
async fn decision(
    vault: &DomainVault,
    (id, class, cohort): (&ChannelId, &str, Cohort),
) -> Result<Option<DecisionRecord>, VaultError> {
    let path = RecordPath::decision(id, &ClassName::new(class)?, cohort);
    let read = vault.decisions.read(&path).await;
    vault.decisions.forget(&path);
    match read {
        Ok(entry) => Ok(entry.record),
        // Vault was set up for an earlier release, which decided nothing.
        Err(VaultError::PermissionDenied { .. }) => Ok(None),
        Err(error) if error.is_unreadable() => Ok(None),
        Err(error) => Err(error),
    }
}

fn judged(record: &DecisionRecord, fault: KeyFault, first: Option<Timestamp>) -> Decided {
    let Some(mark) = &record.destruction else { return Decided::Nothing };
    // Another key of the same name is not explained by the destruction of the first.
    if first.is_some_and(|first| first != mark.created) {
        return Decided::Nothing;
    }
    match fault {
        KeyFault::Missing if mark.destroyed.is_some() => Decided::Destroyed,
        KeyFault::Missing if mark.condemned.is_some() => Decided::UnderWay,
        KeyFault::SoftDeleted if mark.destroyed.is_none() => Decided::UnderWay,
        KeyFault::DeletionAllowed if mark.condemned.is_some() && mark.destroyed.is_none() => {
            Decided::UnderWay
        }
        _ => Decided::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn decided(mark: Value, fault: KeyFault, first: Option<&str>) -> Decided {
        let mut whole = json!({
            "name": "p.20270201.a", "uid": "u", "digest": "d", "approvedBy": [], "created": "2026-11-01T00:00:00Z",
            "canary": "vault:v1:x", "intended": "2027-02-01T00:00:00Z",
        });
        for (field, value) in mark.as_object().unwrap() {
            whole[field] = value.clone();
        }
        let record = json!({"channel": {"namespace": "cc-front", "name": "voice"}, "destruction": whole});
        judged(&serde_json::from_value(record).unwrap(), fault, first.map(|first| first.parse().unwrap()))
    }

    #[test]
    fn only_what_was_decided_about_this_key_explains_it() {
        let (made, other) = (Some("2026-11-01T00:00:00Z"), Some("2026-11-02T00:00:00Z"));
        let at = json!("2027-02-20T00:00:00Z");
        let (condemned, destroyed) = (json!({"condemned": at}), json!({"condemned": at, "destroyed": at}));
        assert_eq!(decided(destroyed.clone(), KeyFault::Missing, made), Decided::Destroyed);
        assert_eq!(decided(destroyed.clone(), KeyFault::Missing, None), Decided::Destroyed);
        assert_eq!(decided(destroyed.clone(), KeyFault::Missing, other), Decided::Nothing);
        assert_eq!(decided(condemned.clone(), KeyFault::Missing, made), Decided::UnderWay);
        assert_eq!(decided(json!({}), KeyFault::Missing, made), Decided::Nothing, "somebody else took it");
        assert_eq!(decided(json!({}), KeyFault::SoftDeleted, made), Decided::UnderWay);
        assert_eq!(decided(json!({}), KeyFault::DeletionAllowed, made), Decided::Nothing);
        assert_eq!(decided(condemned, KeyFault::DeletionAllowed, made), Decided::UnderWay);
        // Back from a snapshot: the destroyer tells of it, and it is a fault here too.
        assert_eq!(decided(destroyed, KeyFault::SoftDeleted, made), Decided::Nothing);
    }
}
