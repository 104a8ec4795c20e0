//! Subrosa installed into an [`Environment`], as an administrator would: CRDs, grants, admission
//! policies, Vault's static setup, and the operator's own identity.

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use anyhow::{Context as _, Result};
use jiff::{Timestamp, tz::TimeZone};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::pinned_kind,
};
use serde_json::{Value, json};
use subrosa::grants::{Installation as Names, manifests};
use subrosa_records::vault::{
    MountPath, RoleName, Vault, VaultAddress, VaultConfig,
    setup::{
        KubernetesApi, PeopleParams, SetupParams, VaultSetup,
        apply::{StepOutcome, apply},
    },
};

use crate::Environment;

/// The field manager of what an administrator or a GitOps tool applies.
const ADMIN: &str = "platform-team";
/// The ConfigMap with OpenBao's CA in the operator's namespace.
pub const OPENBAO_CA: &str = "openbao-ca";
/// The audience of every token that logs in to OpenBao.
pub const AUDIENCE: &str = "vault";

/// The image of backup workers, where no pod runs.
pub const WORKER_IMAGE: &str = "subrosa.invalid/subrosa:test";

/// Subrosa, installed; the operator does not run yet.
pub struct Installation {
    /// Namespace and ServiceAccount of the operator.
    pub names: Names,
    /// A kubeconfig with the operator's own token.
    pub kubeconfig: PathBuf,
    /// That token.
    pub token: String,
    /// The trust domain for which Vault was set up.
    pub domain: String,
}

impl Installation {
    /// Installs Subrosa for one trust domain.
    ///
    /// # Errors
    /// When the API server or OpenBao refuses.
    pub async fn install(env: &Environment, domain: &str) -> Result<Self> {
        let names = Names::new("subrosa-system", "subrosa")?.with_worker_image(WORKER_IMAGE)?;
        let client = env.admin()?;
        for crd in subrosa_crds::all() {
            apply_object(&client, &serde_json::to_value(crd)?).await?;
        }
        for manifest in manifests(&names)? {
            apply_object(&client, &manifest).await?;
        }
        Self::connect(env, names, domain).await
    }

    /// What is left to do once the definitions and the grants are there, by whatever means.
    ///
    /// # Errors
    /// When the API server or OpenBao refuses.
    pub async fn connect(env: &Environment, names: Names, domain: &str) -> Result<Self> {
        let client = env.admin()?;
        crds_are_served(&client).await?;
        let ca = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": OPENBAO_CA, "namespace": names.namespace()},
            "data": {"ca.crt": env.openbao().endpoint().ca_pem},
        });
        apply_object(&client, &ca).await?;
        set_up_vault(env, &names, domain, "").await?;
        let token = env.service_account_token(names.namespace(), names.service_account(), "").await?;
        let kubeconfig = env.kubeconfig_for_token("operator", &token)?;
        Ok(Self { names, kubeconfig, token, domain: domain.to_owned() })
    }

    /// Sets OpenBao up for a further trust domain, whose mounts have `suffix` at the end of their names.
    ///
    /// # Errors
    /// When OpenBao refuses, or a role there is another trust domain's.
    pub async fn set_up_vault(&self, env: &Environment, domain: &str, suffix: &str) -> Result<()> {
        set_up_vault(env, &self.names, domain, suffix).await
    }

    /// Sets OpenBao up so that people can log in; says which paths were written.
    ///
    /// # Errors
    /// When OpenBao refuses.
    pub async fn set_up_people(&self, env: &Environment, people: PeopleParams) -> Result<Vec<String>> {
        let mut params = setup_params(env, &self.names, &self.domain, "").await?;
        params.people = Some(people);
        write_setup(env, &params).await
    }

    /// The manifest of a further trust domain with such mounts.
    pub fn further_domain(&self, env: &Environment, name: &str, suffix: &str) -> Value {
        let mut domain = trust_domain(name, env.openbao().url(), &["10.244.0.0/16", "10.96.0.0/16"]);
        if let Some(vault) = domain.pointer_mut("/spec/vault").and_then(Value::as_object_mut) {
            let mounts = json!({"transit": format!("transit{suffix}"), "kv": format!("subrosa{suffix}")});
            vault.insert("mounts".to_owned(), mounts);
            let auth = json!({"kubernetes": {
                "mount": format!("kubernetes{suffix}"), "role": "subrosa", "audience": AUDIENCE,
            }});
            vault.insert("auth".to_owned(), auth);
        }
        domain
    }

    /// The manifest of the trust domain, with OpenBao's real address.
    pub fn trust_domain(&self, env: &Environment) -> Value {
        trust_domain(&self.domain, env.openbao().url(), &["10.244.0.0/16", "10.96.0.0/16"])
    }
}

/// A time zone in which it was four in the morning when this process first asked: no day, week or cohort ends under a test.
pub fn time_zone() -> &'static str {
    static ZONE: LazyLock<String> = LazyLock::new(|| {
        let hour = i32::from(Timestamp::now().to_zoned(TimeZone::UTC).hour());
        let east = if hour > 16 { 28 - hour } else { 4 - hour };
        // The names have the sign of POSIX: those east of Greenwich are negative.
        format!("Etc/GMT{:+}", -east)
    });
    &ZONE
}

/// The manifest of a hospital's trust domain, with OpenBao at `address` and its CA in the ConfigMap [`OPENBAO_CA`].
pub fn trust_domain(name: &str, address: &str, cluster_cidrs: &[&str]) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1",
        "kind": "TrustDomain",
        "metadata": {"name": name},
        "spec": {
            "organisation": {"name": "Ziekenhuis Oosterlinde", "country": "NL", "privacyContact": "privacy-office"},
            "jurisdictions": ["NL", "EU"],
            "frameworks": ["GDPR", "NEN7510"],
            "timeZone": time_zone(),
            "vault": {
                "address": address,
                "caBundle": {"configMap": OPENBAO_CA, "key": "ca.crt"},
                "auth": {"kubernetes": {"mount": "kubernetes", "role": "subrosa", "audience": AUDIENCE}},
            },
            "retentionPolicies": ["contactcenter"],
            "network": {"clusterCIDRs": cluster_cidrs},
        },
    })
}

