//! The README's first five minutes with one's own cluster, run as they are written.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::{
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use subrosa_e2e::{Environment, operator, tools};

/// A block of the README, by its marker.
fn block(name: &str) -> String {
    let readme = std::fs::read_to_string(tools::workspace().unwrap().join("README.md")).unwrap();
    let marker = format!("<!-- tested: {name} -->\n```sh\n");
    let (_, rest) = readme.split_once(&marker).unwrap_or_else(|| panic!("no block {name}"));
    rest.split_once("```").unwrap().0.to_owned()
}

/// A directory like the repository's, with the two commands on the path.
struct Room {
    directory: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Room {
    fn new(env: &Environment) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["deploy", "examples"] {
            symlink(tools::workspace().unwrap().join(name), at(name)).unwrap();
        }
        std::fs::create_dir(at("bin")).unwrap();
        symlink(tools::kubectl().unwrap(), at("bin/kubectl")).unwrap();
        symlink(operator::binary().unwrap(), at("bin/subrosa")).unwrap();
        std::fs::write(at("vault-ca.crt"), &env.openbao().endpoint().ca_pem).unwrap();
        let text = |path: PathBuf| path.display().to_string();
        let variables = vec![
            ("PATH", format!("{}:{}", text(at("bin")), std::env::var("PATH").unwrap())),
            ("KUBECONFIG", text(env.admin_kubeconfig().unwrap())),
            ("VAULT_ADDR", env.openbao().url().to_owned()),
            ("VAULT_TOKEN", env.openbao().root_token().to_owned()),
            ("VAULT_CACERT", text(at("vault-ca.crt"))),
        ];
        Self { directory, variables }
    }

    fn bash(&self, script: &str) -> Command {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script]).current_dir(self.path()).stdin(Stdio::null());
        bash.envs(self.variables.iter().map(|(name, value)| (name, value)));
        bash
    }

    fn run(&self, script: &str) -> String {
        let output = self.bash(script).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{text}\n{said}");
        text
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The operator in its terminal; ended with everything it started.
struct Terminal(Child);

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_five_minutes_are_as_written() {
    let env = Environment::builder().local().start().await.unwrap();
    tokio::task::spawn_blocking(move || five_minutes(&env)).await.unwrap();
}

fn five_minutes(env: &Environment) {
    let room = Room::new(env);
    let applied = room.run(&block("setup"));
    assert!(applied.contains("created   auth/kubernetes/role/subrosa-workload"), "{applied}");

    // The port may be taken here.
    let run = block("run").replace("127.0.0.1:8080", "127.0.0.1:0");
    let log = std::fs::File::create(room.path().join("operator.log")).unwrap();
    let mut operator = room.bash(&run);
    operator.process_group(0).stdout(log.try_clone().unwrap()).stderr(log);
    let _operator = Terminal(operator.spawn().unwrap());

    let shown = room.run(&block("try"));
    let log = || std::fs::read_to_string(room.path().join("operator.log")).unwrap();
    assert!(shown.contains("channel.subrosa.dev/web condition met"), "{shown}\n{}", log());
    assert!(shown.contains("Channel first-channel/db"), "{shown}");

    // What the README shows, and what it says that they become.
    let began = Instant::now();
    let connected = |table: &str| table.matches("InForceUnproven   1/1").count() == 2;
    let mut table = String::new();
    while !connected(&table) {
        assert!(began.elapsed() < Duration::from_secs(60), "{table}\n{}", log());
        std::thread::sleep(Duration::from_millis(200));
        table = room.run("kubectl get channels -A");
    }
    let made = room.run("kubectl get secret,networkpolicy -n first-channel -o name");
    let wanted = [
        "secret/db-mtls",
        "secret/web-mtls",
        "networkpolicy.networking.k8s.io/subrosa-channel-db",
        "networkpolicy.networking.k8s.io/subrosa-channel-web",
        "networkpolicy.networking.k8s.io/subrosa-default-deny",
    ];
    assert_eq!(made.lines().collect::<Vec<_>>(), wanted);
}
