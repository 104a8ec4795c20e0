//! Tests of windows that have ended, whose keys were destroyed or are about to be.

use std::{fs, sync::Arc};

use jiff::Timestamp;
use object_store::memory::InMemory;
use subrosa_crds::backup::{BackupReport, BackupSettings};

use super::{
    check::{ReadData, check},
    fake::{FakeVault, GONE, SET_ASIDE, settings},
    manifest::{ManifestChain, VolumeSnapshot},
    problem::{BackupError, BackupProblem},
    progress::BytesDone,
    restore::{RestoreRequest, WhichRun, restore},
    run::{RunOptions, run},
    store::Bucket,
};

/// A window of long ago.
const ENDED: &str = "2020m01";

/// A Channel with one volume, and a run in a window of long ago.
struct Scene {
    directory: tempfile::TempDir,
    objects: Arc<InMemory>,
    vault: FakeVault,
    settings: BackupSettings,
}

impl Scene {
    async fn new() -> Self {
        let scene = Self {
            directory: tempfile::tempdir().unwrap(),
            objects: Arc::new(InMemory::new()),
            vault: FakeVault::default(),
            settings: settings("abcdefghijklmnop", &["recordings"]),
        };
        let volume = scene.directory.path().join("recordings");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("0001.wav"), "a call").unwrap();
        let old = VolumeSnapshot {
            name: "recordings".into(),
            snapshot: "00".into(),
            files: 1,
            bytes: 6,
            unreadable: 0,
            problem: None,
        };
        let at: Timestamp = "2020-01-15T02:15:00Z".parse().unwrap();
        let (chain, window) = (ManifestChain::default(), ENDED.parse().unwrap());
        let (store, settings) = (scene.store(), &scene.settings);
        chain.append(&store, &scene.vault, settings, (window, at), vec![old]).await.unwrap();
        scene
    }

    fn store(&self) -> Bucket {
        Bucket::over(Arc::clone(&self.objects) as _)
    }

    fn refuses(&self, what: &'static str) {
        self.vault.refuses.lock().unwrap().insert(ENDED.to_owned(), what);
    }

    async fn run(&self) -> BackupReport {
        let options = RunOptions {
            volumes: self.directory.path().to_owned(),
            dumps: self.directory.path().join("dumps"),
            mounted: false,
            allow_shrink: false,
            at_least: 1,
        };
        run(&self.store(), &self.vault, &self.settings, &options, &BytesDone::default()).await
    }

    async fn restore(&self, to: &str, run: WhichRun) -> Result<u64, BackupError> {
        let to = self.directory.path().join(to);
        let request = RestoreRequest { run, volume: None, to, overwrite: false, at_least: 1 };
        let done =
            restore(&self.store(), &self.vault, &self.settings, &request, &BytesDone::default()).await?;
        Ok(done.run)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_go_on_after_the_end_of_a_window() {
    let mut scene = Scene::new().await;
    scene.refuses(GONE);
    // Nobody destroyed it as far as the worker knows: its loss is told.
    assert_eq!(scene.run().await.reason.as_deref(), Some("KeyMissing"));
    scene.settings.destroyed = vec![ENDED.to_owned()];
    let report = scene.run().await;
    assert_eq!((report.run, report.reason), (Some(2), None));
    let chain = ManifestChain::read(&scene.store(), &scene.vault, &scene.settings, 2).await.unwrap();
    assert!(chain.is_destroyed(&chain.manifests()[0]) && !chain.is_destroyed(&chain.manifests()[1]));
    assert_eq!(scene.restore("newest", WhichRun::Newest).await.unwrap(), 2);
    assert_eq!(
        fs::read_to_string(scene.directory.path().join("newest/recordings/0001.wav")).unwrap(),
        "a call"
    );
    let refused = scene.restore("old", WhichRun::Number(1)).await.unwrap_err();
    assert_eq!(refused.problem, BackupProblem::KeyMissing);
    let wanted = (None, 2, ReadData::All);
    let checked =
        check(&scene.store(), &scene.vault, &scene.settings, wanted, &BytesDone::default()).await.unwrap();
    assert!(checked.is_good() && checked.repositories.len() == 1 && checked.manifests == 2, "{checked:?}");
    // A number that was there before is still missed.
    let few = ManifestChain::read(&scene.store(), &scene.vault, &scene.settings, 3).await.unwrap_err();
    assert_eq!(few.problem, BackupProblem::ManifestForged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_set_aside_holds_no_run_up() {
    let scene = Scene::new().await;
    scene.refuses(SET_ASIDE);
    assert_eq!(scene.run().await.run, Some(2));
    assert_eq!(scene.restore("newest", WhichRun::Newest).await.unwrap(), 2);
    assert_eq!(
        scene.restore("old", WhichRun::Number(1)).await.unwrap_err().problem,
        BackupProblem::KeyMissing
    );
}

/// Only the newest manifest of a destroyed window goes unsealed: one that somebody changed before it is seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_of_a_destroyed_window_cannot_be_changed_below_a_sealed_one() {
    let mut scene = Scene::new().await;
    scene.refuses(GONE);
    scene.settings.destroyed = vec![ENDED.to_owned()];
    assert_eq!(scene.run().await.run, Some(2));
    let name = "abcdefghijklmnop/manifests/0000000001.json";
    let text = String::from_utf8(scene.store().get(name).await.unwrap().unwrap().to_vec()).unwrap();
    let changed = text.replace("02:15", "02:16");
    assert_ne!(text, changed);
    let place = object_store::path::Path::from(name);
    object_store::ObjectStoreExt::put(&*scene.objects, &place, changed.into()).await.unwrap();
    assert_eq!(scene.run().await.reason.as_deref(), Some("ManifestForged"));
}
