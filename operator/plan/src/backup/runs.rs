//! What the pods of backup workers tell of their runs.

use jiff::Timestamp;
use subrosa_crds::backup::BackupReport;

use super::drill;
use crate::{
    record::backup::{BackupRecord, FailedRun, SuccessfulRun, VerifiedRestore},
    world::{PodFacts, World, run::EndedRun},
};

/// The most that is kept of a message.
const MESSAGE: usize = 1024;
/// The most that is kept of a reason.
const WORD: usize = 64;

/// What `record` says after the runs that pods of `namespace` made for `channel`.
pub fn noted(mut record: BackupRecord, namespace: &str, channel: &str, world: &World) -> BackupRecord {
    let mut ended: Vec<_> = world
        .pods
        .get(namespace)
        .into_iter()
        .flat_map(|pods| pods.values())
        .filter(|pod| pod.labels.get(super::WORKER_LABEL).is_some_and(|of| of == channel))
        .filter_map(|pod| Some((began(pod)?, pod.run.as_deref()?, pod.labels.contains_key(drill::LABEL))))
        .collect();
    ended.sort_by_key(|(began, ..)| *began);
    for (began, run, is_drill) in ended {
        match success(run) {
            _ if !is_of(&record, run) => {}
            _ if is_drill => note_drill(&mut record, began, run),
            Some(success) => note_success(&mut record, success),
            None => {
                let (reason, message) = failure(run);
                note_failure(&mut record, FailedRun { started: began, reason, message });
            }
        }
    }
    record
}

fn began(pod: &PodFacts) -> Option<Timestamp> {
    match pod.run.as_deref() {
        Some(EndedRun::Reported(report)) => Some(report.started),
        _ => pod.started,
    }
}

/// What a drill proved, or why it did not. Where none are declared any more, that is of no interest.
fn note_drill(record: &mut BackupRecord, began: Timestamp, run: &EndedRun) {
    let Some(drills) = &mut record.drill else { return };
    let seen = drills.success.as_ref().is_some_and(|known| known.started >= began);
    let proof = match run {
        EndedRun::Reported(BackupReport { reason: None, drill: Some(proof), .. }) => proof,
        _ => {
            let known = drills.failure.as_ref().is_some_and(|known| known.started >= began);
            if !seen && !known {
                let (reason, message) = failure(run);
                drills.failure = Some(FailedRun { started: began, reason, message });
            }
            return;
        }
    };
    if seen {
        return;
    }
    if drills.failure.as_ref().is_some_and(|failed| failed.started <= began) {
        drills.failure = None;
    }
    drills.success = Some(VerifiedRestore {
        started: began,
        run: proof.run,
        time: proof.time,
        recovery_seconds: proof.recovery_seconds,
        recovery_point_seconds: proof.recovery_point_seconds,
    });
}

/// Whether a run is of the store that the record is of. A run that could not read its settings names none.
fn is_of(record: &BackupRecord, run: &EndedRun) -> bool {
    match (&record.store, run) {
        (Some(store), EndedRun::Reported(report)) => match &report.store {
            Some(of) => of == store,
            None => report.run.is_none() && report.drill.is_none(),
        },
        _ => true,
    }
}

/// A run counts where it wrote a signed manifest, and gives no reason why it does not.
fn success(run: &EndedRun) -> Option<SuccessfulRun> {
    let EndedRun::Reported(report) = run else { return None };
    let number = report.run.filter(|_| report.reason.is_none() && !report.volumes.is_empty())?;
    let sum = |of: fn(&subrosa_crds::backup::VolumeReport) -> u64| {
        report.volumes.iter().map(of).fold(0_u64, u64::saturating_add)
    };
    Some(SuccessfulRun {
        started: report.started,
        run: number,
        files: sum(|volume| volume.files),
        bytes: sum(|volume| volume.bytes),
    })
}

