//! `cargo demo --node` as people run it: what it shows, and that Ctrl-C leaves nothing.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use subrosa_e2e::node::{servers::SERVERS, unsupported};

/// Ended when the test is.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_shows_who_gets_in_and_ctrl_c_leaves_nothing() {
    if unsupported().is_some() {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.arg("--node").env("TMPDIR", room.path()).env_remove("SUBROSA_E2E_KEEP");
    let mut demo = Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    for line in BufReader::new(demo.0.stdout.take().unwrap()).lines().map(Result::unwrap) {
        said.push_str(&line);
        said.push('\n');
        // The last of the commands to try.
        if line.contains("kubectl patch channel db") {
            break;
        }
    }
    kill_process(Pid::from_child(&demo.0), Signal::INT).unwrap();
    let status = demo.0.wait().unwrap();
    assert!(status.success() && said.contains("All of it held."), "{status}\n{said}");
    for server in SERVERS {
        assert!(said.contains(&format!("{} answers desk; stranger: ", server.software)), "{said}");
    }
    assert_eq!(said.matches("none refused").count(), SERVERS.len(), "{said}");
    let left: Vec<_> = std::fs::read_dir(room.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}
