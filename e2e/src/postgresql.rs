//! A real PostgreSQL on loopback that lets nobody in without a certificate, of Debian's packages.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::{
    control_plane::free_port,
    directory::WorkDirectory,
    node::{debian::Packages, images::WITHOUT},
    pki::Authority,
    process::{Invocation, Supervised},
    tools,
};

const START_LIMIT: Duration = Duration::from_secs(60);
/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// Which PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresVersion {
    /// 15, of Debian 12.
    V15,
    /// 17, of Debian 13, whose C library is newer, so it runs below a root of its own.
    V17,
}

impl PostgresVersion {
    /// Why it cannot run here, if so.
    pub fn unsupported(self) -> Option<&'static str> {
        (self == Self::V17 && !geteuid().is_root())
            .then_some("PostgreSQL 17 of another Debian needs root for chroot")
    }

    fn packages(self) -> Packages {
        match self {
            Self::V15 => Packages {
                name: "postgresql-15",
                wanted: &["postgresql-15", "postgresql-client-15"],
                without: WITHOUT,
                suite: None,
            },
            Self::V17 => Packages {
                name: "postgresql-17",
                wanted: &["busybox-static", "postgresql-17", "postgresql-client-17"],
                without: WITHOUT,
                suite: Some("trixie"),
            },
        }
    }

    const fn number(self) -> &'static str {
        match self {
            Self::V15 => "15",
            Self::V17 => "17",
        }
    }
}

/// A running server. Ended on drop.
pub struct PostgreSql {
    version: PostgresVersion,
    root: PathBuf,
    port: u16,
    /// Its directory as this machine sees it.
    directory: PathBuf,
    _process: Supervised,
    _own: Option<WorkDirectory>,
    _below: Option<TempDir>,
}

