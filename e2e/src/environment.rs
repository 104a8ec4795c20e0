//! A cluster and an OpenBao together, and the ways in.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use kube::Client;

use crate::{
    audit::{ApiAuditEntry, AuditLog, Mark},
    cluster::Components,
    control_plane::{ControlPlane, Setting, User},
    directory::{WorkDirectory, write_private},
    kubeconfig::{self, Endpoint},
    openbao::{OpenBao, Storage},
    pki::Authority,
    proxy::Proxy,
    tap::Tap,
    tools,
};

/// What an environment should be, where the defaults do not fit.
#[derive(Default)]
pub struct EnvironmentBuilder {
    users: Vec<User>,
    storage: Storage,
    local: bool,
}

impl EnvironmentBuilder {
    /// A user who can authenticate with a token, see [`Environment::user_token`].
    pub fn user(mut self, name: &str, groups: &[&str]) -> Self {
        self.users.push(User::new(name, groups));
        self
    }

    /// Where OpenBao keeps its data.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// Never the cluster of `SUBROSA_E2E_KUBECONFIG`: for tests that read audit logs or need token users.
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// Provisions what is missing, starts both concurrently and returns when both are ready.
    pub async fn start(self) -> Result<Environment> {
        kubeconfig::install_crypto_provider();
        let external =
            std::env::var_os("SUBROSA_E2E_KUBECONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        let local = external.is_none();
        let provision = move || -> Result<_> {
            let components = if local { Some(Components::provision()?) } else { None };
            Ok((components, tools::bao()?))
        };
        let (components, bao) = tokio::task::spawn_blocking(provision).await.context("provision tools")??;

        let directory = WorkDirectory::create()?;
        let servers = Authority::new("subrosa e2e servers")?;
        let cluster = async {
            match (components, external) {
                (Some(components), _) => {
                    let plane = ControlPlane::start(
                        &components,
                        directory.path(),
                        &servers,
                        &self.users,
                        Setting::Alone,
                    )
                    .await?;
                    Ok(Cluster::Local(Box::new(plane)))
                }
                (None, Some(path)) => {
                    let text = std::fs::read_to_string(&path)
                        .with_context(|| format!("SUBROSA_E2E_KUBECONFIG: read {}", path.display()))?;
                    let (config, endpoint) = kubeconfig::load(&text).await?;
                    if !self.users.is_empty() {
                        bail!(
                            "users with tokens exist only on a local control plane: use Environment::client_as"
                        );
                    }
                    Ok(Cluster::External { config: Box::new(config), endpoint, path })
                }
                (None, None) => bail!("neither a local control plane nor SUBROSA_E2E_KUBECONFIG"),
            }
        };
        let openbao = OpenBao::start(&bao, directory.path(), &servers, self.storage);
        let (cluster, openbao) = tokio::try_join!(cluster, openbao)?;
        Ok(Environment { cluster, openbao, servers, users: self.users, directory })
    }
}

enum Cluster {
    Local(Box<ControlPlane>),
    External { config: Box<kube::Config>, endpoint: Endpoint, path: PathBuf },
}

/// A running cluster and OpenBao. Dropping it ends both and removes their directory.
///
/// Clients are made on request and not kept, because they are bound to the runtime they were made
/// on; so one environment may serve several `#[tokio::test]`s.
pub struct Environment {
    // Fields are dropped in this order: the servers end before their directory goes.
    cluster: Cluster,
    openbao: OpenBao,
    servers: Authority,
    users: Vec<User>,
    directory: WorkDirectory,
}

impl Environment {
    /// A cluster and an OpenBao with the defaults.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// An environment with wishes.
    pub fn builder() -> EnvironmentBuilder {
        EnvironmentBuilder::default()
    }

    /// OpenBao.
    pub fn openbao(&self) -> &OpenBao {
        &self.openbao
    }

    /// OpenBao, to put another one's storage into it.
    pub fn openbao_mut(&mut self) -> &mut OpenBao {
        &mut self.openbao
    }

    /// One more OpenBao, of the same program and with a certificate of the same CA; it ends when it is dropped.
    pub async fn another_openbao(&self) -> Result<OpenBao> {
        self.openbao.another(&self.directory.path().join("another"), &self.servers).await
    }

    /// The control plane, unless the cluster is the user's own.
    pub fn control_plane(&self) -> Option<&ControlPlane> {
        match &self.cluster {
            Cluster::Local(plane) => Some(plane),
            Cluster::External { .. } => None,
        }
    }

