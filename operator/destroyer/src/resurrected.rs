//! Destroyed keys that exist in Vault again, from a snapshot or from a backup of the key.
//!
//! Finished lists are read page by page and compared with the names of all keys, so that twenty years of lists need
//! neither a request for each key nor memory for all.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{Reason, TrustDomain, destruction::KeyOutcome, names::DataKeyName};
use subrosa_plan::{
    destruction::{settled, status},
    world::fault::Fault,
};
use subrosa_records::vault::VaultError;

use crate::{
    cluster::ClusterApi,
    report::{self, StatusReporter},
    vault::{self, DestroyerVault},
};

/// How long one look reads finished lists.
const MOST_TIME: Duration = Duration::from_secs(10);

/// The progress through the finished lists since the keys were listed.
#[derive(Debug, Default)]
pub enum FinishedWalk {
    /// The next page to read.
    From {
        /// Its token; `None` for the first page.
        page: Option<String>,
        /// The names of all keys.
        there: HashSet<String>,
    },
    /// All pages were read.
    #[default]
    Done,
}

/// Reads the finished lists of `domain` as far as time allows, and notes in their status which keys came back or are
/// gone again. The next look continues here.
///
/// A key that Vault refuses to show stops no other: it counts as it was told before.
///
/// # Errors
/// When Vault does not answer: the same page is read again. When the API server does not: the walk restarts.
pub async fn look(
    cluster: &ClusterApi,
    reporter: &StatusReporter,
    vault: &DestroyerVault,
    domain: &TrustDomain,
    walk: &mut FinishedWalk,
    now: Timestamp,
) -> Result<(), Fault> {
    let began = Instant::now();
    while let FinishedWalk::From { page: token, there } = walk {
        let read = cluster.destructions_page(token.clone()).await;
        // A rejected token is not used again.
        let (page, next) = read.inspect_err(|_| *token = None)?;
        for one in page.iter().filter(|one| one.spec.trust_domain == domain.name_any()) {
            let Some(before) = one.status.as_ref().filter(|status| status::is_settled(status)) else {
                continue;
            };
            let mut back = Vec::new();
            for key in before.keys.iter().filter(|key| key.destroyed_at.is_some()) {
                let named = named(key).filter(|name| there.contains(name.to_string().as_str()));
                if let Some(name) = named
                    && is_back_or_was(vault, &name, key).await?
                {
                    back.push(key);
                }
            }
            let kept = report::snapshots_kept(domain);
            reporter.destruction(one, settled::settled(one, before, &back, kept, now)).await;
        }
        match next {
            Some(next) => *token = Some(next),
            None => *walk = FinishedWalk::Done,
        }
        if began.elapsed() > MOST_TIME {
            break;
        }
    }
    Ok(())
}

/// The key's name.
pub fn named(key: &KeyOutcome) -> Option<DataKeyName> {
    key.key_name().parse().ok()
}

/// Whether a key is back; whether it was told to be, where Vault refuses to show it.
///
/// # Errors
/// When Vault does not answer.
pub async fn is_back_or_was(
    vault: &DestroyerVault,
    name: &DataKeyName,
    key: &KeyOutcome,
) -> Result<bool, Fault> {
    match is_back(vault, name, key).await {
        Ok(is_back) => Ok(is_back),
        Err(error) if error.is_of_one_request() => {
            tracing::warn!(key = %name, "whether a destroyed key is back is not known: {error}");
            Ok(key.state == Reason::Resurrected.as_str())
        }
        Err(error) => Err(vault::fault(&error)),
    }
}

/// Whether Vault has the destroyed key itself: its first version has the same creation time, or does not show it.
async fn is_back(vault: &DestroyerVault, name: &DataKeyName, key: &KeyOutcome) -> Result<bool, VaultError> {
    let seen = vault.keys.read_key(name).await?;
    Ok(seen.is_some_and(|seen| match seen.versions.get(&1) {
        Some(first) => key.created_at.as_deref() == Some(first.created.to_string().as_str()),
        // Without a creation time it must be assumed to be the same key.
        None => true,
    }))
}