impl PostgreSql {
    /// Starts it with a certificate of `authority` for localhost, and lets in whoever has one of `clients`, as the role that its
    /// common name is.
    ///
    /// # Errors
    /// When it cannot be got or does not start.
    pub async fn start(version: PostgresVersion, authority: &Authority, clients: &Authority) -> Result<Self> {
        let root = tokio::task::spawn_blocking(move || version.packages().unpacked()).await??;
        let (own, below) = match version {
            PostgresVersion::V15 => (Some(WorkDirectory::create()?), None),
            PostgresVersion::V17 => {
                furnish(&root)?;
                (None, Some(tempfile::Builder::new().prefix("data-").tempdir_in(root.join("tmp"))?))
            }
        };
        let directory = own.as_ref().map(WorkDirectory::path).or(below.as_ref().map(TempDir::path));
        let directory = directory.context("a directory")?.to_owned();
        let port = free_port()?;
        let identity = authority.server(&[])?;
        let at = |name: &str| directory.join(name);
        fs::write(at("tls.crt"), &identity.certificate_pem)?;
        fs::write(at("tls.key"), &identity.key_pem)?;
        fs::set_permissions(at("tls.key"), fs::Permissions::from_mode(0o600))?;
        fs::write(at("ca.crt"), clients.certificate_pem())?;
        fs::write(at("hba"), "local all all trust\nhostssl all all all cert clientcert=verify-full\n")?;
        if geteuid().is_root() {
            for path in [directory.clone(), at("tls.crt"), at("tls.key"), at("ca.crt"), at("hba")] {
                chown(&path, Some(NOBODY), Some(NOBODY)).with_context(|| path.display().to_string())?;
            }
        }
        // As the server sees it.
        let inside = match version {
            PostgresVersion::V15 => directory.clone(),
            PostgresVersion::V17 => Path::new("/").join(directory.strip_prefix(&root)?),
        };
        let inside = inside.display();
        let data = format!("{inside}/data");
        let made = ["--pgdata", &data, "--username", "postgres", "--auth", "trust"];
        let made = made.into_iter().chain(["--no-locale", "--encoding", "UTF8", "--no-sync"]);
        let (program, arguments, environment) = command(version, &root, "initdb", made.map(str::to_owned));
        let mut initdb = Command::new(program);
        initdb.args(arguments).envs(environment).current_dir("/");
        tools::run(initdb, "initdb")?;
        let options = [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={inside}"),
            format!("hba_file={inside}/hba"),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={inside}/tls.crt"),
            format!("ssl_key_file={inside}/tls.key"),
            format!("ssl_ca_file={inside}/ca.crt"),
            "jit=off".to_owned(),
            "fsync=off".to_owned(),
            "dynamic_shared_memory_type=mmap".to_owned(),
        ];
        let options = options.into_iter().flat_map(|option| ["-c".to_owned(), option]);
        let all = ["-D".to_owned(), data].into_iter().chain(options);
        let (program, arguments, environment) = command(version, &root, "postgres", all);
        let invocation = Invocation { name: "postgres", program, arguments, environment };
        let mut process = Supervised::spawn(invocation, &directory)?;
        let socket = at(&format!(".s.PGSQL.{port}"));
        process.ready(START_LIMIT, || async { socket.exists() }).await?;
        let server = Self { version, root, port, directory, _process: process, _own: own, _below: below };
        // The socket is there a moment before anybody is let in.
        let until = Instant::now() + START_LIMIT;
        while let Err(error) = server.sql("postgres", &["-c", "SELECT 1"]) {
            ensure!(Instant::now() < until, "PostgreSQL lets nobody in: {error:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Writes a program into `directory` that runs a client of this release, such as `pg_dump`.
    ///
    /// # Errors
    /// When it cannot be written, or would need a root of its own.
    pub fn client(&self, name: &str, directory: &Path) -> Result<()> {
        ensure!(self.version == PostgresVersion::V15, "clients run without a root of their own");
        let (program, libraries) = (bin(&self.root, self.version).join(name), libraries(&self.root));
        let path = directory.join(name);
        let script =
            format!("#!/bin/sh\nLD_LIBRARY_PATH={} exec {} \"$@\"\n", libraries.display(), program.display());
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// What its owner does in a database: commands or a file for psql.
    ///
    /// # Errors
    /// When psql says no, with what it said.
    pub fn sql(&self, database: &str, arguments: &[&str]) -> Result<String> {
        let host = match self.version {
            PostgresVersion::V15 => self.directory.clone(),
            PostgresVersion::V17 => Path::new("/").join(self.directory.strip_prefix(&self.root)?),
        };
        let all = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"];
        let all = all.into_iter().map(str::to_owned).chain([host.display().to_string(), "-p".to_owned()]);
        let all = all.chain([self.port.to_string()]).chain(arguments.iter().map(ToString::to_string));
        let (program, arguments, environment) = command(self.version, &self.root, "psql", all);
        let mut psql = Command::new(program);
        psql.args(arguments).envs(environment).current_dir("/");
        let Output { status, stdout, stderr } = psql.output().context("run psql")?;
        ensure!(status.success(), "psql: {}", String::from_utf8_lossy(&stderr));
        Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
    }
}

fn bin(root: &Path, version: PostgresVersion) -> PathBuf {
    root.join("usr/lib/postgresql").join(version.number()).join("bin")
}

fn libraries(root: &Path) -> PathBuf {
    root.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH))
}

/// How a program of a release is run, as somebody who is not root.
fn command(
    version: PostgresVersion,
    root: &Path,
    name: &str,
    arguments: impl Iterator<Item = String>,
) -> (PathBuf, Vec<OsString>, BTreeMap<String, OsString>) {
    let arguments = arguments.map(OsString::from);
    match version {
        PostgresVersion::V15 => {
            let program = bin(root, version).join(name);
            let environment =
                BTreeMap::from([("LD_LIBRARY_PATH".to_owned(), libraries(root).into_os_string())]);
            if !geteuid().is_root() {
                return (program, arguments.collect(), environment);
            }
            let nobody =
                [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
            let all = nobody.into_iter().map(OsString::from).chain(["--".into(), program.into_os_string()]);
            ("setpriv".into(), all.chain(arguments).collect(), environment)
        }
        PostgresVersion::V17 => {
            let program = bin(Path::new("/"), version).join(name);
            let all = [format!("--userspec={NOBODY}:{NOBODY}").into(), root.into(), program.into_os_string()];
            ("chroot".into(), all.into_iter().chain(arguments).collect(), BTreeMap::new())
        }
    }
}

/// What maintainers' scripts would have done, as far as a database needs it.
fn furnish(root: &Path) -> Result<()> {
    for merged in ["bin", "sbin", "lib", "lib64"] {
        let (place, in_usr) = (root.join(merged), Path::new("usr").join(merged));
        if !place.exists() && root.join(&in_usr).exists() {
            symlink(&in_usr, &place).with_context(|| place.display().to_string())?;
        }
    }
    let shell = root.join("usr/bin/sh");
    if shell.symlink_metadata().is_err() {
        symlink("busybox", &shell).with_context(|| shell.display().to_string())?;
    }
    for directory in ["etc", "tmp", "dev"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::write(root.join("etc/passwd"), format!("nobody:x:{NOBODY}:{NOBODY}:nobody:/tmp:/bin/sh\n"))?;
    let null = root.join("dev/null");
    if !null.exists() {
        fs::write(&null, "").with_context(|| null.display().to_string())?;
        fs::set_permissions(&null, fs::Permissions::from_mode(0o666))?;
    }
    Ok(())
}
