//! A node on which pods really run: containerd, kubelet, kube-proxy, scheduler and CoreDNS, in namespaces of
//! their own on this machine, with a control plane of its own.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use subrosa_e2e::node::{Node, unsupported};
//!
//! if let Some(why) = unsupported() {
//!     println!("no node here: {why}");
//!     return Ok(());
//! }
//! let node = Node::start().await?;
//! let image = node.image("client").await?;
//! node.apply(&serde_json::json!({
//!     "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client", "namespace": "default"},
//!     "spec": {"containers": [{"name": "client", "image": image, "command": ["sleep", "infinity"]}]},
//! })).await?;
//! node.pod_is_ready("default", "client").await?;
//! let said = node.exec("default", "client", &["nslookup", "kubernetes.default.svc.cluster.local"]).await?;
//! assert!(said.succeeded(), "{said:?}");
//! # Ok(())
//! # }
//! ```
//!
//! It needs Linux, root and Debian's package tools; [`unsupported`] says in one line what is missing. The first
//! start builds kubelet, containerd and CoreDNS, minutes on two cores; see [`programs`].
//!
//! The machine reaches pods by their addresses, so a test can speak to them itself; pods reach the machine, and
//! nothing beyond it. **No NetworkPolicy is enforced**: there is no network plugin that does, so no test on a node
//! may claim that a packet was blocked.

pub mod components;
pub mod containerd;
pub mod debian;
pub mod dns;
pub mod ground;
pub mod images;
pub mod janitor;
mod look;
pub mod network;
pub mod programs;
pub mod release;
pub mod renewal;
pub mod servers;
pub mod space;
mod support;
pub mod vault;
pub mod wire;

