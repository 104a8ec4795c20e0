//! What an administrator writes into Vault once, and Subrosa never does: mounts, Kubernetes auth, static policies and
//! roles.
//!
//! [`VaultSetup::new`] is pure: the same parameters give the same [steps](SetupStep) in the same order. They can be
//! [printed](VaultSetup::print) for somebody else to apply, or [applied](apply::apply) with an administrator's token.

mod accounts;
mod acl;
pub mod apply;
mod grants;
mod people;
mod policy;
mod print;
mod reach;
mod roles;
mod shared;

use std::fmt;

use secrecy::SecretString;
use serde_json::{Value, json};

pub use people::{PeopleParams, ProviderKeys};
pub use subrosa_crds::sealing::WORKLOAD_ROLE;

use super::error::VaultError;
use super::name::{MountAccessor, MountPath, RoleName};

/// The operator's policy where Kubernetes auth is mounted at `kubernetes`; for other mounts the name gets the mount
/// appended.
pub const OPERATOR_POLICY: &str = "subrosa-operator";
/// The policy of every workload's token; what it opens depends on the metadata of the workload's alias.
pub const WORKLOAD_POLICY: &str = "subrosa-workload";
/// The destroyer's policy; the mount is appended as for the operator's.
pub const DESTROYER_POLICY: &str = "subrosa-destroyer";
/// The destroyer's role on the Kubernetes auth mount of its trust domain.
pub const DESTROYER_ROLE: &str = "subrosa-destroyer";

/// The granter's policy; the mount is appended as for the operator's.
pub const GRANTER_POLICY: &str = "subrosa-granter";
/// The granter's role on the Kubernetes auth mount of its trust domain.
pub const GRANTER_ROLE: &str = "subrosa-granter";

/// The label that makes a namespace a member of a trust domain.
const MEMBER_LABEL: &str = "subrosa.dev/trust-domain";
/// Placeholder for the accessor of the Kubernetes auth mount, which exists only once the mount does.
const ACCESSOR: &str = "<accessor of the Kubernetes auth mount>";

/// The parameters of the static setup.
#[derive(Debug, Clone)]
pub struct SetupParams {
    /// The mount of Kubernetes auth, existing or new; without `auth/`.
    pub kubernetes_mount: MountPath,
    /// The mount of transit with the data keys, existing or new.
    pub transit_mount: MountPath,
    /// The mount of transit with the keys of certificate authorities, existing or new.
    pub authorities_mount: MountPath,
    /// The mount of the key-value engine with the records, existing or new.
    pub kv_mount: MountPath,
    /// The operator's role.
    pub operator_role: RoleName,
    /// The operator's namespace.
    pub operator_namespace: String,
    /// The operator's ServiceAccount.
    pub operator_service_account: String,
    /// The destroyer's ServiceAccount, in the operator's namespace. It must not be the operator's.
    pub destroyer_service_account: String,
    /// Whether others keep keys on the transit mount on purpose. Then its configuration stays as it is and the
    /// destroyer gets no right to destroy, because its rights would cover their keys too.
    pub shared_transit: bool,
    /// The audience that the JWT of every login must have.
    pub audience: String,
    /// The trust domain: the value of its namespaces' label `subrosa.dev/trust-domain`.
    pub trust_domain: String,
    /// How Vault reaches the API server.
    pub kubernetes: KubernetesApi,
    /// How people log in; `None` where they do not.
    pub people: Option<PeopleParams>,
}

/// How Vault reaches the API server for TokenReviews.
#[derive(Debug, Clone)]
pub struct KubernetesApi {
    /// Its address as seen from Vault.
    pub host: String,
    /// Its CA as PEM. If absent, Vault uses that of its own pod.
    pub ca_pem: Option<String>,
    /// The JWT of a ServiceAccount that may create TokenReviews **and get namespaces** (the workload role checks a
    /// namespace's labels). If absent, Vault uses that of its own pod.
    pub reviewer_jwt: Option<SecretString>,
}

impl Default for KubernetesApi {
    fn default() -> Self {
        Self { host: "https://kubernetes.default.svc".to_owned(), ca_pem: None, reviewer_jwt: None }
    }
}

/// One write to Vault.
#[derive(Clone)]
pub struct SetupStep {
    pub(super) kind: StepKind,
    path: String,
    body: Value,
    /// Written, but never shown or read back.
    secret: Option<(&'static str, SecretString)>,
    why: &'static str,
}

/// How the current state of a step's object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// A mount of `sys/mounts` or `sys/auth`.
    Mount { index: &'static str },
    /// An object that can be read at its own path; fields that are not written keep their value.
    Object,
    /// A policy, whose text contains the accessor.
    Policy,
}

impl SetupStep {
    fn new(kind: StepKind, path: impl Into<String>, body: Value, why: &'static str) -> Self {
        Self { kind, path: path.into(), body, secret: None, why }
    }

    /// The HTTP method: every step of the setup is a `POST`.
    pub fn method(&self) -> &'static str {
        "POST"
    }

    /// The path below `/v1/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The body without its secret.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The name of the body's one secret field.
    pub fn secret_field(&self) -> Option<&'static str> {
        self.secret.as_ref().map(|(field, _)| *field)
    }

    /// The purpose of the step.
    pub fn why(&self) -> &'static str {
        self.why
    }
}

impl fmt::Debug for SetupStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetupStep")
            .field("path", &self.path)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// The whole static setup, in the order of writing.
