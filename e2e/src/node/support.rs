//! Whether this machine can have a node.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{process::dies_with_parent, tools::find_on_path};

/// Why there can be no node here, in one line; nothing where there can.
///
/// `SUBROSA_E2E_NODE=no` says that there shall be none.
pub fn unsupported() -> Option<String> {
    let missing = |name: &&str| find_on_path(name).is_none();
    if std::env::var("SUBROSA_E2E_NODE").is_ok_and(|wish| wish == "no") {
        return Some("SUBROSA_E2E_NODE=no".to_owned());
    }
    if !cfg!(target_os = "linux") {
        return Some("a node needs Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a node needs root, for namespaces and control groups".to_owned());
    }
    if let Some(name) = ["apt-get", "dpkg-deb", "unshare", "nsenter"].iter().find(|name| missing(name)) {
        return Some(format!(
            "a node needs {name}; its programs are Debian's and its namespaces util-linux's"
        ));
    }
    if !dies_with_parent() {
        return Some("a node needs util-linux's setpriv, so that it ends with its test".to_owned());
    }
    if !Path::new("/sys/fs/cgroup/memory").exists()
        && !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
    {
        return Some("a node needs control groups at /sys/fs/cgroup".to_owned());
    }
    let mut probe = Command::new("unshare");
    probe.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--"]);
    probe.args(["mount", "-t", "tmpfs", "tmpfs", "/run"]).stdin(Stdio::null());
    match probe.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "a node needs namespaces of its own: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("a node needs namespaces of its own: {error}")),
    }
}
