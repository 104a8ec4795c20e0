//! The container runtime of a node.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{images::PAUSE, network::Network, programs::Programs, space::Space};
use crate::{directory::write_private, process::Supervised};

const LIMIT: Duration = Duration::from_secs(60);
/// Where it listens, inside the node.
pub const SOCKET: &str = "/run/containerd/containerd.sock";

/// containerd; ended with the node.
pub struct Containerd {
    process: Supervised,
}

impl Containerd {
    /// Starts it. [`ready`](Self::ready) says when it can be used.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(space: &Space, programs: &Programs, network: Network, directory: &Path) -> Result<Self> {
        let cni = directory.join("cni");
        fs::create_dir_all(&cni).with_context(|| format!("create {}", cni.display()))?;
        write_private(&cni.join("10-pods.conflist"), &network.cni().to_string())?;
        let file = directory.join("containerd.toml");
        write_private(&file, &configuration(programs, &cni, directory)?)?;
        let arguments = ["--config".into(), file.into_os_string()];
        let environment = BTreeMap::from([
            ("PATH".to_owned(), programs.path()?.into()),
            ("LD_LIBRARY_PATH".to_owned(), programs.libraries().into()),
        ]);
        let invocation = space.invocation("containerd", &programs.containerd, arguments, environment)?;
        Ok(Self { process: Supervised::spawn(invocation, directory)? })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it ends, or time is up.
    pub async fn ready(&mut self, space: &Space, programs: &Programs) -> Result<()> {
        let ctr = programs.ctr.display().to_string();
        let probe = || async { space.run(&[&ctr, "--address", SOCKET, "version"]).is_ok() };
        self.process.ready(LIMIT, probe).await
    }

    /// Makes an image known to the node, from an archive of an OCI layout.
    ///
    /// # Errors
    /// When it is none.
    pub fn import(space: &Space, programs: &Programs, archive: &Path) -> Result<()> {
        let ctr = programs.ctr.display().to_string();
        let archive = archive.display().to_string();
        space.run(&[
            &ctr,
            "--address",
            SOCKET,
            "--namespace",
            "k8s.io",
            "images",
            "import",
            "--local",
            &archive,
        ])
    }
}

fn configuration(programs: &Programs, cni: &Path, directory: &Path) -> Result<String> {
    let text = |path: &Path| format!("'{}'", path.display());
    Ok(format!(
        r#"version = 3
disabled_plugins = ['io.containerd.nri.v1.nri']

[grpc]
address = '{SOCKET}'

[plugins.'io.containerd.cri.v1.images']
snapshotter = '{snapshotter}'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{PAUSE}'

[plugins.'io.containerd.cri.v1.runtime']
# Without CAP_SYS_RESOURCE nothing may be made less likely to be killed than its parent.
restrict_oom_score_adj = true
disable_apparmor = true
tolerate_missing_hugetlb_controller = true
disable_hugetlb_controller = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = [{plugins}]
conf_dir = {cni}
[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = 'runc'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
runtime_path = {shim}
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = {runc}
SystemdCgroup = false
"#,
        snapshotter = snapshotter(directory),
        plugins = text(&programs.cni()),
        cni = text(cni),
        shim = text(&programs.shim),
        runc = text(&runc(programs)?),
    ))
}

fn runc(programs: &Programs) -> Result<PathBuf> {
    programs.tool("runc")
}

/// Where the machine's own root is an overlay, another cannot lie on it: then files are copied.
fn snapshotter(directory: &Path) -> &'static str {
    let mut stat = Command::new("stat");
    stat.args(["--file-system", "--format=%T"]).arg(directory);
    match stat.output() {
        Ok(output) if output.stdout.starts_with(b"overlay") => "native",
        _ => "overlayfs",
    }
}