use std::{collections::BTreeSet, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1 as core;
use kube::{Api, Client};
use serde_json::Value;
use tokio::{process::Command, sync::Mutex};

use crate::{
    cluster,
    control_plane::{ControlPlane, Setting},
    installation::apply_object,
    kubeconfig,
    pki::Authority,
    tools,
};
use components::{Components, Site};
use containerd::Containerd;
use ground::Ground;
use programs::Programs;

pub use support::unsupported;

/// How long anything may take that happens by itself, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// What the node is called.
pub const NAME: &str = "node-1";

/// A running node with its control plane. Dropping it ends all of it and leaves nothing; so does the end of the
/// process, however it ends.
pub struct Node {
    // Dropped in this order; the ground goes last.
    components: Components,
    _containerd: Containerd,
    plane: ControlPlane,
    imported: Mutex<BTreeSet<String>>,
    programs: Programs,
    kubectl: PathBuf,
    servers: Authority,
    ground: Ground,
}

impl Node {
    /// Builds what is missing, starts everything, and returns once the node is ready and names are answered.
    ///
    /// # Errors
    /// When something cannot be built, or does not start; the error has the end of its log.
    pub async fn start() -> Result<Self> {
        kubeconfig::install_crypto_provider();
        let provision = || {
            let plane = cluster::Components::provision()?;
            anyhow::Ok((plane, Programs::provision()?, tools::kubectl()?))
        };
        let (parts, programs, kubectl) =
            tokio::task::spawn_blocking(provision).await.context("provision tools")??;

        let ground = Ground::prepare(&programs)?;
        let servers = Authority::new("subrosa e2e servers")?;
        let users = components::users();
        let mut containerd =
            Containerd::start(ground.space(), &programs, ground.network(), ground.directory())?;
        let setting = Setting::WithNode(ground.network().machine());
        let plane = ControlPlane::start(&parts, ground.directory(), &servers, &users, setting).await?;
        containerd.ready(ground.space(), &programs).await?;
        let components = Components::start(&Site {
            space: ground.space(),
            programs: &programs,
            network: ground.network(),
            directory: ground.directory(),
            plane: &plane,
            users: &users,
        })?;
        let imported = Mutex::default();
        let mut node =
            Self { components, _containerd: containerd, plane, imported, programs, kubectl, servers, ground };
        node.begin().await?;
        Ok(node)
    }

    async fn begin(&mut self) -> Result<()> {
        let client = self.client()?;
        apply_object(&client, &dns::api_server(self.plane.endpoint())?).await?;
        self.image("pause").await?;
        let coredns = self.image("coredns").await?;
        for manifest in dns::manifests(&coredns) {
            apply_object(&client, &manifest).await?;
        }
        let nodes: Api<core::Node> = Api::all(client);
        self.components
            .ready(|| async { nodes.get(NAME).await.is_ok_and(|node| look::node_is_ready(&node)) })
            .await?;
        self.is_rolled_out("kube-system", "coredns").await
    }

    /// An administrator's client. Not kept, because it is bound to the runtime it is made on.
    ///
    /// # Errors
    /// When none can be made.
    pub fn client(&self) -> Result<Client> {
        let config = self.plane.endpoint().kube_config(self.plane.admin_token())?;
        Client::try_from(config).context("make a Kubernetes client")
    }

    /// A kubeconfig file of the administrator.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        let text = self.plane.endpoint().kubeconfig("e2e-admin", self.plane.admin_token())?;
        crate::directory::write_private(&self.ground.directory().join("admin.kubeconfig"), &text)
    }

    /// The control plane, such as for its audit log.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// The node's addresses.
    pub fn network(&self) -> network::Network {
        self.ground.network()
    }

    /// The paths of everything that is gone when the node is; see [`Ground::leavings`].
    pub fn leavings(&self) -> Vec<String> {
        self.ground.leavings()
    }

    /// The CA of the harness's servers.
    pub fn servers(&self) -> &Authority {
        &self.servers
    }

    /// Makes an image known to the node and gives what a pod calls it. See [`images::image`] for the names.
    ///
    /// # Errors
    /// When it cannot be made; the first time that may take a minute.
    pub async fn image(&self, name: &str) -> Result<String> {
        let (programs, wanted) = (self.programs.clone(), name.to_owned());
        let made = tokio::task::spawn_blocking(move || images::image(&wanted, &programs));
        let image = made.await.context("make an image")??;
        // Held for so long on purpose: two imports at once only take the disk from each other.
        let mut imported = self.imported.lock().await;
        if !imported.contains(&image.reference) {
            Containerd::import(self.ground.space(), &self.programs, &image.archive)
                .with_context(|| format!("import {}", image.reference))?;
            imported.insert(image.reference.clone());
        }
        Ok(image.reference)
    }

    /// Applies an object as an administrator.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        apply_object(&self.client()?, object).await.map(drop)
    }

    /// Runs a program in a pod's first container, and gives what came of it. `pod` may be `deploy/name`.
    ///
    /// # Errors
    /// When it cannot be run. That it failed is no error.
    pub async fn exec(&self, namespace: &str, pod: &str, argv: &[&str]) -> Result<Said> {
        let mut arguments = vec!["exec", "--namespace", namespace, pod, "--"];
        arguments.extend(argv);
        self.kubectl(&arguments).await
    }

    /// The same in another container of the pod.
    ///
    /// # Errors
    /// When it cannot be run. That it failed is no error.
    pub async fn exec_in(&self, namespace: &str, pod: &str, container: &str, argv: &[&str]) -> Result<Said> {
        let mut arguments = vec!["exec", "--namespace", namespace, pod, "--container", container, "--"];
        arguments.extend(argv);
        self.kubectl(&arguments).await
    }

    /// Runs kubectl as an administrator.
    ///
    /// # Errors
    /// When it cannot be run. That it failed is no error.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Said> {
        let mut command = Command::new(&self.kubectl);
        command.env("KUBECONFIG", self.kubeconfig()?).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.context("run kubectl")?;
        Ok(Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Their data goes with the directory, so an orderly end would only take time.
        self.ground.end();
        self.plane.kill();
    }
}

/// What a program in a pod said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Whether it ended with 0.
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Everything it said.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}