/// Numbers of manifests only grow, so a pod that is seen again takes nothing back.
fn note_success(record: &mut BackupRecord, success: SuccessfulRun) {
    if record.success.as_ref().is_some_and(|known| known.run >= success.run) {
        return;
    }
    if record.failure.as_ref().is_some_and(|failed| failed.started <= success.started) {
        record.failure = None;
    }
    record.success = Some(success);
}

fn note_failure(record: &mut BackupRecord, failed: FailedRun) {
    let later = record.success.as_ref().is_some_and(|known| known.started >= failed.started);
    let known = record.failure.as_ref().is_some_and(|known| known.started >= failed.started);
    if !later && !known {
        record.failure = Some(failed);
    }
}

/// Why a run failed: the word of its report, and what is so.
fn failure(run: &EndedRun) -> (Option<String>, String) {
    let (reason, text) = match run {
        EndedRun::Reported(BackupReport { reason, message, .. }) => {
            let unsaid = "it does not say why: read the log of its pod";
            (reason.as_deref(), message.as_deref().unwrap_or(unsaid).to_owned())
        }
        EndedRun::Silent { exit_code, reason } => {
            let text = format!(
                "its container ended with exit code {exit_code} ({reason}) and left no report: read the log of its pod"
            );
            (None, text)
        }
    };
    let plain = |text: &str, most: usize| -> String {
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(most).collect()
    };
    (reason.map(|reason| plain(reason, WORD)), plain(&text, MESSAGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;
    use std::collections::BTreeMap;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn report(second: i64, run: Option<u64>, reason: Option<&str>) -> EndedRun {
        let volume = |name: &str| subrosa_crds::backup::VolumeReport {
            name: name.into(),
            snapshot: "a".into(),
            files: 2,
            bytes: 30,
            unreadable: 0,
        };
        EndedRun::Reported(BackupReport {
            started: at(second),
            finished: at(second + 5),
            run,
            store: Some("here".into()),
            window: Some("2026m12".into()),
            reason: reason.map(str::to_owned),
            message: reason.map(|_| "line\nof text".to_owned()),
            volumes: vec![volume("one"), volume("two")],
            drill: None,
        })
    }

    fn seen(before: BackupRecord, runs: Vec<EndedRun>) -> BackupRecord {
        let mut scene = Scene::new();
        for (at, run) in runs.into_iter().enumerate() {
            let labels = BTreeMap::from([(crate::backup::WORKER_LABEL.to_owned(), "voice".to_owned())]);
            let facts = PodFacts { labels, run: Some(Box::new(run)), finished: true, ..PodFacts::default() };
            scene = scene.pod_with(&format!("cc-front/run-{at}"), facts);
        }
        noted(before, "cc-front", "voice", &scene.world)
    }

    #[test]
    fn the_newest_success_counts_and_ends_an_earlier_failure() {
        let failed = seen(BackupRecord::default(), vec![report(0, None, Some("StoreRefused"))]);
        let told = failed.failure.as_ref().unwrap();
        assert_eq!((told.reason.as_deref(), told.message.as_str()), (Some("StoreRefused"), "line of text"));
        assert!(failed.success.is_none());
        let good =
            seen(failed.clone(), vec![report(60, Some(1), None), report(0, None, Some("StoreRefused"))]);
        assert_eq!((good.success.as_ref().unwrap().files, good.failure.as_ref()), (4, None));
        // A pod that is still there tells nothing new, and one of before takes nothing back.
        assert_eq!(seen(good.clone(), vec![report(60, Some(1), None)]), good);
        assert_eq!(seen(good.clone(), vec![report(10, None, Some("StoreRefused"))]), good);
        let again = seen(good, vec![report(90, None, Some("StoreRefused"))]);
        assert!(again.failure.is_some() && again.success.is_some());
    }

    #[test]
    fn a_run_without_a_manifest_or_with_a_reason_is_no_backup() {
        for run in [
            report(0, None, None),
            report(0, Some(3), Some("VolumeEmpty")),
            EndedRun::Silent { exit_code: 137, reason: "OOMKilled".into() },
        ] {
            let record = seen(BackupRecord::default(), vec![run.clone()]);
            assert!(record.success.is_none(), "{run:?}");
        }
    }

    #[test]
    fn a_run_that_went_to_another_store_tells_nothing_of_this_one() {
        let of = |store: &str| BackupRecord { store: Some(store.into()), ..BackupRecord::default() };
        let runs = || vec![report(0, Some(12), None), report(60, None, Some("StoreRefused"))];
        assert_eq!(seen(of("there"), runs()), of("there"));
        assert_eq!(seen(of("here"), runs()).success.map(|run| run.run), Some(12));
        // One that says no store may have been of any; one that could not begin is told.
        let unnamed = |run, reason| match report(0, run, reason) {
            EndedRun::Reported(report) => EndedRun::Reported(BackupReport { store: None, ..report }),
            silent @ EndedRun::Silent { .. } => silent,
        };
        assert_eq!(seen(of("here"), vec![unnamed(Some(12), None)]), of("here"));
        assert!(seen(of("here"), vec![unnamed(None, Some("ConfigInvalid"))]).failure.is_some());
    }

    #[test]
    fn a_drill_proves_or_tells_why_not_and_is_no_backup() {
        let drilled = |before: BackupRecord, run: EndedRun| {
            let labels = [("subrosa.dev/backup", "voice"), (drill::LABEL, "voice")];
            let labels = labels.map(|(label, of)| (label.to_owned(), of.to_owned())).into();
            let facts = PodFacts { labels, run: Some(Box::new(run)), ..PodFacts::default() };
            noted(before, "cc-front", "voice", &Scene::new().pod_with("cc-front/drill", facts).world)
        };
        let proof = |second| match report(second, None, None) {
            EndedRun::Reported(report) => EndedRun::Reported(BackupReport {
                drill: Some(subrosa_crds::backup::DrillReport {
                    run: 3,
                    time: at(second - 600),
                    recovery_seconds: 5,
                    recovery_point_seconds: 600,
                    files: 4,
                    bytes: 60,
                }),
                ..report
            }),
            silent @ EndedRun::Silent { .. } => silent,
        };
        let declared = crate::record::backup::DrillRecord { since: at(0), success: None, failure: None };
        let before = BackupRecord { drill: Some(Box::new(declared)), ..BackupRecord::default() };
        let failed = drilled(before.clone(), report(10, None, Some("RepositoryDamaged")));
        let told = failed.drill.clone().unwrap().failure.unwrap();
        assert_eq!((told.reason.as_deref(), failed.failure), (Some("RepositoryDamaged"), None));
        let proven = drilled(before.clone(), proof(60));
        let drills = proven.drill.clone().unwrap();
        assert_eq!((drills.success.unwrap().run, drills.failure, &proven.success), (3, None, &None));
        assert_eq!(drilled(proven.clone(), report(20, None, Some("RunFailed"))), proven, "of before");
        let later = drilled(proven.clone(), report(90, None, Some("RunFailed"))).drill.unwrap();
        assert!(later.success.is_some() && later.failure.is_some());
        // A report without a proof proves nothing, also where it names no reason; without drills it is nobody's.
        assert!(drilled(before, report(60, Some(4), None)).drill.unwrap().failure.is_some());
        assert_eq!(drilled(BackupRecord::default(), proof(60)), BackupRecord::default());
    }

    #[test]
    fn pods_of_others_tell_nothing() {
        let facts = PodFacts { run: Some(Box::new(report(0, Some(1), None))), ..PodFacts::default() };
        let scene = Scene::new().pod_with("cc-front/other", facts);
        assert_eq!(
            noted(BackupRecord::default(), "cc-front", "voice", &scene.world),
            BackupRecord::default()
        );
    }
}
