//! What the kernel does not take back by itself when a node ends: control groups and files.
//!
//! A shell outlives this process and waits at a pipe that closes when the node is dropped, and as well when
//! this process panics, is killed, or ends with the node in a static. One way for every end.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context as _, Result};

/// Where the runtime puts the control groups of containers, below each controller.
const GROUPS: &str = "k8s.io";
/// Where the runtime keeps what it knows of containers and of pods, in the node's directory: a directory each, named
/// by its id.
const KNOWN: [&str; 2] = [
    "lib/containerd/io.containerd.grpc.v1.cri/containers",
    "lib/containerd/io.containerd.grpc.v1.cri/sandboxes",
];

/// `$1` is the node's directory, `$2` its interface. Processes end a moment after their namespace, and a group goes only
/// when it is empty; which groups are this node's, its runtime's files say, and they go last.
const SCRIPT: &str = r#"
cat >/dev/null
ip link delete "$2" 2>/dev/null
ids=$(ls "$1/lib/containerd/io.containerd.grpc.v1.cri/containers" "$1/lib/containerd/io.containerd.grpc.v1.cri/sandboxes" 2>/dev/null | grep -xE '[0-9a-f]{64}')
tries=0
while [ $tries -lt 100 ]; do
  left=no
  for groups in /sys/fs/cgroup/k8s.io /sys/fs/cgroup/*/k8s.io; do
    [ -d "$groups" ] || continue
    for id in $ids; do
      [ -d "$groups/$id" ] || continue
      find "$groups/$id" -depth -type d -exec rmdir {} + 2>/dev/null
      [ -d "$groups/$id" ] && left=yes
    done
    rmdir "$groups" 2>/dev/null
  done
  [ $left = yes ] || [ -e "$1/keep" ] || { rm -rf "$1" 2>/dev/null; [ -e "$1" ] && left=yes; }
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
    /// Watches over a node's directory, interface and control groups.
    ///
    /// # Errors
    /// When no shell can be started.
    pub fn watch(directory: &Path, link: &str) -> Result<Self> {
        let log = File::create(directory.join("janitor.log")).context("the janitor's log")?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "janitor"]).arg(directory).arg(link);
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

/// The control groups of the containers of the node in `directory`.
pub fn groups(directory: &Path) -> Vec<PathBuf> {
    let known = KNOWN.iter().flat_map(|place| names(&directory.join(place))).collect::<Vec<_>>();
    let root = Path::new("/sys/fs/cgroup");
    let controllers = names(root).into_iter().map(|name| root.join(name)).chain([root.to_owned()]);
    let of = |parent: PathBuf| known.iter().map(move |id| parent.join(GROUPS).join(id)).collect::<Vec<_>>();
    controllers.flat_map(of).filter(|group| group.exists()).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