/// A retention policy with classes that tests seal.
pub fn retention_policy() -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1",
        "kind": "RetentionPolicy",
        "metadata": {"name": "contactcenter"},
        "spec": {"classes": [
            {"name": "call-recording", "keep": "90d", "max": "130d", "cohort": "Week"},
            {"name": "chat-log", "keep": "1y"},
        ]},
    })
}

/// Applies one object by server-side apply, as someone who is not the operator.
///
/// # Errors
/// When the API server refuses.
pub async fn apply_object(client: &Client, object: &Value) -> Result<DynamicObject> {
    let object: DynamicObject = serde_json::from_value(object.clone()).context("not an object")?;
    let types = object.types.clone().context("without apiVersion and kind")?;
    let kind = GroupVersionKind::try_from(&types)?;
    let (resource, capabilities) = discovered(client, &kind).await?;
    let namespace = object.namespace();
    let api: Api<DynamicObject> = match (capabilities.scope, namespace.as_deref()) {
        (kube::discovery::Scope::Namespaced, namespace) => {
            Api::namespaced_with(client.clone(), namespace.unwrap_or("default"), &resource)
        }
        (kube::discovery::Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
    };
    let name = object.name_any();
    let applied = api.patch(&name, &PatchParams::apply(ADMIN).force(), &Patch::Apply(&object)).await;
    applied.with_context(|| format!("applying {} {name}", types.kind))
}

/// A kind just defined is served a moment later.
async fn discovered(
    client: &Client,
    kind: &GroupVersionKind,
) -> Result<(kube::core::ApiResource, kube::discovery::ApiCapabilities)> {
    let mut tries = 0;
    loop {
        match pinned_kind(client, kind).await {
            Ok(found) => return Ok(found),
            Err(_) if tries < 50 => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error).with_context(|| format!("{kind:?} is not served")),
        }
    }
}

async fn crds_are_served(client: &Client) -> Result<()> {
    for kind in ["TrustDomain", "ExternalParty", "RetentionPolicy", "Channel"] {
        discovered(client, &GroupVersionKind::gvk(subrosa_crds::GROUP, subrosa_crds::VERSION, kind)).await?;
    }
    Ok(())
}

/// What `subrosa vault-setup` does, with OpenBao's root token.
async fn set_up_vault(env: &Environment, names: &Names, domain: &str, suffix: &str) -> Result<()> {
    let_reviewer_read_namespaces(env).await?;
    write_setup(env, &setup_params(env, names, domain, suffix).await?).await.map(drop)
}

async fn setup_params(env: &Environment, names: &Names, domain: &str, suffix: &str) -> Result<SetupParams> {
    let reviewer_jwt = env.token_reviewer_jwt().await?;
    Ok(SetupParams {
        kubernetes_mount: MountPath::new(format!("kubernetes{suffix}"))?,
        transit_mount: MountPath::new(format!("transit{suffix}"))?,
        authorities_mount: MountPath::new(format!("transit{suffix}-ca"))?,
        kv_mount: MountPath::new(format!("subrosa{suffix}"))?,
        operator_role: RoleName::new("subrosa")?,
        operator_namespace: names.namespace().to_owned(),
        operator_service_account: names.service_account().to_owned(),
        destroyer_service_account: subrosa::grants::DESTROYER_ACCOUNT.to_owned(),
        shared_transit: false,
        audience: AUDIENCE.to_owned(),
        trust_domain: domain.to_owned(),
        kubernetes: KubernetesApi {
            host: env.api().url.clone(),
            ca_pem: Some(env.api().ca_pem.clone()),
            reviewer_jwt: Some(reviewer_jwt.into()),
        },
        people: None,
    })
}

/// Says which paths were written.
async fn write_setup(env: &Environment, params: &SetupParams) -> Result<Vec<String>> {
    let address = VaultAddress::parse(env.openbao().url(), false)?;
    let ca_bundle = Some(env.openbao().endpoint().ca_pem.clone());
    let vault = Vault::new(VaultConfig { ca_bundle, ..VaultConfig::new(address) })?;
    vault.set_token(&env.openbao().root_token().into())?;
    let report = apply(&vault, &VaultSetup::new(params)?).await?;
    let written = report.into_iter().filter(|step| step.outcome != StepOutcome::Unchanged);
    Ok(written.map(|step| step.path).collect())
}

/// The workload role looks at the labels of namespaces, as the reviewer.
async fn let_reviewer_read_namespaces(env: &Environment) -> Result<()> {
    let client = env.admin()?;
    let group = "rbac.authorization.k8s.io";
    let (namespace, name) = crate::access::REVIEWER_ACCOUNT;
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": "vault-namespace-reader"},
        "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}],
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "vault-namespace-reader"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "vault-namespace-reader"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    });
    apply_object(&client, &role).await?;
    apply_object(&client, &binding).await.map(drop)
}

/// Creates a namespace that belongs to `domain`.
///
/// # Errors
/// When the API server refuses.
pub async fn governed_namespace(env: &Environment, name: &str, domain: &str) -> Result<String> {
    env.create_namespace(name, &[(subrosa_crds::TRUST_DOMAIN_LABEL, domain)]).await?;
    let namespace = Api::<Namespace>::all(env.admin()?).get(name).await?;
    Ok(namespace.uid().unwrap_or_default())
}
