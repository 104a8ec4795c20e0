//! The destroyer as the process that a pod runs, with its own ServiceAccount, its own token for Vault, and its guard.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use subrosa_destroyer::cluster::APPROVAL_GUARD;
use subrosa_e2e::{installation::AUDIENCE, operator};

use crate::world::World;

/// How long a look and what follows from it may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    async fn start(world: &World) -> Self {
        let namespace = world.installed.names.namespace();
        let account = async |audience| {
            world.env.service_account_token(namespace, "subrosa-destroyer", audience).await.unwrap()
        };
        let file = world.env.directory().join("destroyer-vault-token");
        std::fs::write(&file, account(AUDIENCE).await).unwrap();
        let kubeconfig = world.env.kubeconfig_for_token("destroyer", &account("").await).unwrap();
        let mut command = Command::new(operator::binary().unwrap());
        command
            .args(["destroyer", "--interval", "1", "--listen", "127.0.0.1:0", "--namespace", namespace])
            .arg("--vault-token-file")
            .arg(&file)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Ends as a pod is ended; returns its exit code.
    async fn stop(&mut self) -> Option<i32> {
        let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(asked.success());
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it does not end");
    }
}

/// Waits until the Destruction's state is this.
async fn becomes(world: &World, name: &str, state: &str) {
    let begun = Instant::now();
    while world.state(name).await != state {
        let status = world.destruction(name).await.status;
        assert!(begun.elapsed() < PATIENCE, "{name} is not {state}: {status:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_looks_judges_its_guard_and_ends_when_it_is_told() {
    let world = World::start(&["portal"]).await;
    let order = world.list(&["portal"]).await;
    let name = order.name_any();
    let mut destroyer = Running::start(&world).await;
    becomes(&world, &name, "NotDue").await;
    let approved = async || {
        let status = world.destruction(&name).await.status.unwrap();
        let found = status.conditions.iter().find(|one| one.type_ == "Approved").unwrap();
        found.reason.clone()
    };
    assert_eq!(approved().await, "AwaitingApproval");

    // A binding that only warns is not the guard of this release.
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.admin.clone());
    let warns = json!({"spec": {"validationActions": ["Warn"]}});
    bindings.patch(APPROVAL_GUARD, &PatchParams::default(), &Patch::Merge(warns)).await.unwrap();
    becomes(&world, &name, "GuardsEdited").await;
    bindings.delete(APPROVAL_GUARD, &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    becomes(&world, &name, "GuardsEdited").await;
    assert_eq!(destroyer.stop().await, Some(0));
}