#[derive(Debug, Clone)]
pub struct VaultSetup {
    kubernetes_mount: MountPath,
    transit_mount: MountPath,
    authorities_mount: MountPath,
    kv_mount: MountPath,
    trust_domain: String,
    shared_transit: bool,
    people: Option<PeopleParams>,
    /// Roles, and the owner that each must have if it exists.
    owners: Vec<roles::RoleOwner>,
    steps: Vec<SetupStep>,
}

impl VaultSetup {
    /// Describes the setup; the error names the parameter that Vault or Kubernetes would reject.
    pub fn new(params: &SetupParams) -> Result<Self, VaultError> {
        roles::check(params)?;
        let SetupParams { kubernetes_mount, transit_mount, authorities_mount, kv_mount, kubernetes, .. } =
            params;
        let object = |path: String, body: Value, why| SetupStep::new(StepKind::Object, path, body, why);
        let mount = |index, path: &MountPath, body: Value, why| {
            SetupStep::new(StepKind::Mount { index }, format!("{index}/{path}"), body, why)
        };
        let policy = |name: &str, text: String, why| {
            let body = json!({ "policy": text });
            SetupStep::new(StepKind::Policy, format!("sys/policies/acl/{name}"), body, why)
        };
        let mut config = object(
            format!("auth/{kubernetes_mount}/config"),
            roles::kubernetes_config(kubernetes),
            "Vault asks the API server whether a token is valid and which labels its namespace has",
        );
        config.secret = kubernetes.reviewer_jwt.clone().map(|jwt| ("token_reviewer_jwt", jwt));
        let mut steps = vec![mount(
            "sys/mounts",
            transit_mount,
            json!({ "type": "transit", "description": "Subrosa: keys that never leave Vault" }),
            "the keys of the data of channels",
        )];
        if !params.shared_transit {
            steps.push(object(
                format!("{transit_mount}/config/keys"),
                json!({ "disable_upsert": true }),
                "sealing under a key that is not there makes none, so the name of a destroyed key does not come back \
                 by mistake",
            ));
        }
        steps.extend([
            mount(
                "sys/mounts",
                authorities_mount,
                json!({ "type": "transit", "description": "Subrosa: keys of certificate authorities" }),
                "the keys of the certificate authorities of channels, out of the reach of the destroyer",
            ),
            mount(
                "sys/mounts",
                kv_mount,
                json!({ "type": "kv", "options": { "version": "2" }, "description": "Subrosa: the records" }),
                "the record: what exists and what was decided, authoritative over any status",
            ),
            object(
                format!("{kv_mount}/config"),
                json!({ "cas_required": true }),
                "no record is ever overwritten unread",
            ),
            mount(
                "sys/auth",
                kubernetes_mount,
                json!({ "type": "kubernetes", "description": "Subrosa: ServiceAccounts" }),
                "the operator and the workloads log in as their ServiceAccounts",
            ),
            config,
            policy(
                &policy::name(OPERATOR_POLICY, kubernetes_mount),
                policy::operator(params, ACCESSOR),
                "the operator makes, rotates and signs with keys, keeps the record, grants and withdraws; \
                 it never opens data, destroys, exports, or changes its own rights",
            ),
            policy(
                &policy::name(WORKLOAD_POLICY, kubernetes_mount),
                policy::workload(params, ACCESSOR),
                "what a workload may do with its own keys, and only while its alias says so",
            ),
            policy(
                &policy::name(DESTROYER_POLICY, kubernetes_mount),
                policy::destroyer(params),
                if params.shared_transit {
                    "the destroyer only looks: its rights would reach the keys of others on the shared transit mount"
                } else {
                    "the destroyer takes keys out of use, gives them back and deletes them, and writes what it decided; \
                     it opens nothing but its own canaries, makes no key, and changes nothing else"
                },
            ),
            object(
                format!("auth/{kubernetes_mount}/role/{}", params.operator_role),
                roles::operator(params),
                "the operator's ServiceAccount, and no other, gets the operator's policy",
            ),
            object(
                format!("auth/{kubernetes_mount}/role/{WORKLOAD_ROLE}"),
                roles::workload(params),
                "the trust domain's ServiceAccounts may log in; without an alias they can do nothing",
            ),
            object(
                format!("auth/{kubernetes_mount}/role/{DESTROYER_ROLE}"),
                roles::destroyer(params),
                "the destroyer's ServiceAccount, and no other, gets the destroyer's policy",
            ),
        ]);
        if let Some(people) = &params.people {
            steps.extend(people::steps(params, people)?);
        }
        let owners = roles::owners(params);
        Ok(Self {
            kubernetes_mount: kubernetes_mount.clone(),
            transit_mount: transit_mount.clone(),
            authorities_mount: authorities_mount.clone(),
            kv_mount: kv_mount.clone(),
            trust_domain: params.trust_domain.clone(),
            shared_transit: params.shared_transit,
            people: params.people.clone(),
            owners,
            steps,
        })
    }

    /// The steps in order. Policies have a placeholder for the accessor of the Kubernetes auth mount.
    pub fn steps(&self) -> &[SetupStep] {
        &self.steps
    }

    /// The setup as readable YAML, a list of requests without secrets. `accessor` replaces the placeholder.
    pub fn print(&self, accessor: Option<&MountAccessor>) -> Result<String, VaultError> {
        print::print(self, accessor)
    }
}

/// The body with known placeholders replaced.
fn resolved(body: &Value, known: &[(&str, String)]) -> Value {
    match body {
        Value::String(text) => {
            let replaced = known
                .iter()
                .fold(text.clone(), |text, (placeholder, value)| text.replace(placeholder, value));
            Value::String(replaced)
        }
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), resolved(value, known))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(|value| resolved(value, known)).collect()),
        other => other.clone(),
    }
}
