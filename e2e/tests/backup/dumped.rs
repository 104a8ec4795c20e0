//! Databases of a real PostgreSQL, dumped by the command that the operator puts into a worker's pod.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use subrosa_crds::{
    backup::DumpSource,
    channel::{DatabaseDump, DumpPreset},
};
use subrosa_e2e::{
    pki::Authority,
    postgresql::{PostgreSql, PostgresVersion},
};
use subrosa_plan::backup::dumps::{dump_arguments, dump_command};
use subrosa_worker::backup::restore::WhichRun;

use crate::scene::{CANARY, ID, Scene, Worker, shared, tree};

/// Rows that compress badly, and all that a dump has of a schema.
const FILLED: &str = "
    CREATE TABLE calls (id serial PRIMARY KEY, note text NOT NULL, at timestamptz DEFAULT now(), sound bytea);
    CREATE INDEX calls_by_note ON calls (note);
    CREATE VIEW short AS SELECT id, left(note, 3) AS note FROM calls;
    CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
    INSERT INTO calls (note, sound)
      SELECT 'call ' || n || E'\\n\\\\. -- $$ ü', decode(md5(n::text) || md5((n + 1)::text), 'hex')
      FROM generate_series(1, 40000) AS n;";
const ROWS: &str =
    "SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY id)) || ' ' || one() FROM calls AS t";

/// What a dump container has, as the kubelet would mount it.
struct Dumper {
    directory: PathBuf,
    database: DatabaseDump,
    child: Option<Child>,
}

impl Dumper {
    fn new(scene: &Scene, test: &str, port: u16, names: &[&str]) -> Self {
        let directory = scene.at(test);
        for name in ["bin", "tls"] {
            fs::create_dir_all(directory.join(name)).unwrap();
        }
        let database = DatabaseDump {
            name: "main".into(),
            preset: DumpPreset::PostgreSQL,
            host: "localhost".into(),
            port: Some(port.into()),
            user: "backup".into(),
            names: names.iter().map(ToString::to_string).collect(),
            image: "postgres@sha256:0".into(),
            tls_secret: "dump".into(),
        };
        Self { directory, database, child: None }
    }

    fn certificates(&self, clients: &Authority, servers: &Authority) {
        let leaf = clients.client("backup", "subrosa").unwrap();
        let at = |name: &str| self.directory.join("tls").join(name);
        fs::write(at("tls.crt"), leaf.certificate_pem).unwrap();
        fs::write(at("tls.key"), leaf.key_pem).unwrap();
        fs::write(at("ca.crt"), servers.certificate_pem()).unwrap();
    }

    /// Begins anew, as each pod does.
    fn start(&mut self) {
        self.end();
        let (dumps, tls) = (self.directory.join("dumps"), self.directory.join("tls"));
        let _ = fs::remove_dir_all(&dumps);
        fs::create_dir_all(&dumps).unwrap();
        let here = |text: &str| {
            let text = text.replace("/dumps", dumps.to_str().unwrap());
            text.replace("/var/run/secrets/database", tls.to_str().unwrap())
        };
        let [shell, option, script] = dump_command();
        let mut command = Command::new(shell);
        command.args([option, &here(script)]).args(dump_arguments(&self.database, &ID.parse().unwrap()));
        let path = format!("{}:/usr/bin:/bin", self.directory.join("bin").display());
        self.child = Some(command.env_clear().env("PATH", path).process_group(0).spawn().unwrap());
    }

    /// What the kubelet does when the worker ended. Whether it ends at once.
    fn end(&mut self) -> bool {
        let Some(mut child) = self.child.take() else { return true };
        let process = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() >= until {
                rustix::process::kill_process_group(process, rustix::process::Signal::KILL).unwrap();
                child.wait().unwrap();
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = rustix::process::kill_process_group(process, rustix::process::Signal::KILL);
        true
    }
}

impl Drop for Dumper {
    fn drop(&mut self) {
        self.end();
    }
}

async fn worker<'a>(scene: &'a Scene, test: &str, names: &[&str]) -> Worker<'a> {
    scene.s3.bucket(test).unwrap();
    let mut worker = scene.worker(ID, test).await;
    worker.settings.volumes = Vec::new();
    let names = names.iter().map(ToString::to_string).collect();
    worker.settings.databases = vec![DumpSource { name: "main".into(), names }];
    worker
}

