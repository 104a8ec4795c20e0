//! Keycloak's distribution: fetched from Maven Central, checked, unpacked and built for a database in memory.

use std::{
    ffi::OsString,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::java;
use crate::tools;

const VERSION: &str = "26.7.3";
/// Of the ZIP file on Maven Central.
const SHA256: &str = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f";

/// Where it is unpacked, ready to be started.
pub fn home(java: &Path) -> Result<PathBuf> {
    let directory = tools::directory()?;
    let home = directory.join(format!("keycloak-{VERSION}"));
    if home.exists() {
        return Ok(home);
    }
    let _lock = tools::lock(&directory, "keycloak")?;
    if home.exists() {
        return Ok(home);
    }
    tools::say(&format!(
        "getting Keycloak {VERSION} from Maven Central (177 MB) and preparing it (once, a minute)"
    ));
    let making = tempfile::Builder::new()
        .prefix(".keycloak-")
        .tempdir_in(&directory)
        .context("a directory for Keycloak")?;
    let archive = fetch(java, making.path())?;
    let found = digest(&archive)?;
    ensure!(
        found == SHA256,
        "{} has the SHA-256 {found}, and should have {SHA256}: delete it in Maven's local repository \
         (~/.m2/repository/org/keycloak) and run this again",
        archive.display()
    );
    unpack(&archive, making.path())?;
    let unpacked = making.path().join(format!("keycloak-{VERSION}"));
    build(java, &unpacked)?;
    std::fs::rename(&unpacked, &home).with_context(|| format!("put {} in place", home.display()))?;
    Ok(home)
}

/// What Java is told to run it, before its own options: as its script does, of which Java would be a child that
/// outlives it. Compiled once and not twice, it is ready in half the time.
pub fn program(home: &Path) -> Vec<OsString> {
    let property = |name: &str, path: &Path| {
        let mut property = OsString::from(format!("-D{name}="));
        property.push(path);
        property
    };
    let mut all: Vec<OsString> = [
        "-Xms64m",
        "-Xmx512m",
        "-XX:MaxMetaspaceSize=256m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "--add-opens=java.base/java.util=ALL-UNNAMED",
        "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
        "--add-opens=java.base/java.security=ALL-UNNAMED",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "--enable-native-access=ALL-UNNAMED",
        "-Dfile.encoding=UTF-8",
        "-Duser.language=en",
        "-Duser.country=US",
        "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
        "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
        "-Dpicocli.disable.closures=true",
        "-Dquarkus-log-max-startup-records=10000",
    ]
    .map(OsString::from)
    .into();
    all.push(property("kc.home.dir", home));
    all.push(property("jboss.server.config.dir", &home.join("conf")));
    all.extend(["-cp".into(), home.join("lib/quarkus-run.jar").into_os_string()]);
    all.push("io.quarkus.bootstrap.runner.QuarkusEntryPoint".into());
    all
}

fn fetch(java: &Path, directory: &Path) -> Result<PathBuf> {
    let mut maven = java::maven(java)?;
    maven.current_dir(directory).args(["-q", "-B", "dependency:copy"]);
    maven.arg(format!("-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"));
    maven.arg("-DoutputDirectory=.");
    tools::run(maven, &format!("mvn dependency:copy of Keycloak {VERSION}"))?;
    Ok(directory.join(format!("keycloak-quarkus-dist-{VERSION}.zip")))
}

fn digest(path: &Path) -> Result<String> {
    let what = || format!("read {}", path.display());
    let mut file = File::open(path).with_context(what)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let count = file.read(&mut block).with_context(what)?;
        let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unpack(archive: &Path, directory: &Path) -> Result<()> {
    let python = tools::find_on_path("python3").context("Python 3 is not on PATH; it unpacks Keycloak")?;
    let mut unpack = Command::new(python);
    unpack.args(["-m", "zipfile", "-e"]).arg(archive).arg(directory);
    tools::run(unpack, &format!("unpack {}", archive.display()))
}

fn build(java: &Path, home: &Path) -> Result<()> {
    let mut build = Command::new(java);
    build.current_dir(home).args(program(home)).args(["build", "--db=dev-mem"]);
    tools::run(build, "prepare Keycloak")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("zeros");
        std::fs::write(&file, vec![0; (1 << 20) + 1]).unwrap();
        let known = "2cb74edba754a81d121c9db6833704a8e7d417e5b13d1a19f4a52f007d644264";
        assert_eq!(digest(&file).unwrap(), known);
    }
}
