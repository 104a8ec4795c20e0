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
    /// The suite they come from, when it is not the machine's own.
    pub suite: Option<&'static str>,
}

/// Who signs Debian's suites; it comes with Debian.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
        let lists = self.suite.map(|suite| lists_of(suite, directory)).transpose()?.unwrap_or_default();
        let get = || {
            let mut get = apt(&lists)?;
            // Nothing is installed: the machine's own apt need not wait.
            get.args(["-o", "Debug::NoLocking=1", "--yes", "--no-install-recommends", "--download-only"]);
            get.arg("-o").arg(format!("Dir::State::status={}", status.display()));
            get.arg("-o").arg(format!("Dir::Cache::archives={}", archives.display()));
            get.arg("install").args(self.wanted);
            tools::run(get, &format!("apt-get install --download-only {}", self.wanted.join(" ")))
        };
        // Lists of another suite are empty at first; the machine's own may be, or old.
        if self.suite.is_some() || get().is_err() {
            update(&lists)?;
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
        hash.update(self.suite.unwrap_or_default());
        hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// apt-get with these options, as whoever runs this.
fn apt(options: &[String]) -> Result<Command> {
    let mut apt = Command::new(tool("apt-get")?);
    apt.args(["--quiet=2", "-o", "APT::Sandbox::User=root"]);
    apt.args(options.iter().flat_map(|option| ["-o", option]));
    Ok(apt)
}

fn update(options: &[String]) -> Result<()> {
    let mut update = apt(options)?;
    update.arg("update");
    tools::run(update, "apt-get update")
}

/// Options for lists of their own, of another suite from where the machine gets its Debian.
fn lists_of(suite: &str, directory: &Path) -> Result<Vec<String>> {
    let archive = match archive()? {
        Some(archive) => archive,
        None => {
            update(&[])?;
            archive()?.context("apt knows no archive of Debian: /etc/apt names none")?
        }
    };
    let source = directory.join("sources.list");
    fs::write(&source, format!("deb [signed-by={KEYRING}] {archive} {suite} main\n"))?;
    let (lists, cache) = (directory.join("lists"), directory.join("cache"));
    fs::create_dir_all(lists.join("partial"))?;
    fs::create_dir_all(&cache)?;
    Ok(vec![
        format!("Dir::Etc::sourcelist={}", source.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        format!("Dir::State::lists={}", lists.display()),
        format!("Dir::Cache={}", cache.display()),
    ])
}

/// Where the machine gets Debian's own packages, if it ever asked what there is.
fn archive() -> Result<Option<String>> {
    let mut targets = Command::new(tool("apt-get")?);
    targets.args(["indextargets", "--format", "$(REPO_URI)"]);
    targets.args(["Origin: Debian", "Label: Debian", "Component: main", "Created-By: Packages"]);
    let found = targets.output().context("run apt-get indextargets")?;
    Ok(String::from_utf8_lossy(&found.stdout).lines().next().map(ToOwned::to_owned))
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
