//! Debian packages, unpacked into a directory and not installed: no service starts and nothing of the
//! machine changes. apt finds what a package needs and checks what it downloads.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::tools::{self, find_on_path};

/// Packages, and those they name that nobody here needs.
pub struct Packages {
    /// What the result is called, in messages and in `target/e2e/debian`.
    pub name: &'static str,
    /// The packages that are wanted.
    pub wanted: &'static [&'static str],
    /// Packages that apt is told are installed already, so that neither they nor what they need comes along.
    pub without: &'static [&'static str],
}

/// Directories that no program reads.
const IDLE: [&str; 6] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "var/cache",
];

impl Packages {
    /// Everything of them, unpacked once into a directory that is like the root of a small machine.
    ///
    /// # Errors
    /// When apt does not find or get something.
    pub fn unpacked(&self) -> Result<PathBuf> {
        let directory = tools::directory()?.join("debian");
        fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
        let root = directory.join(format!("{}-{}", self.name, self.digest()));
        if root.exists() {
            return Ok(root);
        }
        let _lock = tools::lock(&directory, self.name)?;
        if root.exists() {
            return Ok(root);
        }
        tools::say(&format!("getting Debian's {} (some MB, once)", self.wanted.join(", ")));
        let making = tempfile::Builder::new().prefix(".debian-").tempdir_in(&directory)?;
        let archives = self.download(making.path())?;
        let unpacked = making.path().join("root");
        for archive in archives {
            let mut unpack = Command::new(tool("dpkg-deb")?);
            unpack.arg("--extract").arg(&archive).arg(&unpacked);
            tools::run(unpack, &format!("unpack {}", archive.display()))?;
        }
        for idle in IDLE {
            let _ = fs::remove_dir_all(unpacked.join(idle));
        }
        fs::rename(&unpacked, &root).with_context(|| format!("put {} in place", root.display()))?;
        Ok(root)
    }

    fn download(&self, directory: &Path) -> Result<Vec<PathBuf>> {
        let archives = directory.join("archives");
        fs::create_dir_all(archives.join("partial"))?;
        let status = directory.join("status");
        fs::write(&status, self.without.iter().map(|name| installed(name)).collect::<String>())?;
        let get = || {
            let mut get = Command::new(tool("apt-get")?);
            get.args(["--quiet=2", "--yes", "--no-install-recommends", "--download-only"]);
            get.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]);
            get.arg("-o").arg(format!("Dir::State::status={}", status.display()));
            get.arg("-o").arg(format!("Dir::Cache::archives={}", archives.display()));
            get.arg("install").args(self.wanted);
            tools::run(get, &format!("apt-get install --download-only {}", self.wanted.join(" ")))
        };
        if get().is_err() {
            // A machine that never asked what there is, or long ago.
            let mut update = Command::new(tool("apt-get")?);
            update.args(["--quiet=2", "update"]);
            tools::run(update, "apt-get update")?;
            get()?;
        }
        let mut found: Vec<_> = fs::read_dir(&archives)?.flatten().map(|entry| entry.path()).collect();
        found.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
        found.sort();
        Ok(found)
    }

    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for part in self.wanted.iter().chain(&["without"]).chain(self.without) {
            hash.update(part);
            hash.update([0]);
        }
        hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A package as apt's list of what is installed has it; new enough for whoever needs it.
fn installed(name: &str) -> String {
    format!(
        "Package: {name}\nStatus: install ok installed\nArchitecture: {}\nMulti-Arch: allowed\n\
         Version: 9999\nMaintainer: none\nDescription: not wanted\n\n",
        debian_architecture()
    )
}

/// What Debian calls this machine's processor.
fn debian_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

fn tool(name: &str) -> Result<PathBuf> {
    find_on_path(name)
        .with_context(|| format!("{name} is not on PATH; a node takes its programs from Debian's packages"))
}
