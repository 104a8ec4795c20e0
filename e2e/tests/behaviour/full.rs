//! A disk that is really full: an error that says so, every plaintext whole, nothing half beside it, and it goes on when there is room.
//!
//! The disk is a tmpfs of a few mebibytes in a mount namespace of its own, so nothing but the command sees it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use subrosa_e2e::{operator, tools};

use crate::{
    resealing,
    sealing::{Pod, recording, said},
};

/// Two of these do not fit.
const SIZE: &str = "size=3m";
const LENGTH: usize = 2 << 20;

/// Seals where there is no room, then where there is, and opens where there is none again.
const BY_COMMAND: &str = r#"
set -u
mkdir full && mount -t tmpfs -o "$2" none full || exit 20
cp call.wav full/call.wav || exit 21
"$1" seal --class call-recording full/call.wav 2>sealing.said && exit 1
cmp call.wav full/call.wav || exit 2
[ "$(ls -A full)" = call.wav ] || exit 3
mount -o remount,size=8m full || exit 22
"$1" seal --class call-recording full/call.wav || exit 4
cp full/call.wav.age sealed.age
rm full/call.wav
head -c 5m /dev/zero >full/other
"$1" unseal full/call.wav.age 2>opening.said && exit 5
cmp sealed.age full/call.wav.age || exit 6
[ "$(ls -A full | tr '\n' ' ')" = "call.wav.age other " ] || exit 7
"$1" reseal --anchor "$3" --earlier full/call.wav.age 2>resealing.said && exit 8
cmp sealed.age full/call.wav.age || exit 9
rm full/other
"$1" unseal full/call.wav.age || exit 10
cmp call.wav full/call.wav || exit 11
"#;

/// A sidecar meets the same, until the disk is made larger.
const BY_SIDECAR: &str = r#"
set -u
mkdir watched && mount -t tmpfs -o "$2" none watched || exit 20
cp call.wav watched/call.wav || exit 21
"$1" seal --class call-recording --watch watched --finished named --listen "127.0.0.1:$3" 2>>sidecar-full.log &
sidecar=$!
while [ ! -e grow ]; do sleep 0.1; done
cmp call.wav watched/call.wav || { kill -9 $sidecar; exit 2; }
ls -A watched >left
mount -o remount,size=16m watched || exit 22
while [ -e watched/call.wav ] || [ ! -e watched/call.wav.age ]; do sleep 0.1; done
mkdir opened && cp watched/call.wav.age opened/call.wav.age
kill $sidecar
wait $sidecar
"$1" unseal opened/call.wav.age || exit 3
cmp call.wav opened/call.wav || exit 4
"#;

/// A shell with mounts of its own, in the workload's directory.
fn apart(pod: &Pod, script: &str, more: &[&str]) -> Command {
    let mut command = pod.command(Path::new("/usr/bin/unshare"));
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(operator::binary().unwrap()).arg(SIZE).args(more);
    command
}

fn may_mount(pod: &Pod) -> bool {
    let tried = apart(pod, "mkdir -p tried && mount -t tmpfs none tried", &[]).output();
    tried.is_ok_and(|output| output.status.success())
}

pub async fn nothing_is_lost(pod: &Pod) {
    if !may_mount(pod) {
        tools::say("a full disk: not tested, for this machine lets nobody mount one");
        return;
    }
    fs::write(pod.at("call.wav"), recording(LENGTH)).unwrap();
    by_command(pod);
    by_sidecar(pod).await;
}

fn by_command(pod: &Pod) {
    let output: Output = apart(pod, BY_COMMAND, &[&resealing::a_week_ago().to_string()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for (file, name) in
        [("sealing.said", "call.wav"), ("opening.said", "call.wav"), ("resealing.said", "call.wav.age")]
    {
        let told = fs::read_to_string(pod.at(file)).unwrap();
        assert!(told.contains("No space left on device") && told.contains(name), "{file}: {told}");
    }
}

/// Ends with the test.
struct Apart(Child);

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn by_sidecar(pod: &Pod) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut sidecar = Apart(apart(pod, BY_SIDECAR, &[&port.to_string()]).spawn().unwrap());
    let log = || fs::read_to_string(pod.at("sidecar-full.log")).unwrap_or_default();
    let (began, patience) = (Instant::now(), Duration::from_secs(60));
    let url = format!("http://127.0.0.1:{port}/readyz");
    loop {
        let answer = match reqwest::get(&url).await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap()),
            Err(_) => (0, String::new()),
        };
        if answer.0 == 503 && answer.1.contains("No space left on device") {
            break;
        }
        assert!(began.elapsed() < patience, "{answer:?}\n{}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fs::write(pod.at("grow"), "").unwrap();
    let ended = loop {
        if let Some(status) = sidecar.0.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < 2 * patience, "{}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(ended.code(), Some(0), "{}", log());
    let left = fs::read_to_string(pod.at("left")).unwrap();
    let left: Vec<_> = left.lines().filter(|name| *name != ".subrosa-watch.lock").collect();
    assert_eq!(left, ["call.wav"], "nothing half beside it");
}
