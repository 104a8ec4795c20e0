//! Which programs the control plane is made of.

use std::path::PathBuf;

use anyhow::Result;

use crate::tools;

/// One server program: a path and, for the multi-call binary, the argument that selects the component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The program.
    pub program: PathBuf,
    /// Its first argument, if it needs one.
    pub selector: Option<&'static str>,
}

/// The three programs of a control plane.
#[derive(Clone, Debug)]
pub struct Components {
    /// etcd.
    pub etcd: Component,
    /// kube-apiserver.
    pub apiserver: Component,
    /// kube-controller-manager.
    pub controller_manager: Component,
}

impl Components {
    /// Takes what `KUBEBUILDER_ASSETS` has and builds what it lacks. Blocks, possibly for minutes.
    ///
    /// setup-envtest ships no kube-controller-manager; namespaces would never end and
    /// ServiceAccounts never appear without one, so ours completes the set.
    pub fn provision() -> Result<Self> {
        let provided = |name: &'static str| {
            tools::kubebuilder_asset(name).map(|program| Component { program, selector: None })
        };
        let component = |name: &'static str| -> Result<Component> {
            match provided(name) {
                Some(component) => Ok(component),
                None => Ok(Component { program: tools::cluster()?, selector: Some(name) }),
            }
        };
        let mut components = Self {
            etcd: component("etcd")?,
            apiserver: component("kube-apiserver")?,
            controller_manager: component("kube-controller-manager")?,
        };
        // etcd and the API server of one set belong together: half a set is no set.
        if components.etcd.selector != components.apiserver.selector.map(|_| "etcd") {
            let program = tools::cluster()?;
            let ours = |name| Component { program: program.clone(), selector: Some(name) };
            components.etcd = ours("etcd");
            components.apiserver = ours("kube-apiserver");
        }
        Ok(components)
    }
}
