//! Which store the numbers of runs are of. Another endpoint or bucket has manifests of its own, from 1.

use sha2::Digest as _;
use subrosa_crds::{TrustDomain, trust_domain::StoreSpec};

use crate::record::backup::BackupRecord;

/// The most stores of before that are remembered.
const MOST: usize = 16;

/// The word for a bucket at an endpoint.
pub(super) fn word(store: &StoreSpec) -> String {
    let endpoint = store.endpoint.trim_end_matches('/');
    let digest = sha2::Sha256::digest(format!("{endpoint}\0{}", store.bucket));
    data_encoding::HEXLOWER.encode(digest.get(..8).unwrap_or_default())
}

/// The number of the newest run that is known to be in the store; 0 where none is.
pub(super) fn newest(known: &BackupRecord, store: &str) -> u64 {
    // A record of before did not say which: it was this one.
    let here = known.store.as_ref().is_none_or(|now| now == store);
    let success = known.success.as_ref().filter(|_| here).map_or(0, |run| run.run);
    success.max(known.left.get(store).copied().unwrap_or_default())
}

/// The record of the store that `domain` names. What is in another says nothing of this one: until a run has come there
/// is no backup, and the first is due by the schedule.
pub(super) fn noted(mut known: BackupRecord, domain: &TrustDomain) -> BackupRecord {
    let Some(backup) = &domain.spec.backup else { return known };
    let store = word(&backup.store);
    match known.store.replace(store.clone()) {
        Some(before) if before != store => {
            if let Some(run) = known.success.take() {
                let left = known.left.entry(before).or_default();
                *left = run.run.max(*left);
            }
            while known.left.len() > MOST {
                known.left.pop_first();
            }
            BackupRecord { failure: None, since: None, drill: None, ..known }
        }
        _ => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::backup::{FailedRun, SuccessfulRun},
        testing::{Scene, now},
    };
    use serde_json::json;

    fn at(endpoint: &str, bucket: &str) -> TrustDomain {
        let store = json!({"backup": {"store": {"endpoint": endpoint, "region": "eu-1", "bucket": bucket}}});
        let scene = Scene::new().domain(crate::testing::DOMAIN, store);
        TrustDomain::clone(&scene.world.domains[crate::testing::DOMAIN])
    }

    #[test]
    fn a_store_that_moved_has_no_backup_and_one_that_came_back_has_as_many_as_before() {
        let (here, there) = (at("https://s3.example.org", "a"), at("https://s3.example.org", "b"));
        let of = |domain: &TrustDomain| word(&domain.spec.backup.as_ref().unwrap().store);
        let run = SuccessfulRun { started: now(), run: 12, files: 1, bytes: 1 };
        let failure = FailedRun { started: now(), reason: None, message: "it said no".into() };
        // A record of before names no store.
        let known = BackupRecord {
            success: Some(run.clone()),
            failure: Some(failure),
            since: Some(now()),
            ..BackupRecord::default()
        };
        assert_eq!(newest(&known, &of(&here)), 12);
        let known = noted(known, &here);
        assert_eq!((known.store.as_ref(), known.success.as_ref()), (Some(&of(&here)), Some(&run)));
        assert_eq!((newest(&known, &of(&here)), newest(&known, &of(&there))), (12, 0));
        let moved = noted(known.clone(), &there);
        assert_eq!((moved.success.as_ref(), moved.failure.as_ref(), moved.since), (None, None, None));
        assert_eq!((newest(&moved, &of(&there)), newest(&moved, &of(&here))), (0, 12));
        let back = noted(moved, &here);
        assert_eq!(newest(&back, &of(&here)), 12, "fewer manifests in it were removed");
        // A slash at the end is the same place, another host is not.
        assert_eq!(of(&at("https://s3.example.org/", "a")), of(&here));
        assert_ne!(of(&at("https://s4.example.org", "a")), of(&here));
    }
}