    /// The API server.
    pub fn api(&self) -> &Endpoint {
        match &self.cluster {
            Cluster::Local(plane) => plane.endpoint(),
            Cluster::External { endpoint, .. } => endpoint,
        }
    }

    /// The CA of the harness's servers and proxies.
    pub fn servers(&self) -> &Authority {
        &self.servers
    }

    /// A directory for a test's own files; it goes with the environment.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration of an administrator's client.
    pub fn admin_config(&self) -> Result<kube::Config> {
        match &self.cluster {
            Cluster::Local(plane) => plane.endpoint().kube_config(plane.admin_token()),
            Cluster::External { config, .. } => Ok(config.as_ref().clone()),
        }
    }

    /// An administrator's client.
    pub fn admin(&self) -> Result<Client> {
        client(self.admin_config()?)
    }

    /// A kubeconfig file for the administrator.
    pub fn admin_kubeconfig(&self) -> Result<PathBuf> {
        match &self.cluster {
            Cluster::Local(plane) => self.kubeconfig_for_token("e2e-admin", plane.admin_token()),
            Cluster::External { path, .. } => Ok(path.clone()),
        }
    }

    /// A client that proves itself with this token.
    pub fn client_for_token(&self, token: &str) -> Result<Client> {
        client(self.config_for_token(token)?)
    }

    /// A client as any user and groups, by impersonation: the API server authorises them as if they had come themselves.
    pub fn client_as(&self, user: &str, groups: &[&str]) -> Result<Client> {
        let mut config = self.admin_config()?;
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(groups.iter().map(ToString::to_string).collect());
        client(config)
    }

    /// The token of a user declared with [`EnvironmentBuilder::user`].
    pub fn user_token(&self, name: &str) -> Result<&str> {
        let user = self.users.iter().find(|user| user.name == name);
        let user =
            user.with_context(|| format!("no user {name:?}: declare it with EnvironmentBuilder::user"))?;
        Ok(&user.token)
    }

    /// A kubeconfig file (mode 0600) with this token, in the environment's directory.
    pub fn kubeconfig_for_token(&self, name: &str, token: &str) -> Result<PathBuf> {
        self.kubeconfig_through(self.api(), name, token)
    }

    /// The same for a client that goes through a proxy.
    pub fn kubeconfig_through(&self, api: &Endpoint, name: &str, token: &str) -> Result<PathBuf> {
        if name.is_empty() || name.contains(['/', '\0']) {
            bail!("kubeconfig name {name:?}: it becomes a file name");
        }
        let path = self.directory.path().join(format!("{name}.kubeconfig"));
        write_private(&path, &api.kubeconfig(name, token)?)
    }

    /// A proxy in front of the API server. Use its endpoint with [`Environment::kubeconfig_through`].
    pub async fn proxy_api(&self, tap: &Arc<Tap>) -> Result<Proxy> {
        Proxy::start(self.api(), &self.servers, tap).await
    }

    /// A proxy in front of OpenBao.
    pub async fn proxy_openbao(&self, tap: &Arc<Tap>) -> Result<Proxy> {
        Proxy::start(self.openbao.endpoint(), &self.servers, tap).await
    }

    /// The API server's audit log as a file with marks, to read only what is new.
    pub fn audit(&self) -> Result<&AuditLog> {
        let plane = self.control_plane().map(ControlPlane::audit);
        plane.context("the audit log of a cluster given by SUBROSA_E2E_KUBECONFIG cannot be read")
    }

    /// The API server's whole audit log.
    pub fn audit_entries(&self) -> Result<Vec<ApiAuditEntry>> {
        self.audit()?.entries_since(Mark::default())
    }

    /// The servers' process ids by component.
    pub fn pids(&self) -> BTreeMap<&'static str, u32> {
        let mut pids = self.control_plane().map(ControlPlane::pids).unwrap_or_default();
        pids.extend(self.openbao.pid().map(|pid| ("openbao", pid)));
        pids
    }

    fn config_for_token(&self, token: &str) -> Result<kube::Config> {
        match &self.cluster {
            Cluster::Local(plane) => plane.endpoint().kube_config(token),
            Cluster::External { config, .. } => {
                let mut config = config.as_ref().clone();
                config.auth_info =
                    kube::config::AuthInfo { token: Some(token.to_owned().into()), ..Default::default() };
                Ok(config)
            }
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // Their data goes with the directory, so an orderly end would only take time.
        self.openbao.kill();
        if let Cluster::Local(plane) = &mut self.cluster {
            plane.kill();
        }
    }
}

fn client(config: kube::Config) -> Result<Client> {
    Client::try_from(config).context("make a Kubernetes client")
}
