//! Back up, destroy, restore, compare; and a worker that is killed.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use subrosa_worker::backup::{
    check::{ReadData, check},
    progress::BytesDone,
    restore::WhichRun,
};

use crate::scene::{CANARY, ID, Scene, noise, shared, tree};

/// Files, links, modes, owners where this may be root, and holes.
fn fill(volume: &Path) {
    fs::write(volume.join("0001.wav"), noise(3_000_000, 1)).unwrap();
    fs::write(volume.join("0002.wav"), [noise(500_000, 2), CANARY.clone()].concat()).unwrap();
    fs::write(volume.join("empty"), "").unwrap();
    fs::create_dir_all(volume.join("pgdata/base")).unwrap();
    fs::write(volume.join("pgdata/base/1"), noise(20_000, 3)).unwrap();
    fs::set_permissions(volume.join("pgdata/base/1"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(volume.join("pgdata"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::hard_link(volume.join("0001.wav"), volume.join("pgdata/same")).unwrap();
    symlink("base/1", volume.join("pgdata/link")).unwrap();
    symlink("nowhere", volume.join("dangling")).unwrap();
    fs::File::create(volume.join("sparse")).unwrap().set_len(30 << 20).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(volume.join("pgdata/base/1"), Some(999), Some(998)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_destroyed_comes_back_byte_for_byte() {
    let scene = shared().await;
    let objects = scene.s3.bucket("whole").unwrap();
    let worker = scene.worker(ID, "whole").await;
    let volume = scene.volume("whole");
    fill(&volume);
    let before = tree(&volume);
    let report = worker.run("whole").await;
    assert_eq!((report.run, &report.reason), (Some(1), &None), "{report:?}");
    fs::write(volume.join("0003.wav"), noise(10_000, 4)).unwrap();
    let later = tree(&volume);
    let report = worker.run("whole").await;
    assert_eq!((report.run, &report.reason), (Some(2), &None), "{report:?}");

    fs::remove_dir_all(&volume).unwrap();
    let restored = worker.restore(&scene.at("whole/restored"), WhichRun::Newest).await.unwrap();
    assert_eq!(restored.run, 2);
    assert_eq!(tree(&scene.at("whole/restored/recordings")), later);
    worker.restore(&scene.at("whole/first"), WhichRun::Number(1)).await.unwrap();
    assert_eq!(tree(&scene.at("whole/first/recordings")), before);

    let (store, keys) = (worker.store().unwrap(), worker.keys().await);
    let wanted = (None, 2, ReadData::All);
    let checked = check(&store, &keys, &worker.settings, wanted, &BytesDone::default()).await.unwrap();
    assert!(checked.is_good(), "{checked:?}");

    let mut looked_at = 0;
    for (path, _) in tree(&objects) {
        let path = objects.join(path);
        if path.is_file() {
            looked_at += 1;
            let content = fs::read(&path).unwrap();
            let found = content.windows(CANARY.len()).any(|window| window == CANARY.as_slice());
            assert!(!found, "the content of a file is in {}", path.display());
        }
    }
    assert!(looked_at >= 8, "only {looked_at} objects");
}

/// The environment variable by which this program knows that it is the worker that is killed.
const AS_WORKER: &str = "SUBROSA_E2E_BACKUP_WORKER";

/// No test by itself: what the killed process does.
#[tokio::test(flavor = "multi_thread")]
async fn as_the_worker_that_is_killed() {
    let Ok(directory) = std::env::var(AS_WORKER) else { return };
    let status = crate::store::run_by_settings(Path::new(&directory)).await;
    assert_eq!(status.reason, None, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_at_any_write_leaves_what_the_next_continues() {
    let scene = shared().await;
    let objects = scene.s3.bucket("killed").unwrap();
    let worker = scene.worker(ID, "killed").await;
    let volume = scene.volume("killed");
    fill(&volume);
    crate::store::write_settings(&worker, &scene.at("killed"));
    let mut kills = 0;
    for number in 0..12 {
        // Each round has new data, so that there is something to write.
        fs::write(volume.join(format!("round-{number}")), noise(200_000, 50 + number)).unwrap();
        let before = count(&objects);
        if killed_after(&scene.at("killed"), &objects, before + 1 + usize::try_from(number % 6).unwrap()) {
            kills += 1;
        }
    }
    assert!(kills >= 5, "only {kills} were killed in time");
    let report = worker.run("killed").await;
    assert_eq!(report.reason, None, "{report:?}");
    worker.restore(&scene.at("killed/restored"), WhichRun::Newest).await.unwrap();
    assert_eq!(tree(&scene.at("killed/restored/recordings")), tree(&volume));
    let (store, keys) = (worker.store().unwrap(), worker.keys().await);
    let wanted = (None, 0, ReadData::All);
    assert!(check(&store, &keys, &worker.settings, wanted, &BytesDone::default()).await.unwrap().is_good());
}

/// How many objects there are.
fn count(objects: &Path) -> usize {
    tree_files(objects)
}

fn tree_files(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let mut files = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        files += if path.is_dir() { tree_files(&path) } else { 1 };
    }
    files
}

/// Starts the worker, and kills it as soon as there are so many objects. Whether it was killed.
fn killed_after(directory: &Path, objects: &Path, so_many: usize) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "whole::as_the_worker_that_is_killed", "--nocapture"])
        .env(AS_WORKER, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if count(objects) >= so_many || Instant::now() >= deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Nothing is shared with a Channel whose volume is lost while it is backed up.
#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_small_and_names_no_secret() {
    let scene: &Scene = shared().await;
    scene.s3.bucket("report").unwrap();
    let worker = scene.worker(ID, "report").await;
    fill(&scene.volume("report"));
    let report = serde_json::to_string(&worker.run("report").await).unwrap();
    assert!(report.len() <= 4096, "{report}");
    assert!(!report.contains(scene.s3.credentials().1) && !report.contains(&worker.token), "{report}");
}
