//! kubelet, kube-proxy and kube-scheduler.

use std::{collections::BTreeMap, ffi::OsString, path::Path, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    NAME,
    containerd::SOCKET,
    network::{DNS, Network},
    programs::Programs,
    space::Space,
};
use crate::{
    control_plane::{ControlPlane, User},
    directory::write_private,
    process::{Invocation, Supervised},
};

/// How long the API server may take to hear of the node.
const LIMIT: Duration = Duration::from_secs(90);

/// Whom the components prove to be.
pub fn users() -> Vec<User> {
    vec![
        User::new(&format!("system:node:{NAME}"), &["system:nodes"]),
        User::new("system:kube-proxy", &[]),
        User::new("system:kube-scheduler", &[]),
    ]
}

/// The processes that make pods run; ended with the node.
pub struct Components {
    scheduler: Supervised,
    proxy: Supervised,
    kubelet: Supervised,
}

/// Where everything is.
pub struct Site<'a> {
    /// The node's namespaces.
    pub space: &'a Space,
    /// What it is made of.
    pub programs: &'a Programs,
    /// Its addresses.
    pub network: Network,
    /// Its files.
    pub directory: &'a Path,
    /// The API server.
    pub plane: &'a ControlPlane,
    /// Of [`users`].
    pub users: &'a [User],
}

impl Components {
    /// Starts them.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(site: &Site<'_>) -> Result<Self> {
        Ok(Self { scheduler: scheduler(site)?, proxy: proxy(site)?, kubelet: kubelet(site)? })
    }

    /// Waits until `registered` says so, and fails with the kubelet's last words where it ends before.
    ///
    /// # Errors
    /// When the kubelet ends, or time is up.
    pub async fn ready<F: Future<Output = bool>>(&mut self, registered: impl FnMut() -> F) -> Result<()> {
        self.kubelet.ready(LIMIT, registered).await
    }

    /// The components that ended, which none should.
    pub fn ended(&mut self) -> Vec<&'static str> {
        let all = [
            ("kube-scheduler", &mut self.scheduler),
            ("kube-proxy", &mut self.proxy),
            ("kubelet", &mut self.kubelet),
        ];
        all.into_iter().filter_map(|(name, process)| process.exited().map(|_| name)).collect()
    }
}

fn kubelet(site: &Site<'_>) -> Result<Supervised> {
    let resolv = site.directory.join("resolv.conf");
    // Names beyond the cluster lead nowhere.
    write_private(&resolv, "")?;
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": site.network.node(),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": site.plane.cluster_ca()},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": resolv,
        // Of all that a node's kubelet manages, what needs privileges that a test machine may not have is off.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "oomScoreAdj": 0,
        // The machine's disk and memory are nobody's pods' alone: nothing is evicted, no image collected.
        "evictionHard": {
            "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
            "imagefs.available": "0%", "imagefs.inodesFree": "0%", "pid.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        // A changed Secret is written when a pod is next looked after. In production that is up to a minute
        // and a half; a test would only wait longer.
        "syncFrequency": "2s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "readOnlyPort": 0,
        "healthzPort": 0,
    });
    let file = written(site, "kubelet.json", &configuration)?;
    let arguments = [
        flag("kubeconfig", &kubeconfig(site, &format!("system:node:{NAME}"), "kubelet")?),
        format!("--config={file}"),
        format!("--hostname-override={NAME}"),
        format!("--node-ip={}", site.network.node()),
    ];
    inside(site, "kubelet", arguments)
}

fn proxy(site: &Site<'_>) -> Result<Supervised> {
    let configuration = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NAME,
        "clusterCIDR": site.network.pods(),
        "clientConnection": {"kubeconfig": kubeconfig(site, "system:kube-proxy", "kube-proxy")?},
        // Limits of connections are the machine's, not a namespace's.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
    });
    let file = written(site, "kube-proxy.json", &configuration)?;
    inside(site, "kube-proxy", [format!("--config={file}")])
}

/// Beside the API server and not in the node, as in a real cluster.
fn scheduler(site: &Site<'_>) -> Result<Supervised> {
    let arguments = [
        "kube-scheduler".to_owned(),
        flag("kubeconfig", &kubeconfig(site, "system:kube-scheduler", "kube-scheduler")?),
        "--secure-port=0".to_owned(),
        "--leader-elect=false".to_owned(),
    ];
    let invocation = Invocation {
        name: "kube-scheduler",
        program: site.programs.node.clone(),
        arguments: arguments.map(OsString::from).to_vec(),
        environment: BTreeMap::new(),
    };
    Supervised::spawn(invocation, site.directory)
}

fn inside(
    site: &Site<'_>,
    name: &'static str,
    arguments: impl IntoIterator<Item = String>,
) -> Result<Supervised> {
    let all = [name.to_owned()].into_iter().chain(arguments).map(OsString::from);
    let environment = BTreeMap::from([
        ("PATH".to_owned(), site.programs.path()?.into()),
        ("LD_LIBRARY_PATH".to_owned(), site.programs.libraries().into()),
    ]);
    let invocation = site.space.invocation(name, &site.programs.node, all, environment)?;
    Supervised::spawn(invocation, site.directory)
}

fn kubeconfig(site: &Site<'_>, user: &str, file: &str) -> Result<String> {
    let token = site.users.iter().find(|known| known.name == user).map(|known| known.token.as_str());
    let text = site.plane.endpoint().kubeconfig(user, token.unwrap_or_default())?;
    let path = write_private(&site.directory.join(format!("{file}.kubeconfig")), &text)?;
    Ok(path.display().to_string())
}

fn written(site: &Site<'_>, name: &str, content: &Value) -> Result<String> {
    Ok(write_private(&site.directory.join(name), &content.to_string())?.display().to_string())
}

fn flag(name: &str, value: &str) -> String {
    format!("--{name}={value}")
}
