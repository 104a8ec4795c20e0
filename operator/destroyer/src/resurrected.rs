//! Keys that were destroyed and that Vault has again: from a snapshot, or from a backup of the key.
//!
//! Lists that are done are read a page at a time and held against the names of all keys, so that twenty years of them take
//! neither a request a key nor the memory for all.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{TrustDomain, destruction::KeyOutcome, names::DataKeyName};
use subrosa_plan::{
    destruction::{settled, status},
    world::fault::Fault,
};

use crate::{
    cluster::Cluster,
    report::{self, Reporter},
    vault::{self, Connection},
};

/// For how long lists that are done are read in one look.
const MOST_TIME: Duration = Duration::from_secs(10);

/// How far the lists that are done were looked at since the keys were listed.
#[derive(Debug, Default)]
pub enum Walk {
    /// As far as a page of them, which is read next.
    From {
        /// The token of the page; none for the first.
        page: Option<String>,
        /// The names of all keys.
        there: HashSet<String>,
    },
    /// Each was looked at.
    #[default]
    Done,
}

/// Looks at the lists of `domain` that are done, as far as there is time, and says in their status which of their keys are
/// back, or no longer. The next look goes on where this one ended.
///
/// # Errors
/// When Vault does not say, and the same page is read again; when the API server does not, and the walk begins anew.
pub async fn look(
    cluster: &Cluster,
    reporter: &Reporter,
    vault: &Connection,
    domain: &TrustDomain,
    walk: &mut Walk,
    now: Timestamp,
) -> Result<(), Fault> {
    let began = Instant::now();
    while let Walk::From { page: token, there } = walk {
        let read = cluster.destructions_page(token.clone()).await;
        // A token that is refused is not asked for again.
        let (page, next) = read.inspect_err(|_| *token = None)?;
        for one in page.iter().filter(|one| one.spec.trust_domain == domain.name_any()) {
            let Some(before) = one.status.as_ref().filter(|status| status::is_settled(status)) else {
                continue;
            };
            let mut back = Vec::new();
            for key in before.keys.iter().filter(|key| key.destroyed_at.is_some()) {
                let named = named(key).filter(|name| there.contains(name.to_string().as_str()));
                if let Some(name) = named
                    && is_back(vault, &name, key).await?
                {
                    back.push(key);
                }
            }
            let kept = report::snapshots_kept(domain);
            reporter.destruction(one, settled::settled(one, before, &back, kept, now)).await;
        }
        match next {
            Some(next) => *token = Some(next),
            None => *walk = Walk::Done,
        }
        if began.elapsed() > MOST_TIME {
            break;
        }
    }
    Ok(())
}

/// The key's name.
pub fn named(key: &KeyOutcome) -> Option<DataKeyName> {
    format!("{}.{}.{}", key.id, key.data_class, key.cohort).parse().ok()
}

/// Whether Vault has the very key that was destroyed: its first version is of the same time, or withheld.
pub async fn is_back(vault: &Connection, name: &DataKeyName, key: &KeyOutcome) -> Result<bool, Fault> {
    let seen = vault.keys.read_key(name).await.map_err(|error| vault::fault(&error))?;
    Ok(seen.is_some_and(|seen| match seen.versions.get(&1) {
        Some(first) => key.created_at.as_deref() == Some(first.created.to_string().as_str()),
        // Nobody can say that it is another one.
        None => true,
    }))
}
