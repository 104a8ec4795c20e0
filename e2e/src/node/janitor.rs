//! What the kernel does not take back by itself when a node ends: control groups and files.
//!
//! A shell outlives this process and waits at a pipe that closes when the node is dropped, and as well when
//! this process panics, is killed, or ends with the node in a static. One way for every end.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context as _, Result};

/// How control groups of nodes begin; the rest is the name of the node's directory.
const PREFIX: &str = "subrosa-e2e-";
const CGROUPS: &str = "/sys/fs/cgroup";

/// `$1` is the name of the node's control group, `$2` its directory, `$3` its interface. Processes end a moment after
/// their namespace, and a group goes only when it is empty.
const SCRIPT: &str = r#"
cat >/dev/null
ip link delete "$3" 2>/dev/null
tries=0
while [ $tries -lt 100 ]; do
  left=no
  for controller in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -d "$controller/$1" ] || continue
    find "$controller/$1" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -d "$controller/$1" ] && left=yes
  done
  [ -e "$2/keep" ] || { rm -rf "$2" 2>/dev/null; [ -e "$2" ] && left=yes; }
  [ $left = no ] && exit 0
  tries=$((tries + 1))
  sleep 0.1
done
"#;

/// Cleans up once it is dropped, or its process is gone.
pub struct Janitor {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Janitor {
    /// Watches over a node's directory, interface and control group.
    ///
    /// # Errors
    /// When no shell can be started.
    pub fn watch(directory: &Path, cgroup: &str, link: &str) -> Result<Self> {
        let log = File::create(directory.join("janitor.log")).context("the janitor's log")?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "janitor", cgroup]).arg(directory).arg(link);
        // Its own group, so that Ctrl-C does not reach it.
        command.process_group(0).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let mut process = command.spawn().context("start a shell that cleans up after the node")?;
        let pipe = process.stdin.take();
        Ok(Self { process, pipe })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.process.wait();
    }
}

/// The name of the control group of the node in `directory`.
pub fn cgroup_of(directory: &Path) -> String {
    super::programs::file_name(directory)
}

/// Removes control groups of nodes whose directories are gone, should a janitor have been ended too.
pub fn sweep() {
    let controllers = fs::read_dir(CGROUPS).into_iter().flatten().flatten().map(|entry| entry.path());
    for parent in controllers.chain([CGROUPS.into()]) {
        for group in fs::read_dir(&parent).into_iter().flatten().flatten() {
            let name = group.file_name().to_string_lossy().into_owned();
            if name.starts_with(PREFIX) && !std::env::temp_dir().join(&name).exists() {
                remove(&group.path());
            }
        }
    }
}

/// From the leaves up; the kernel refuses a group that has processes.
fn remove(group: &Path) {
    for inner in fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.path().is_dir() {
            remove(&inner.path());
        }
    }
    let _ = fs::remove_dir(group);
}
