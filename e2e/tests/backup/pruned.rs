//! What no key opens any more is removed from the store, with all its versions; nothing else is.

use std::fs;

use http::Method;
use serde_json::{Value, json};
use subrosa_crds::backup::{LockMode, ObjectLock};
use subrosa_worker::backup::{
    problem::BackupProblem,
    prune::{PruneReport, prune},
    versions::Remover,
};

use crate::{
    locked::{between, signed},
    scene::{Scene, Worker, noise, shared},
};

async fn key(scene: &Scene, method: &str, name: &str, body: Value) {
    scene.admin(method, &format!("transit/keys/{name}"), body).await;
}

async fn pruned(worker: &Worker<'_>, dry_run: bool) -> Result<PruneReport, BackupProblem> {
    let remover = Remover::open(&worker.settings.store, Some(&worker.credentials)).unwrap();
    let keys = worker.keys().await;
    prune(&remover, &keys, &worker.settings, dry_run).await.map_err(|error| error.problem)
}

/// A worker of its own identity, who made a run in a new bucket with versions, and the name of its window's key.
async fn backed_up<'a>(
    scene: &'a Scene,
    id: &str,
    bucket: &str,
    lock: Option<ObjectLock>,
) -> (Worker<'a>, String) {
    for window in crate::scene::windows() {
        key(scene, "POST", &format!("{id}b.subrosa-backup.{window}"), json!({"type": "aes256-gcm96"})).await;
    }
    let enabled = [("x-amz-bucket-object-lock-enabled", "true")];
    let (status, _, answer) = signed(scene, Method::PUT, bucket, &enabled).await;
    assert_eq!(status, 200, "{answer}");
    let mut worker = scene.worker(id, bucket).await;
    worker.settings.store.lock = lock;
    fs::write(scene.volume(bucket).join("file"), noise(200_000, 1)).unwrap();
    let report = worker.run(bucket).await;
    assert_eq!((report.run, &report.reason), (Some(1), &None), "{report:?}");
    let window = report.window.unwrap();
    let name = format!("{id}b.subrosa-backup.{window}");
    worker.settings.destroyed = vec![window];
    (worker, name)
}

async fn destroy(scene: &Scene, name: &str) {
    key(scene, "POST", &format!("{name}/config"), json!({"deletion_allowed": true})).await;
    key(scene, "DELETE", name, Value::Null).await;
}

async fn names(scene: &Scene, bucket: &str) -> Vec<String> {
    between(&signed(scene, Method::GET, &format!("{bucket}?versions="), &[]).await.2, "Key")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_goes_with_all_versions_once_vault_has_no_key_of_it() {
    let scene = shared().await;
    let (worker, name) = backed_up(scene, "aaaaaaaaaaaaaaac", "pruned", None).await;
    let before = names(scene, "pruned").await;
    assert!(before.len() >= 6, "{before:?}");
    // A deletion of somebody who did not name a version: what was there stays as a version.
    let config = before.iter().find(|name| name.ends_with("/config")).unwrap();
    let (status, _, answer) = signed(scene, Method::DELETE, &format!("pruned/{config}"), &[]).await;
    assert_eq!(status, 204, "{answer}");

    assert_eq!(pruned(&worker, false).await, Err(BackupProblem::KeyStillThere), "in use");
    key(scene, "DELETE", &format!("{name}/soft-delete"), Value::Null).await;
    assert_eq!(
        pruned(&worker, false).await,
        Err(BackupProblem::KeyStillThere),
        "its destruction may be called off"
    );
    key(scene, "POST", &format!("{name}/soft-delete-restore"), Value::Null).await;
    destroy(scene, &name).await;

    let would = pruned(&worker, true).await.unwrap();
    let now = names(scene, "pruned").await;
    assert_eq!(now.len(), before.len() + 1, "a marker more, and nothing less");
    let manifests = |names: &[String]| names.iter().filter(|name| name.contains("/manifests/")).count();
    let report = pruned(&worker, false).await.unwrap();
    assert_eq!(report, would);
    assert_eq!((report.windows.len(), report.windows[0].locked), (1, 0));
    assert!(report.windows[0].bytes > 200_000, "{report:?}");
    let left = names(scene, "pruned").await;
    assert_eq!((left.len(), manifests(&left)), (1, 1), "{left:?}");
    assert_eq!(pruned(&worker, false).await.unwrap(), PruneReport::default(), "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_stays_and_is_counted() {
    let scene = shared().await;
    let lock = ObjectLock { mode: LockMode::Compliance, days: 2 };
    let (worker, name) = backed_up(scene, "aaaaaaaaaaaaaaad", "pruned-locked", Some(lock)).await;
    destroy(scene, &name).await;
    let before = names(scene, "pruned-locked").await;
    let report = pruned(&worker, false).await.unwrap();
    let window = &report.windows[0];
    assert_eq!((window.removed, window.locked), (0, u64::try_from(before.len() - 1).unwrap()), "{report:?}");
    assert!(window.locked_until.is_some());
    assert_eq!(names(scene, "pruned-locked").await, before);
}
