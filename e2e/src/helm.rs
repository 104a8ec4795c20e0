//! Helm, and the tools that judge what a chart renders: each of a pinned Go module, built once.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::tools::{GoProgram, find_on_path, go_build, workspace};

/// Helm.
pub fn helm() -> Result<PathBuf> {
    go_build(&GoProgram {
        name: "helm",
        module: "tools/helm",
        package: "helm.sh/helm/v4/cmd/helm",
        tags: "",
        ldflags: String::new(),
        first_build: "Helm compiles from source, two to three minutes on two cores",
    })
}

/// kubeconform, which holds manifests against JSON schemas.
pub fn kubeconform() -> Result<PathBuf> {
    go_build(&GoProgram {
        name: "kubeconform",
        module: "tools/kubeconform",
        package: "github.com/yannh/kubeconform/cmd/kubeconform",
        tags: "",
        ldflags: String::new(),
        first_build: "kubeconform compiles from source, some seconds",
    })
}

/// promtool, which tests alerting rules.
pub fn promtool() -> Result<PathBuf> {
    go_build(&GoProgram {
        name: "promtool",
        module: "tools/promtool",
        package: "github.com/prometheus/prometheus/cmd/promtool",
        // Rules need none of the clouds' service discoveries, whose clients are most of the build.
        tags: "remove_all_sd",
        ldflags: String::new(),
        first_build: "promtool compiles from source, about two minutes on two cores",
    })
}

/// A chart of this repository: `subrosa` or `subrosa-crds`.
pub fn chart(name: &str) -> Result<PathBuf> {
    Ok(workspace()?.join("charts").join(name))
}

/// Helm with a directory of its own for caches and settings.
pub struct Helm {
    program: PathBuf,
    home: tempfile::TempDir,
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    /// Without a cluster.
    ///
    /// # Errors
    /// When Helm cannot be built.
    pub fn offline() -> Result<Self> {
        let home = tempfile::tempdir().context("a directory for Helm")?;
        Ok(Self { program: helm()?, home, kubeconfig: None })
    }

    /// With the cluster of a kubeconfig.
    ///
    /// # Errors
    /// When Helm cannot be built.
    pub fn with_cluster(kubeconfig: &Path) -> Result<Self> {
        Ok(Self { kubeconfig: Some(kubeconfig.to_owned()), ..Self::offline()? })
    }

    /// Runs Helm, whatever comes of it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.env_clear().args(arguments).stdin(Stdio::null());
        for (variable, directory) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(variable, self.home.path().join(directory));
        }
        // Never a cluster of the person who runs the tests.
        let nowhere = self.home.path().join("no.kubeconfig");
        command.env("KUBECONFIG", self.kubeconfig.as_deref().unwrap_or(&nowhere));
        command.env("HOME", self.home.path());
        command.output().context("run helm")
    }

    /// Runs Helm and gives what it printed.
    ///
    /// # Errors
    /// When it refuses; the message is what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        if !output.status.success() {
            bail!("helm {}:\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs Helm, which has to refuse, and gives what it said.
    ///
    /// # Errors
    /// When it does not refuse.
    pub fn refused(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        if output.status.success() {
            bail!(
                "helm {} was not refused:\n{}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stdout)
            );
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Where the sources of a module are that the go.mod in `directory` pins; gets them, if need be.
///
/// # Errors
/// When there is no Go, or the module cannot be had.
pub fn module_sources(directory: &Path, module: &str) -> Result<PathBuf> {
    let go = find_on_path("go").context("Go is not on PATH: install Go 1.26 or newer (https://go.dev/dl)")?;
    let mut download = Command::new(go);
    download.current_dir(directory).args(["mod", "download", "-json", module]).stdin(Stdio::null());
    let output = download.output().context("run go mod download")?;
    if !output.status.success() {
        bail!("go mod download {module}:\n{}", String::from_utf8_lossy(&output.stdout));
    }
    let about: serde_json::Value = serde_json::from_slice(&output.stdout).context("what Go says")?;
    about
        .get("Dir")
        .and_then(|path| path.as_str())
        .map(PathBuf::from)
        .with_context(|| format!("{module} has no sources"))
}
