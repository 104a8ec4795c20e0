//! Java and Maven: the machine's own, else Debian's packages, unpacked and not installed.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    node::debian::Packages,
    tools::{self, find_on_path},
};

/// The oldest Java that Keycloak runs on.
const OLDEST: u32 = 17;

/// Both in one, since Maven needs the other. What is left out is for sound, fonts, printers and smart cards.
const DEBIAN: Packages = Packages {
    name: "java",
    wanted: &["default-jre-headless", "maven"],
    without: &[
        "ca-certificates-java",
        "debconf",
        "java-common",
        "libasound2",
        "libasound2t64",
        "libc6",
        "libcups2",
        "libcups2t64",
        "libfontconfig1",
        "libfreetype6",
        "libgcc-s1",
        "libharfbuzz0b",
        "libjpeg62-turbo",
        "liblcms2-2",
        "libnss3",
        "libpcsclite1",
        "libstdc++6",
        "util-linux",
        "zlib1g",
    ],
    suite: None,
};

/// What Debian trusts; it comes with curl, git and all else that speaks TLS.
const TRUSTED: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why there can be no Keycloak here, in one line; nothing where there can.
#[must_use]
pub fn unsupported() -> Option<String> {
    let have = |name: &str| find_on_path(name).is_some();
    if (installed().is_some() && have("mvn")) || (have("apt-get") && have("dpkg-deb")) {
        return None;
    }
    Some(format!("Keycloak needs Maven and Java {OLDEST} or newer, or Debian's package tools to get them"))
}

/// A Java that is new enough.
pub fn java() -> Result<PathBuf> {
    installed().map_or_else(|| in_packages(&unpacked()?), Ok)
}

/// Maven, to be told what to do.
pub fn maven(java: &Path) -> Result<Command> {
    if let Some(maven) = find_on_path("mvn") {
        return Ok(Command::new(maven));
    }
    let root = unpacked()?;
    let home = root.join("usr/share/maven");
    let store = trust_store()?;
    let mut maven = Command::new(java);
    let property = |name: &str, path: &Path| format!("-D{name}={}", path.display());
    maven.args([
        "-Djavax.net.ssl.trustStoreType=JKS".to_owned(),
        property("javax.net.ssl.trustStore", &store),
    ]);
    maven.arg("-cp").arg(home.join("boot/plexus-classworlds-2.x.jar"));
    maven.arg(property("classworlds.conf", &home.join("bin/m2.conf")));
    maven.arg(property("maven.home", &home));
    maven.arg(property("maven.multiModuleProjectDirectory", &root));
    maven.arg("org.codehaus.plexus.classworlds.launcher.Launcher");
    Ok(maven)
}

/// `JAVA_HOME`'s, else the one on `PATH`, if it is new enough.
fn installed() -> Option<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
    let of_home = home.map(|home| PathBuf::from(home).join("bin/java"));
    [of_home, find_on_path("java")].into_iter().flatten().find(|java| {
        let asked = Command::new(java).arg("-version").stdin(Stdio::null()).output();
        let said = asked.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        said.ok().and_then(|said| version(&said)).is_some_and(|version| version >= OLDEST)
    })
}

/// `openjdk version "17.0.15" 2025-04-15` is 17.
fn version(said: &str) -> Option<u32> {
    let (_, rest) = said.split_once(" version \"")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn unpacked() -> Result<PathBuf> {
    let root = DEBIAN.unpacked()?;
    let _lock = tools::lock(&tools::directory()?, "java")?;
    relink(&root, &root)?;
    Ok(root)
}

/// Links to `/etc` are links into the unpacked root: nothing else of the packages is moved.
fn relink(directory: &Path, root: &Path) -> Result<()> {
    let what = || format!("read {}", directory.display());
    for entry in fs::read_dir(directory).with_context(what)? {
        let entry = entry.with_context(what)?;
        let (path, kind) = (entry.path(), entry.file_type().with_context(what)?);
        if kind.is_dir() {
            relink(&path, root)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).with_context(|| format!("read {}", path.display()))?;
            let Ok(inner) = target.strip_prefix("/") else { continue };
            let moved = root.join(inner);
            if !target.starts_with(root) && moved.exists() {
                let replace = || fs::remove_file(&path).and_then(|()| symlink(&moved, &path));
                replace().with_context(|| format!("link {}", path.display()))?;
            }
        }
    }
    Ok(())
}

fn in_packages(root: &Path) -> Result<PathBuf> {
    let machines = root.join("usr/lib/jvm");
    let what = || format!("read {}", machines.display());
    let found =
        fs::read_dir(&machines).with_context(what)?.flatten().map(|entry| entry.path().join("bin/java"));
    let mut found: Vec<_> = found.filter(|java| java.is_file()).collect();
    found.sort();
    found
        .pop()
        .with_context(|| format!("Debian's default-jre-headless has no Java in {}", machines.display()))
}

/// The machine's authorities in the form that Java reads (JKS, version 2). What Debian makes of them when it installs
/// Java is not there where Java is only unpacked.
fn trust_store() -> Result<PathBuf> {
    let pem = fs::read(TRUSTED).with_context(|| format!("read {TRUSTED}: install ca-certificates"))?;
    let trusted: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let trusted = trusted.map_err(|error| anyhow::anyhow!("{TRUSTED}: {error}"))?;
    let path = tools::directory()?.join("trusted.jks");
    fs::write(&path, key_store(&trusted)?).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Its last twenty bytes are a digest with a password, which nobody checks who has none.
fn key_store(trusted: &[CertificateDer<'_>]) -> Result<Vec<u8>> {
    let text = |text: &str| -> Result<Vec<u8>> {
        let length = u16::try_from(text.len())?.to_be_bytes();
        Ok([length.as_slice(), text.as_bytes()].concat())
    };
    let (head, version, count) = (0xfeed_feed_u32, 2_u32, u32::try_from(trusted.len())?);
    let mut all = [head, version, count].map(u32::to_be_bytes).concat();
    for (number, certificate) in trusted.iter().enumerate() {
        let (certificate_entry, no_time) = (2_u32.to_be_bytes(), [0; 8]);
        all.extend(certificate_entry);
        all.extend(text(&number.to_string())?);
        all.extend(no_time);
        all.extend(text("X.509")?);
        all.extend(u32::try_from(certificate.len())?.to_be_bytes());
        all.extend_from_slice(certificate);
    }
    all.extend([0; 20]);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_first_number() {
        for (said, known) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime", Some(17)),
            ("openjdk version \"25\" 2025-09-16", Some(25)),
            ("java version \"1.8.0_392\"", Some(1)),
            ("no such file", None),
        ] {
            assert_eq!(version(said), known, "{said}");
        }
    }

    #[test]
    fn links_lead_into_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::write(root.join("etc/java.security"), "of the package").unwrap();
        let link = root.join("usr/lib/java.security");
        symlink("/etc/java.security", &link).unwrap();
        symlink("/etc/nowhere", root.join("usr/lib/other")).unwrap();
        for _ in 0..2 {
            relink(&root, &root).unwrap();
            assert_eq!(fs::read_to_string(&link).unwrap(), "of the package");
        }
        assert_eq!(fs::read_link(root.join("usr/lib/other")).unwrap(), Path::new("/etc/nowhere"));
    }
}
