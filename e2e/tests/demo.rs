//! `cargo demo` as people run it: what it prints, its exit code, and that it leaves nothing behind.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// How long it may be silent: it may be building the operator, or waiting until somebody else has.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where the demo keeps what it makes, so that the test sees what is left of it.
struct Room(tempfile::TempDir);

impl Room {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command
            .args(arguments)
            .env("TMPDIR", self.0.path())
            .env_remove("SUBROSA_E2E_KEEP")
            .stdin(Stdio::null());
        command
    }

    fn left(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Programs that still run in one of its directories.
    fn running(&self) -> Vec<PathBuf> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let directories = processes.filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok());
        directories.filter(|directory| directory.starts_with(self.0.path())).collect()
    }
}

/// Ended when the test is.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn once_it_proves_everything_and_leaves_nothing() {
    let room = Room::new();
    let output = room.demo(&["--once"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{said}", output.status);

    assert!(!text.contains('\x1b'), "no terminal, no escape sequences:\n{text}");
    for line in [
        "instead of https://openbao.security.svc:8200",
        "cc-mail/reminders      SMS        True     InForceUnproven          2/2",
        "   (carrier, outside)\n",
        "└─ siprec ─▶ cc-records/recorder",
        "cc-data/db (its replicas)",
        "those that seal data reach vault.",
        "ok   cc-front/ivr connects to cc-data/db: allowed, both ends declare it",
        "db sees spiffe://oosterlinde/ns/cc-front/channel/ivr",
        "ok   cc-data/db connects to cc-front/ivr: refused by ivr, declared the other way only",
        "ok   cc-web/portal connects to cc-records/recorder: refused by portal, nobody declares it",
        "ok   cc-web/portal connects to cc-records/recorder: refused by recorder, though",
        "All of it held.",
    ] {
        assert!(text.contains(line), "missing: {line}\n{text}");
    }
    assert!(!text.contains("FAIL"), "{text}");
    let counted = text.lines().find_map(|line| line.trim().strip_prefix("ok   ")?.split_once(" ready after"));
    let (ready, all) = counted.and_then(|(counted, _)| counted.split_once(" of ")).expect("a count");
    assert!(ready == all && all.parse::<u32>().unwrap() >= 7, "{text}");
    assert_eq!((room.left(), room.running()), (vec![], vec![]));
}

#[test]
fn it_stays_until_interrupted_and_cleans_up() {
    let room = Room::new();
    let mut demo = Running(room.demo(&[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let lines = lines_of(&mut demo.0);
    let mut kubeconfig = None;
    let mut aliases = None;
    while aliases.is_none() {
        let line = lines.recv_timeout(PATIENCE).expect("it said no more");
        let line = line.trim();
        kubeconfig = kubeconfig.or_else(|| line.strip_prefix("export KUBECONFIG=").map(PathBuf::from));
        aliases = line.strip_prefix("alias ").map(str::to_owned);
    }
    let kubeconfig = kubeconfig.unwrap();
    let aliases = aliases.unwrap();
    let program = |name: &str| {
        let found = aliases.split(' ').find_map(|alias| alias.strip_prefix(&format!("{name}=")));
        PathBuf::from(found.unwrap_or_else(|| panic!("no {name} in {aliases}")))
    };

    // What it suggests works.
    let table = output(&program("kubectl"), &["get", "channels", "-A", "--no-headers"], &kubeconfig);
    let ready = table.lines().filter(|line| line.contains("InForceUnproven")).count();
    assert!(ready >= 7 && ready == table.lines().count(), "{table}");
    let status = output(&program("subrosa"), &["status", "-A"], &kubeconfig);
    assert!(status.contains("voice"), "{status}");

    kill_process(Pid::from_child(&demo.0), Signal::INT).unwrap();
    assert!(demo.0.wait().unwrap().success(), "everything held, so the exit code is 0");
    let rest: BTreeSet<_> = lines.iter().collect();
    assert!(rest.iter().any(|line| line.contains("kubectl patch channel")), "{rest:?}");
    assert_eq!((room.left(), room.running()), (vec![], vec![]));
}

fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

fn output(program: &Path, arguments: &[&str], kubeconfig: &Path) -> String {
    let output = Command::new(program).args(arguments).env("KUBECONFIG", kubeconfig).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