/// A server with databases, a role that may read them, and the client of its own version.
async fn server(version: PostgresVersion, names: &[&str]) -> (PostgreSql, Authority, Authority) {
    let (servers, clients) = (Authority::new("servers").unwrap(), Authority::new("backup clients").unwrap());
    let server = PostgreSql::start(version, &servers, &clients).await.unwrap();
    let role = "CREATE ROLE backup LOGIN IN ROLE pg_read_all_data";
    server.sql("postgres", &["-c", role]).unwrap();
    for name in names {
        server.sql("postgres", &["-c", &format!("CREATE DATABASE {name}")]).unwrap();
        server.sql(name, &["-c", FILLED]).unwrap();
    }
    (server, servers, clients)
}

/// How much lies in files; a pipe is none.
fn bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let size = |path: PathBuf| match path.symlink_metadata().unwrap() {
        of if of.is_dir() => bytes(&path),
        of if of.is_file() => of.len(),
        _ => 0,
    };
    entries.map(size).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_were_dropped_come_back() {
    let scene = shared().await;
    let (server, servers, clients) = server(PostgresVersion::V15, &["cc", "crm"]).await;
    let canary = CANARY.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    server.sql("cc", &["-c", &format!("UPDATE calls SET note = '{canary}' WHERE id = 7")]).unwrap();
    let worker = worker(scene, "dumped", &["cc", "crm"]).await;
    let mut dumper = Dumper::new(scene, "dumped", server.port(), &["cc", "crm"]);
    dumper.certificates(&clients, &servers);
    server.client("pg_dump", &dumper.directory.join("bin")).unwrap();
    dumper.start();
    let report = worker.run("dumped").await;
    assert_eq!((report.run, &report.reason), (Some(1), &None), "{report:?}");
    assert!(report.volumes.iter().all(|dump| dump.files == 1 && dump.bytes > 4_000_000), "{report:?}");
    // It went through a pipe: of the dump no file is left, and none was.
    let left = bytes(&dumper.directory.join("dumps"));
    assert!(left < 2000, "{left} bytes");
    assert!(dumper.end(), "it ends with the worker");
    let objects = scene.s3.bucket("dumped-2").map(|path| path.with_file_name("dumped")).unwrap();
    for path in tree(&objects).into_keys().map(|path| objects.join(path)).filter(|path| path.is_file()) {
        let found = fs::read(&path).unwrap().windows(canary.len()).any(|part| part == canary.as_bytes());
        assert!(!found, "a row is in {}", path.display());
    }
    // The same data again costs next to nothing, since a dump of it is the same.
    let before = bytes(&objects);
    dumper.start();
    let report = worker.run("dumped").await;
    assert_eq!((report.run, &report.reason), (Some(2), &None), "{report:?}");
    assert!(bytes(&objects) - before < 50_000, "{} more", bytes(&objects) - before);

    let rows = server.sql("cc", &["-c", ROWS]).unwrap();
    assert!(rows.starts_with("40000 "), "{rows}");
    worker.restore(&scene.at("dumped/restored"), WhichRun::Newest).await.unwrap();
    for name in ["cc", "crm"] {
        let wanted = server.sql(name, &["-c", ROWS]).unwrap();
        server.sql("postgres", &["-c", &format!("DROP DATABASE {name}")]).unwrap();
        server.sql("postgres", &["-c", &format!("CREATE DATABASE {name} TEMPLATE template0")]).unwrap();
        // Not below the directory of the test, which only who runs it may enter.
        let file = scene.at(&format!("dumped/restored/main/{name}/{name}.sql"));
        let open = tempfile::NamedTempFile::new().unwrap();
        fs::copy(&file, open.path()).unwrap();
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(open.path(), readable).unwrap();
        server.sql(name, &["-f", open.path().to_str().unwrap()]).unwrap();
        assert_eq!(server.sql(name, &["-c", ROWS]).unwrap(), wanted, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_breaks_does_not_count() {
    let scene = shared().await;
    let (server, servers, clients) = server(PostgresVersion::V15, &["cc"]).await;
    let worker = worker(scene, "broken", &["cc"]).await;
    let mut dumper = Dumper::new(scene, "broken", server.port(), &["cc"]);
    let bin = dumper.directory.join("bin");
    dumper.certificates(&clients, &servers);
    server.client("pg_dump", &bin).unwrap();
    dumper.start();
    assert_eq!(worker.run("broken").await.reason, None);

    let run = async |dumper: &mut Dumper, what: &str, told: &str| {
        dumper.start();
        let report = worker.run("broken").await;
        let message = report.message.clone().unwrap_or_default();
        assert_eq!(report.reason.as_deref(), Some("DumpFailed"), "{what}: {report:?}");
        assert!(message.contains(told), "{what}: {message}");
        let to = scene.at(&format!("broken/{}", what.replace(' ', "-")));
        assert_eq!(worker.restore(&to, WhichRun::Newest).await.unwrap().run, 1, "{what}");
    };
    // The real client, and who ends it or its session as soon as so much has come.
    let real = bin.join("pg_dump");
    fs::rename(&real, bin.join("real")).unwrap();
    let with = |script: &str| {
        fs::write(&real, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&real, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    let real_one = bin.join("real").display().to_string();
    with(&format!("{real_one} \"$@\" | head -c 1000000; kill -KILL $$"));
    run(&mut dumper, "killed midway", "exit code 137").await;
    with(&format!("{real_one} \"$@\" | head -c 1000000"));
    run(&mut dumper, "cut and told as good", "without the mark of a whole dump").await;
    server.client("pg_dump", &bin).unwrap();

    // Another's client is not let in, and another's server gets nothing.
    let stranger = Authority::new("strangers").unwrap();
    dumper.certificates(&stranger, &servers);
    run(&mut dumper, "a stranger", "unknown ca").await;
    dumper.certificates(&clients, &stranger);
    run(&mut dumper, "another server", "certificate verify failed").await;
    dumper.certificates(&clients, &servers);
    with(&format!("PGHOSTADDR=127.0.0.1 exec {real_one} \"$@\""));
    dumper.database.host = "elsewhere.invalid".into();
    run(&mut dumper, "another name", "does not match host name").await;
    dumper.database.host = "localhost".into();
    dumper.database.user = "postgres".into();
    run(&mut dumper, "another role", "certificate authentication failed for user").await;
    dumper.database.user = "backup".into();
    with("exec no-such-program");
    run(&mut dumper, "an image without it", "exit code 127").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_newer_than_pg_dump_is_told() {
    if let Some(why) = PostgresVersion::V17.unsupported() {
        eprintln!("skipped: {why}");
        return;
    }
    let scene = shared().await;
    let (servers, clients) = (Authority::new("servers").unwrap(), Authority::new("backup clients").unwrap());
    let older = PostgreSql::start(PostgresVersion::V15, &servers, &clients).await.unwrap();
    let (server, servers, clients) = server(PostgresVersion::V17, &["cc"]).await;
    let worker = worker(scene, "newer", &["cc"]).await;
    let mut dumper = Dumper::new(scene, "newer", server.port(), &["cc"]);
    dumper.certificates(&clients, &servers);
    older.client("pg_dump", &dumper.directory.join("bin")).unwrap();
    dumper.start();
    let report = worker.run("newer").await;
    let message = report.message.clone().unwrap_or_default();
    assert_eq!(report.reason.as_deref(), Some("DumpVersion"), "{report:?}");
    assert!(message.contains("server version: 17.") && message.contains("pg_dump version: 15."), "{message}");
}
