use std::{fs, path::Path, process::Command, sync::Arc};

use object_store::memory::InMemory;
use subrosa_crds::backup::{BackupReport, BackupSettings, DumpSource};

use super::*;
use crate::backup::{
    fake::{FakeVault, settings},
    progress::BytesDone,
    restore::{RestoreRequest, WhichRun, restore},
    run::{RunOptions, run},
    store::Bucket,
};

struct Scene {
    directory: tempfile::TempDir,
    store: Bucket,
    vault: FakeVault,
    settings: BackupSettings,
}

impl Scene {
    fn new(databases: &[&str]) -> Self {
        let mut settings = settings("abcdefghijklmnop", &[]);
        let names = databases.iter().map(ToString::to_string).collect();
        settings.databases = vec![DumpSource { name: "main".into(), names }];
        let store = Bucket::over(Arc::new(InMemory::new()) as _);
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("dumps")).unwrap();
        Self { directory, store, vault: FakeVault::default(), settings }
    }

    /// What the other container does, and a run beside it.
    async fn run(&self, script: &str) -> BackupReport {
        let dumps = self.directory.path().join("dumps");
        fs::remove_dir_all(&dumps).unwrap();
        fs::create_dir(&dumps).unwrap();
        let mut child = Command::new("sh").args(["-c", script]).current_dir(&dumps).spawn().unwrap();
        let options = RunOptions {
            volumes: self.directory.path().join("volumes"),
            dumps,
            mounted: true,
            allow_shrink: false,
            at_least: 0,
        };
        let report = run(&self.store, &self.vault, &self.settings, &options, &BytesDone::default()).await;
        let _ = child.kill();
        child.wait().unwrap();
        report
    }

    async fn restored(&self, to: &str) -> u64 {
        let to = self.directory.path().join(to);
        let request =
            RestoreRequest { run: WhichRun::Newest, volume: None, to, overwrite: false, at_least: 0 };
        restore(&self.store, &self.vault, &self.settings, &request, &BytesDone::default()).await.unwrap().run
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.directory.path().join(path)).unwrap()
    }
}

const MARK: &str = "\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n";

/// A dump with rows and this end, and then this exit code.
fn dumping(database: &str, end: &str, then: &str) -> String {
    let at = format!("main.{database}");
    format!(
        "mkfifo {at}.sql; (sleep 0.2; seq 1 300000; printf %s '{end}') >{at}.sql 2>{at}.err; {then} >{at}.code; sleep 5"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_dump_comes_back_byte_for_byte() {
    let scene = Scene::new(&["cc", "crm"]);
    let other = dumping("crm", MARK, "echo 0");
    let report = scene.run(&format!("({other}) & {}", dumping("cc", MARK, "echo 0"))).await;
    assert_eq!((report.run, &report.reason), (Some(1), &None), "{report:?}");
    let names: Vec<_> = report.volumes.iter().map(|volume| (volume.name.as_str(), volume.files)).collect();
    assert_eq!(names, [("main/cc", 1), ("main/crm", 1)]);
    scene.restored("to").await;
    let rows: String = (1..=300_000).map(|row| format!("{row}\n")).collect();
    let wanted = format!("{rows}{MARK}");
    assert_eq!(report.volumes[0].bytes, wanted.len() as u64);
    for path in ["to/main/cc/cc.sql", "to/main/crm/crm.sql"] {
        assert!(scene.read(path) == wanted.as_bytes(), "{path}");
    }
    let meta = fs::metadata(scene.directory.path().join("to/main/cc/cc.sql")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&meta) & 0o777, 0o600);
    // A restore that was interrupted before the first byte goes on.
    let part = scene.directory.path().join("again/main/cc");
    let part = part.join(format!(".subrosa-restore-{}", &report.volumes[0].snapshot[..16]));
    fs::create_dir_all(&part).unwrap();
    fs::write(part.join("cc.sql"), "").unwrap();
    scene.restored("again").await;
    assert!(scene.read("again/main/cc/cc.sql") == wanted.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_dump_does_not_count() {
    let scene = Scene::new(&["cc"]);
    assert_eq!(scene.run(&dumping("cc", MARK, "echo 0")).await.reason, None);
    let cut = "\n-- PostgreSQL database dump complete\n-";
    let failing = "mkfifo main.cc.sql; seq 1 9 >main.cc.sql; \
         echo 'pg_dump: warning: odd\npg_dump: error: connection lost\npg_dump: detail: Query was: COPY' >main.cc.err; \
         echo 1 >main.cc.code; sleep 5";
    let old = "mkfifo main.cc.sql; : >main.cc.sql; printf 'pg_dump: error: aborting because of server version mismatch\n\
         pg_dump: detail: server version: 17.6; pg_dump version: 15.18\n' >main.cc.err; echo 1 >main.cc.code; sleep 5";
    for (what, script, reason, told) in [
        ("killed, so without an exit code", dumping("cc", "", "true"), "DumpFailed", "without an exit code"),
        ("an exit code", dumping("cc", MARK, "echo 1"), "DumpFailed", "exit code 1: it said nothing"),
        ("no mark", dumping("cc", cut, "echo 0"), "DumpFailed", "without the mark"),
        (
            "more behind the mark",
            dumping("cc", &format!("{MARK}1\n2\n"), "echo 0"),
            "DumpFailed",
            "without the mark",
        ),
        ("an error", failing.to_owned(), "DumpFailed", "pg_dump: error: connection lost"),
        ("an old client", old.to_owned(), "DumpVersion", "server version: 17.6; pg_dump version: 15.18"),
        ("nobody there", "sleep 5".to_owned(), "DumpFailed", "no pipe"),
        ("nobody writes", "mkfifo main.cc.sql; sleep 5".to_owned(), "DumpFailed", "nobody writes"),
    ] {
        let report = scene.run(&script).await;
        let message = report.message.clone().unwrap_or_default();
        assert_eq!(report.reason.as_deref(), Some(reason), "{what}: {report:?}");
        assert!(message.contains(told) && message.contains("main/cc"), "{what}: {message}");
        assert!(report.run.is_some(), "{what} has a manifest, which does not count");
        assert_eq!(scene.restored(&what.replace(' ', "-")).await, 1, "{what}");
    }
}

/// Whoever wrote the image could lead the worker to its own token otherwise.
#[test]
fn what_another_container_left_is_not_followed() {
    let dumps = tempfile::tempdir().unwrap();
    let at = |name: &str| dumps.path().join(name);
    fs::write(at("token"), "secret").unwrap();
    for name in ["main.cc.sql", "main.cc.err", "main.cc.code"] {
        std::os::unix::fs::symlink(at("token"), at(name)).unwrap();
        assert!(read(&at(name), 100).is_err(), "{name}");
    }
    let dump = Dump { source: "main".into(), database: "cc".into() };
    let pipe = Pipe { dumps: dumps.path().to_owned(), dump };
    assert_eq!(pipe.open().err().map(|error| error.problem), Some(BackupProblem::DumpFailed));
    assert!(read(Path::new("/dev/zero"), 100).is_err());
}
