//! A thousand AccessRoles: how long the granter takes beside what its writes alone cost, and its memory. `cargo test … --release` and
//! nothing else on the machine, else the numbers say nothing.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use subrosa_crds::AccessRole;
use subrosa_e2e::{Environment, installation::AUDIENCE, operator, wait};
use subrosa_records::vault::setup::ProviderKeys;

use super::{
    provider::{ISSUER, Provider},
    world::{CHAT, NS, RECORDING, World, ready, role},
};

const ROLES: usize = 1000;
const SUBJECTS: usize = 5;
const GROUPS: usize = 64;
/// How many bare writers write, as in the benchmark of the operator.
const WRITERS: usize = 16;

pub async fn a_thousand_roles() {
    let env = Environment::builder().local().start().await.unwrap();
    let provider = Provider::new();
    let keys = ProviderKeys::Given(vec![provider.public_key()]);
    let access = json!({
        "provider": {"issuer": ISSUER, "groups": GROUPS, "kubernetesGroupsPrefix": "oidc:"},
        "logins": [{"name": "strong", "acceptedAmr": ["mfa"], "slots": 8}],
    });
    let world = World::of(env, access, keys, provider).await;
    let made = |number: usize| {
        let groups: Vec<_> =
            (0..SUBJECTS).map(|at| format!("group-{}", (number * SUBJECTS + at) % GROUPS)).collect();
        let groups: Vec<_> = groups.iter().map(String::as_str).collect();
        let pair = [("voice", RECORDING), ("voice", CHAT), ("video", RECORDING), ("video", CHAT)][number % 4];
        role(&format!("role-{number}"), "strong", &groups, &[pair])
    };
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let create = |number: usize| {
        let (roles, one) = (roles.clone(), serde_json::from_value(made(number)).unwrap());
        async move { drop(roles.create(&PostParams::default(), &one).await.unwrap()) }
    };
    stream::iter(0..ROLES).for_each_concurrent(WRITERS, create).await;
    // The operator's part.
    wait::until(Duration::from_secs(60), || async {
        let mut opened = 0;
        for number in 0..8 {
            let slot = format!("identity/group/name/subrosa_oosterlinde_open_strong_{number:03}");
            let found = world.env.openbao().request("GET", &slot, None).await.unwrap();
            opened += usize::from(!found["data"]["metadata"]["open"].is_null());
        }
        if opened == 4 { Ok(()) } else { Err(opened) }
    })
    .await
    .unwrap();

    let bare = bare(&world).await;
    let granter = Process::start(&world).await;
    let began = Instant::now();
    let all_ready = wait::until(Duration::from_secs(300), || async {
        let found = roles.list(&ListParams::default()).await.unwrap().items;
        let count = found.iter().filter(|one| one.status.as_ref().is_some_and(ready)).count();
        tokio::time::sleep(Duration::from_millis(200)).await;
        if count == ROLES { Ok(()) } else { Err(count) }
    });
    all_ready.await.unwrap();
    let took = began.elapsed();
    println!(
        "{ROLES} AccessRoles with {SUBJECTS} groups each: all Ready in {took:.1?}, the same writes bare {bare:.1?} ({:.2}), memory \
         of the granter {}",
        took.as_secs_f64() / bare.as_secs_f64(),
        granter.memory()
    );
    let before = roles.list(&ListParams::default()).await.unwrap().metadata.resource_version;
    tokio::time::sleep(Duration::from_secs(70)).await;
    let after = roles.list(&ListParams::default()).await.unwrap().items;
    let newest =
        after.iter().filter_map(|one| one.metadata.resource_version.as_ref()?.parse::<u64>().ok()).max();
    assert!(newest <= before.and_then(|version| version.parse().ok()), "a role was written again");
    println!("a minute later: memory of the granter {}", granter.memory());
}

/// What the granter writes for as many roles, with nothing around it.
async fn bare(world: &World) -> Duration {
    let namespace = "default";
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), namespace);
    let kubernetes: Api<Role> = Api::namespaced(world.admin.clone(), namespace);
    let bindings: Api<RoleBinding> = Api::namespaced(world.admin.clone(), namespace);
    let post = PostParams::default();
    let create = |number: usize| {
        let (roles, post) = (roles.clone(), &post);
        let mut one = role(&format!("bare-{number}"), "strong", &["a"], &[("voice", RECORDING)]);
        one["metadata"]["namespace"] = json!(namespace);
        async move { drop(roles.create(post, &serde_json::from_value(one).unwrap()).await.unwrap()) }
    };
    stream::iter(0..ROLES).for_each_concurrent(WRITERS, create).await;
    let status: Value = json!({"status": {"rights": "1/1", "conditions": [{
        "type": "Ready", "status": "True", "reason": "InForce", "message": "m".repeat(200),
        "lastTransitionTime": "2026-11-29T21:00:00Z",
    }]}});
    let write = |number: usize| {
        let (roles, kubernetes, bindings) = (roles.clone(), kubernetes.clone(), bindings.clone());
        let (status, post, name) = (&status, &post, format!("bare-{number}"));
        async move {
            let group = "rbac.authorization.k8s.io";
            let rule = json!({
                "apiGroups": ["subrosa.dev"], "resources": ["channels"], "resourceNames": ["voice"], "verbs": ["get"],
            });
            let one = json!({"metadata": {"name": name}, "rules": [rule]});
            kubernetes.create(post, &serde_json::from_value(one).unwrap()).await.unwrap();
            let subjects: Vec<_> = (0..SUBJECTS)
                .map(|number| json!({"apiGroup": group, "kind": "Group", "name": format!("oidc:g-{number}")}))
                .collect();
            let one = json!({
                "metadata": {"name": name}, "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
                "subjects": subjects,
            });
            bindings.create(post, &serde_json::from_value(one).unwrap()).await.unwrap();
            roles.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        }
    };
    let began = Instant::now();
    stream::iter(0..ROLES).for_each_concurrent(WRITERS, write).await;
    began.elapsed()
}

/// The granter as a process of its own.
struct Process {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Process {
    async fn start(world: &World) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let namespace = world.installed.names.namespace();
        let token = async |audience: &str| {
            world.env.service_account_token(namespace, "subrosa-granter", audience).await.unwrap()
        };
        let file = directory.path().join("vault-token");
        std::fs::write(&file, token(AUDIENCE).await).unwrap();
        let kubeconfig = world.env.kubeconfig_for_token("granter", &token("").await).unwrap();
        let program = match std::env::var_os("SUBROSA_E2E_MEASURED") {
            Some(program) => program.into(),
            None => operator::binary().unwrap(),
        };
        let child = Command::new(program)
            .arg("granter")
            .env("KUBECONFIG", kubeconfig)
            .env("SUBROSA_NAMESPACE", namespace)
            .env("SUBROSA_VAULT_TOKEN_FILE", file)
            .env("SUBROSA_LISTEN", "127.0.0.1:0")
            .env("SUBROSA_LOG", "warn")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, _directory: directory }
    }

    fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mib = |field: &str| {
            let found = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            found.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
        };
        format!("{:.1} MiB, now {:.1}", mib("VmHWM:"), mib("VmRSS:"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
