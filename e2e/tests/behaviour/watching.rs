//! A sidecar seals what a recorder writes: killed at any moment, cut off from Vault, and told to end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rand::Rng as _;
use rustix::process::{Pid, Signal, kill_process};
use subrosa_e2e::{alerts::History, operator};

use crate::sealing::{Pod, recording, said};

/// How often the sidecar is killed.
const KILLS: usize = 15;
/// How many recordings come in each of its lives.
const EACH: usize = 6;

/// Ends with the test.
struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sidecar(pod: &Pod, port: u16, more: &[&str]) -> Sidecar {
    let mut command = pod.command(&operator::binary().unwrap());
    let listen = format!("127.0.0.1:{port}");
    command
        .args(["seal", "--class", "call-recording", "--watch", "recordings", "--listen", &listen])
        .args(more);
    let log = fs::File::options().create(true).append(true).open(pod.at("sidecar.log")).unwrap();
    Sidecar(command.stdin(Stdio::null()).stderr(log).spawn().unwrap())
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != ".subrosa-watch.lock").collect()
}

fn until(what: &str, pod: &Pod, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        let log = || fs::read_to_string(pod.at("sidecar.log")).unwrap_or_default();
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{what}: {:?}\n{}",
            names(&pod.at("recordings")),
            log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A recording that differs from others in every second.
fn heard(length: usize, seed: u8) -> Vec<u8> {
    let second: Vec<u8> = (0..9973_u32).map(|at| (at * 31 % 251) as u8 ^ seed).collect();
    let mut text = second.repeat(length / second.len() + 1);
    text.truncate(length);
    text
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// By a workload that may only seal, so that it cannot look into what it sealed before.
pub async fn recordings_survive_kills(writer: &Pod, root_token: &str) {
    fs::create_dir(writer.at("recordings")).unwrap();
    let directory = writer.at("recordings");
    let mut random = rand::rng();
    let mut expected = BTreeMap::new();
    let port = free_port();
    for life in 0..KILLS {
        for number in 0..EACH {
            let name = format!("{life:02}-{number}.wav");
            let text = heard(random.random_range(0..2 << 20), random.random());
            // As a recorder that renames.
            fs::write(directory.join(format!("{name}.tmp")), &text).unwrap();
            fs::rename(directory.join(format!("{name}.tmp")), directory.join(&name)).unwrap();
            expected.insert(name, text);
        }
        let mut sidecar = sidecar(writer, port, &["--finished", "named"]);
        std::thread::sleep(Duration::from_millis(random.random_range(60..350)));
        sidecar.0.kill().unwrap();
        sidecar.0.wait().unwrap();
        assert_nothing_lost(&directory, &expected);
    }
    // Whatever was sealed before, there is something for the last life.
    let text = heard(1 << 20, 7);
    fs::write(directory.join("last.wav"), &text).unwrap();
    expected.insert("last.wav".to_owned(), text);
    let all: BTreeSet<_> = expected.keys().map(|name| format!("{name}.age")).collect();
    let mut last = sidecar(writer, port, &["--finished", "named"]);
    until("every recording is sealed once", writer, || names(&directory) == all);
    told_by_metrics(port, expected.len()).await;
    kill_process(Pid::from_child(&last.0), Signal::TERM).unwrap();
    let asked = Instant::now();
    assert!(last.0.wait().unwrap().success());
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    // Each opens, by who may, to what was recorded.
    let opened = writer
        .command(&operator::binary().unwrap())
        .env("VAULT_TOKEN", root_token)
        .arg("unseal")
        .args(all.iter().map(|name| directory.join(name)))
        .output()
        .unwrap();
    assert!(opened.status.success(), "{}", said(&opened));
    for (name, text) in &expected {
        assert!(fs::read(directory.join(name)).unwrap() == *text, "{name}");
    }
}

/// At any moment a recording is there as plaintext, or sealed, under its name or before it has one.
fn assert_nothing_lost(directory: &Path, expected: &BTreeMap<String, Vec<u8>>) {
    let there = names(directory);
    for (name, text) in expected {
        let plain = fs::read(directory.join(name)).is_ok_and(|bytes| bytes == *text);
        let sealed = there.contains(&format!("{name}.age"))
            || there
                .iter()
                .any(|other| other.starts_with(".subrosa-sealed-") && other.ends_with(&format!("-{name}")));
        assert!(plain || sealed, "{name} is lost: {there:?}");
    }
}

async fn told_by_metrics(port: u16, at_most: usize) {
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("healthz").await.0, 200);
    assert_eq!(get("readyz").await, (200, "ok\n".into()));
    // A file has its name a moment before it is counted.
    let began = Instant::now();
    loop {
        let (_, text) = get("metrics").await;
        let value = |name: &str| -> usize {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("subrosa_sealing_{name} ")));
            line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
        };
        let sealed = (1..=at_most).contains(&value("files_total"));
        if sealed && value("plaintext_files") == 0 && value("oldest_plaintext_seconds") == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Nothing is removed while Vault does not give keys; what does not change is finished.
pub async fn a_sidecar_without_a_key_removes_nothing(recorder: &Pod) {
    let directory = recorder.at("recordings");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("a.wav"), recording(100_000)).unwrap();
    // Its call ended two hours ago.
    let written = fs::File::options().write(true).open(directory.join("a.wav")).unwrap();
    written.set_modified(std::time::SystemTime::now() - Duration::from_secs(7200)).unwrap();
    let mut history = History::begin().unwrap();
    let token = fs::read_to_string(recorder.at("token")).unwrap();
    fs::write(recorder.at("token"), "no token at all").unwrap();
    let port = free_port();
    let mut sidecar = sidecar(recorder, port, &["--quiet-for", "1"]);
    let url = format!("http://127.0.0.1:{port}/readyz");
    let began = Instant::now();
    loop {
        let answer = match reqwest::get(&url).await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap()),
            Err(_) => (0, String::new()),
        };
        if answer.0 == 503 && answer.1.contains("refused the login") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(names(&directory), BTreeSet::from(["a.wav".to_owned()]));
    let metrics = async || {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.ok()?;
        answer.text().await.ok()
    };
    history.scrape(metrics).await;
    assert!(history.is_true("SubrosaPlaintextOld", Duration::ZERO).unwrap(), "{:?}", metrics().await);
    fs::write(recorder.at("token"), token).unwrap();
    let sealed = BTreeSet::from(["a.wav.age".to_owned()]);
    until("it goes on by itself", recorder, || names(&directory) == sealed);
    // A file has its name a moment before it is counted.
    tokio::time::sleep(Duration::from_secs(3)).await;
    history.scrape(metrics).await;
    assert!(!history.is_true("SubrosaPlaintextOld", Duration::ZERO).unwrap(), "{:?}", metrics().await);
    assert_eq!(sidecar.0.try_wait().unwrap(), None);
    let log = fs::read_to_string(recorder.at("sidecar.log")).unwrap();
    assert!(!log.contains("no token at all"), "{log}");
    // A second one in the same directory ends at once.
    let refused = recorder.fails(&[
        "seal",
        "--class",
        "call-recording",
        "--watch",
        "recordings",
        "--listen",
        "127.0.0.1:0",
    ]);
    assert!(refused.contains("another process seals here"), "{refused}");
    let refused =
        recorder.fails(&["seal", "--class", "dreams", "--watch", "recordings", "--listen", "127.0.0.1:0"]);
    assert!(refused.contains("no data class \"dreams\""), "{refused}");
}
