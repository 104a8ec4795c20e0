//! A real S3 server with authentication and TLS: versitygw over a directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    control_plane::free_port,
    directory::write_private,
    kubeconfig::Endpoint,
    pki::Authority,
    process::{Invocation, Supervised},
    tools,
};

const START_LIMIT: Duration = Duration::from_secs(60);
/// The region it is of.
pub const REGION: &str = "eu-test-1";

/// A running server. Ended on drop.
pub struct S3Server {
    endpoint: Endpoint,
    directory: PathBuf,
    access_key_id: String,
    secret_access_key: String,
    _process: Supervised,
}

impl S3Server {
    /// Starts it in `directory`, with versions of objects, for one user.
    pub async fn start(directory: &Path, servers: &Authority) -> Result<Self> {
        let program = tokio::task::spawn_blocking(tools::versitygw).await.context("build versitygw")??;
        let identity = servers.server(&[])?;
        write_private(&directory.join("s3.pem"), &identity.certificate_pem)?;
        write_private(&directory.join("s3-key.pem"), &identity.key_pem)?;
        for name in ["s3", "versions"] {
            let path = directory.join(name);
            std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        }
        let port = free_port()?;
        let (access_key_id, secret_access_key) = ("E2EACCESSKEY".to_owned(), secret());
        let mut arguments = vec!["--quiet".into(), "--port".into(), format!("127.0.0.1:{port}").into()];
        // It changes to the directory of the buckets before it opens the others.
        let path = |name: &str| directory.join(name).into_os_string();
        arguments.extend(["--region".into(), REGION.into()]);
        arguments.extend(["--cert".into(), path("s3.pem"), "--key".into(), path("s3-key.pem")]);
        arguments.extend(["posix".into(), "--versioning-dir".into(), path("versions"), path("s3")]);
        let environment = BTreeMap::from([
            ("ROOT_ACCESS_KEY_ID".to_owned(), access_key_id.clone().into()),
            ("ROOT_SECRET_ACCESS_KEY".to_owned(), secret_access_key.clone().into()),
        ]);
        let invocation = Invocation { name: "versitygw", program, arguments, environment };
        let mut process = Supervised::spawn(invocation, directory)?;
        let endpoint = Endpoint {
            url: format!("https://127.0.0.1:{port}"),
            ca_pem: servers.certificate_pem().to_owned(),
        };
        let http = endpoint.http_client()?;
        let answers = || async { http.get(&endpoint.url).send().await.is_ok() };
        process.ready(START_LIMIT, answers).await?;
        Ok(Self {
            endpoint,
            directory: directory.to_owned(),
            access_key_id,
            secret_access_key,
            _process: process,
        })
    }

    /// Where it is and what to trust.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its user's key: id and secret.
    pub fn credentials(&self) -> (&str, &str) {
        (&self.access_key_id, &self.secret_access_key)
    }

    /// Makes a bucket without a lock. Returns where its objects lie.
    pub fn bucket(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join("s3").join(name);
        std::fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(path)
    }
}

fn secret() -> String {
    use rand::Rng as _;
    let bytes: [u8; 20] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
