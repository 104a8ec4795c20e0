//! What a node is made of: programs built from Go modules, and Debian's for what Go has none of.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::debian::Packages;
use crate::tools::{self, GoProgram, go_build};

/// Needed of Debian: runc, CNI plugins, `nft` for kube-proxy and `ip` for the node's network.
const TOOLS: Packages = Packages {
    name: "node",
    wanted: &["runc", "containernetworking-plugins", "nftables", "iproute2"],
    // The C library has to be the machine's own: its loader is what starts these programs.
    without: &["libc6", "debconf", "perl", "iptables", "libcap2-bin", "libgssapi-krb5-2", "libtirpc3"],
    suite: None,
};

/// The programs, each where it is.
#[derive(Clone, Debug)]
pub struct Programs {
    /// kubelet, kube-proxy and kube-scheduler.
    pub node: PathBuf,
    /// The container runtime.
    pub containerd: PathBuf,
    /// What stands between the runtime and one pod.
    pub shim: PathBuf,
    /// The runtime's command line, for importing images.
    pub ctr: PathBuf,
    /// CoreDNS, which goes into an image.
    pub coredns: PathBuf,
    /// Debian's tools, in a directory like a root.
    pub debian: PathBuf,
}

impl Programs {
    /// Gets and builds what is missing.
    ///
    /// # Errors
    /// When something does not build, or cannot be had.
    pub fn provision() -> Result<Self> {
        Ok(Self {
            node: tools::node()?,
            containerd: containerd(
                "containerd",
                "containerd compiles from source, two to three minutes on two cores",
            )?,
            shim: containerd("containerd-shim-runc-v2", "some seconds")?,
            ctr: containerd("ctr", "some seconds")?,
            coredns: go_build(&GoProgram {
                name: "coredns",
                module: "tools/coredns",
                package: ".",
                tags: "",
                ldflags: String::new(),
                first_build: "CoreDNS with the plugins for a cluster, a minute or two",
            })?,
            debian: TOOLS.unpacked()?,
        })
    }

    /// Where Debian's programs are, and those of the machine after them.
    pub fn path(&self) -> Result<String> {
        let own = ["usr/sbin", "usr/bin", "sbin", "bin"].map(|directory| self.debian.join(directory));
        let machine = std::env::var_os("PATH").unwrap_or_default();
        let all = own.into_iter().chain(std::env::split_paths(&machine));
        let joined = std::env::join_paths(all).context("PATH")?;
        joined.into_string().ok().context("PATH is no text")
    }

    /// Where Debian's programs find their libraries.
    pub fn libraries(&self) -> String {
        let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
        let of = |directory: &str| self.debian.join(directory).join(&multiarch).display().to_string();
        [of("usr/lib"), of("lib")].join(":")
    }

    /// A program of Debian's tools.
    ///
    /// # Errors
    /// When it is in none of the directories for programs.
    pub fn tool(&self, name: &str) -> Result<PathBuf> {
        let directories = ["usr/sbin", "usr/bin", "sbin", "bin", "usr/lib/cni"];
        let candidates = directories.map(|directory| self.debian.join(directory).join(name));
        candidates
            .into_iter()
            .find(|path| path.exists())
            .with_context(|| format!("{} holds no {name}", self.debian.display()))
    }

    /// The directory of the CNI plugins.
    pub fn cni(&self) -> PathBuf {
        self.debian.join("usr/lib/cni")
    }
}

fn containerd(name: &'static str, first_build: &'static str) -> Result<PathBuf> {
    let package = match name {
        "containerd-shim-runc-v2" => "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        "ctr" => "github.com/containerd/containerd/v2/cmd/ctr",
        _ => "github.com/containerd/containerd/v2/cmd/containerd",
    };
    go_build(&GoProgram {
        name,
        module: "tools/containerd",
        package,
        // Snapshotters for file systems that a test machine does not have.
        tags: "no_btrfs,no_zfs,no_devmapper,no_aufs",
        ldflags: String::new(),
        first_build,
    })
}

/// The file name of a path, as text.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
