//! A hospital with two Channels that seal, people who can log in, an operator and a granter.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa::grants::admission::guard_is_unedited;
use subrosa_crds::{
    AccessRevocation, AccessRole, AccessRoleStatus, TrustDomain,
    condition::{self, READY},
    trust_domain::AccessSpec,
};
use subrosa_e2e::{
    Environment, Installation, Operator,
    installation::{AUDIENCE, apply_object, governed_namespace, retention_policy},
    kubeconfig::Endpoint,
    wait,
};
use subrosa_granter::{Granter, GranterSettings, GuardCheck};
use subrosa_records::vault::setup::{PeopleParams, ProviderKeys};
use tokio_util::sync::CancellationToken;

use super::{
    provider::{ISSUER, Provider},
    reviews::clock,
};

/// The harness's administrator, who may grant every Channel.
pub const ADMIN: &str = "e2e-admin";
pub const DOMAIN: &str = "oosterlinde";
pub const NS: &str = "cc-front";
pub const RECORDING: &str = "call-recording";
/// Somebody who may approve.
pub const REVIEWER: &str = "petra";
pub const CHAT: &str = "chat-log";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub env: Environment,
    pub installed: Installation,
    pub admin: Client,
    pub reviewer: Client,
    pub provider: Provider,
    pub granter: Arc<Granter>,
    operator: Operator,
    _stop: tokio_util::sync::DropGuard,
    directory: tempfile::TempDir,
}

/// A granter of its own, which ends when this is dropped.
pub struct AnotherGranter {
    pub granter: Arc<Granter>,
    _stop: tokio_util::sync::DropGuard,
}

impl World {
    /// With Channels `voice` and `video`, and the logins `strong` (mfa, hwk), `night` (otp), `stepped` (level gold), `clerk` (mfa, for
    /// sealing too) and `old`, which asks for no second factor.
    pub async fn start() -> Self {
        let env = Environment::builder().local().start().await.unwrap();
        let provider = Provider::new();
        let keys = ProviderKeys::Given(vec![provider.public_key()]);
        let world = Self::of(env, access(), keys, provider).await;
        let granter = Arc::into_inner(world.granter).unwrap().with_clock(clock);
        Self { granter: Arc::new(granter), ..world }
    }

    /// The same with the clock of the machine: other tests of this process move the other one.
    pub async fn start_by_the_clock() -> Self {
        let world = Self::start().await;
        let granter = Arc::into_inner(world.granter).unwrap().with_clock(Timestamp::now);
        Self { granter: Arc::new(granter), ..world }
    }

    /// The same two Channels for people who log in in these ways, with tokens of whoever has these keys.
    pub async fn of(env: Environment, access: Value, keys: ProviderKeys, provider: Provider) -> Self {
        let installed = Installation::install(&env, DOMAIN).await.unwrap();
        let admin = env.admin().unwrap();
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "reviewers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "subrosa-approver"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": REVIEWER}],
        });
        apply_object(&admin, &binding).await.unwrap();
        let reviewer = env.client_as(REVIEWER, &["system:authenticated"]).unwrap();
        let people = PeopleParams {
            access: serde_json::from_value::<AccessSpec>(access.clone()).unwrap(),
            keys,
            granter_service_account: "subrosa-granter".into(),
        };
        installed.set_up_people(&env, people.clone()).await.unwrap();
        let written = installed.set_up_people(&env, people).await.unwrap();
        assert!(
            written
                .iter()
                .all(|path| path.ends_with("kubernetes/config") || path.ends_with("service-accounts/config")),
            "not again: {written:?}"
        );
        let operator = Operator::start(&installed).await.unwrap();
        let mut domain = installed.trust_domain(&env);
        domain["spec"]["access"] = access;
        apply_object(&admin, &domain).await.unwrap();
        apply_object(&admin, &retention_policy()).await.unwrap();
        governed_namespace(&env, NS, DOMAIN).await.unwrap();
        for name in ["voice", "video"] {
            for object in channel(name) {
                apply_object(&admin, &object).await.unwrap();
            }
            wait::channel(&admin, NS, name, PATIENCE, |status| wait::is(status, READY)).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let log = audit_log(&env);
        let granter = granter(&env, &installed, directory.path(), env.api(), log, stop.clone()).await;
        Self {
            env,
            installed,
            admin,
            reviewer,
            provider,
            granter: Arc::new(granter),
            operator,
            _stop: stop.drop_guard(),
            directory,
        }
    }

    /// A further granter, which reaches the API server there.
    pub async fn another_granter(&self, api: &Endpoint) -> AnotherGranter {
        self.granter_of(api, audit_log(&self.env), Timestamp::now).await
    }

    /// A further granter with that audit log of OpenBao and by that clock.
    pub async fn granter_with(&self, log: Option<PathBuf>, clock: fn() -> Timestamp) -> AnotherGranter {
        self.granter_of(self.env.api(), log, clock).await
    }

    async fn granter_of(
        &self,
        api: &Endpoint,
        log: Option<PathBuf>,
        clock: fn() -> Timestamp,
    ) -> AnotherGranter {
        let (stop, directory) = (CancellationToken::new(), self.directory.path());
        let granter = granter(&self.env, &self.installed, directory, api, log, stop.clone()).await;
        AnotherGranter { granter: Arc::new(granter.with_clock(clock)), _stop: stop.drop_guard() }
    }

    /// Says where Vault is.
    pub async fn reach(&self, address: &str) {
        let domains: Api<TrustDomain> = Api::all(self.admin.clone());
        let patch = json!({"spec": {"vault": {"address": address}}});
        domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Each AccessRevocation goes as if it had been released.
    pub async fn forget_revocations(&self) {
        let namespace = self.installed.names.namespace();
        let token = self.env.service_account_token(namespace, "subrosa-granter", "").await.unwrap();
        let granter = Client::try_from(self.env.api().kube_config(&token).unwrap()).unwrap();
        let (all, as_granter) =
            (Api::<AccessRevocation>::all(self.admin.clone()), Api::<AccessRevocation>::all(granter));
        for one in all.list(&ListParams::default()).await.unwrap() {
            let says = json!({"status": {"conditions": [{
                "type": "Ready", "status": "True", "reason": "Released", "message": "m",
                "lastTransitionTime": "2026-11-29T21:00:00Z",
            }]}});
            let name = one.name_any();
            as_granter.patch_status(&name, &PatchParams::default(), &Patch::Merge(says)).await.unwrap();
            all.delete(&name, &DeleteParams::default()).await.unwrap();
        }
    }

    pub async fn apply(&self, object: &Value) {
        apply_object(&self.admin, object).await.unwrap();
    }

    pub fn stop_operator(&mut self) {
        self.operator.stop();
    }

    pub async fn start_operator(&mut self) {
        self.operator = Operator::start(&self.installed).await.unwrap();
    }

    pub fn operator_log(&self) -> String {
        self.operator.log().unwrap_or_default()
    }

    /// Looks until the status of a role holds; shows it where it does not.
    pub async fn role(&self, name: &str, holds: impl Fn(&AccessRoleStatus) -> bool) -> AccessRoleStatus {
        let roles: Api<AccessRole> = Api::namespaced(self.admin.clone(), NS);
        let found = wait::until(PATIENCE, || async {
            self.granter.round().await;
            let role = roles.get(name).await.map_err(|error| error.to_string())?;
            let status = role.status.unwrap_or_default();
            if holds(&status) { Ok(status) } else { Err(format!("{status:?}")) }
        });
        match found.await {
            Ok(status) => status,
            Err(error) => panic!("AccessRole {name}: {error:#}\n{}", self.operator.log().unwrap_or_default()),
        }
    }

    pub async fn delete(&self, role: &str) {
        let roles: Api<AccessRole> = Api::namespaced(self.admin.clone(), NS);
        roles.delete(role, &DeleteParams::default()).await.unwrap();
    }

    /// A session of a person, by a token with these claims; else what OpenBao says.
    pub async fn login(&self, login: &str, subject: &str, claims: Value) -> Result<String, String> {
        self.login_with(login, &self.provider.token(subject, claims)).await
    }

    /// A session by this token; else what OpenBao says.
    pub async fn login_with(&self, login: &str, jwt: &str) -> Result<String, String> {
        let body = json!({"role": login, "jwt": jwt});
        let (status, answer) =
            self.env.openbao().request_as("", "POST", "auth/subrosa-people/login", Some(body)).await.unwrap();
        match answer["auth"]["client_token"].as_str() {
            Some(token) if status == 200 => Ok(token.to_owned()),
            _ => Err(format!("{status} {}", answer["errors"])),
        }
    }

    /// Every slot that became free has rested long enough, so that what earlier parts used can be used again. Whether the operator
    /// emptied a slot that a role needed again soon depends on when it looked.
    pub async fn slots_have_rested(&self) {
        let bao = self.env.openbao();
        for (login, count) in [("strong", 3), ("night", 6)] {
            for number in 0..count {
                let path = format!("identity/group/name/subrosa_oosterlinde_open_{login}_{number:03}");
                let slot = bao.request("GET", &path, None).await.unwrap();
                if slot["data"]["metadata"].get("freed").is_some() {
                    bao.request("POST", &path, Some(json!({"metadata": {"freed": "0"}}))).await.unwrap();
                }
            }
        }
    }

    /// Something sealed with the newest key of a class of a Channel: the key's name, and what came of it.
    pub async fn sealed(&self, channel: &str, class: &str) -> (String, String) {
        let status = wait::channel(&self.admin, NS, channel, PATIENCE, |status| wait::is(status, READY))
            .await
            .unwrap();
        let key = status.keys.iter().find(|key| key.data_class == class && key.state == "Current").unwrap();
        let name = format!("{}.{class}.{}", status.id.unwrap(), key.cohort);
        let body = json!({"plaintext": "c2FpZCBpbiBjb25maWRlbmNl"});
        let path = format!("transit/encrypt/{name}");
        let answer = self.env.openbao().request("POST", &path, Some(body)).await.unwrap();
        (name, answer["data"]["ciphertext"].as_str().unwrap().to_owned())
    }

    /// Whether a session opens it.
    pub async fn opens(&self, session: &str, (key, ciphertext): &(String, String)) -> bool {
        let path = format!("transit/decrypt/{key}");
        let body = json!({"ciphertext": ciphertext});
        let (status, answer) =
            self.env.openbao().request_as(session, "POST", &path, Some(body)).await.unwrap();
        assert!([200, 403].contains(&status), "{status} {answer}");
        status == 200
    }
}

pub fn ready(status: &AccessRoleStatus) -> bool {
    condition::is_true(&status.conditions, READY)
}

/// Why it is not ready, and what the message says.
pub fn reason(status: &AccessRoleStatus) -> (String, String) {
    let ready = condition::find(&status.conditions, READY);
    ready.map(|ready| (ready.reason.clone(), ready.message.clone())).unwrap_or_default()
}

pub fn access() -> Value {
    json!({
        "provider": {"issuer": ISSUER, "groups": 3, "tokenLife": "5m", "kubernetesGroupsPrefix": "oidc:"},
        "logins": [
            {"name": "strong", "acceptedAmr": ["mfa", "hwk"], "slots": 3, "grantSlots": 4},
            {"name": "night", "acceptedAmr": ["otp"], "ttl": "1h", "slots": 6, "grantSlots": 1},
            {"name": "stepped", "acceptedAcr": ["gold", "2"], "slots": 1},
            {"name": "clerk", "acceptedAmr": ["mfa"], "slots": 1, "sealSlots": 1, "grantSlots": 1},
            {
                "name": "old", "slots": 1,
                "exception": {"reason": "the second factor of the old ward is late", "expires": "2099-12-31"},
            },
        ],
        "breakGlass": {"groups": ["on-call", "night-duty"], "acceptedAmr": ["hwk"], "slots": 3},
    })
}

pub fn role(name: &str, login: &str, groups: &[&str], allow: &[(&str, &str)]) -> Value {
    let allow = allow
        .iter()
        .map(|(channel, class)| json!({"channels": [channel], "dataClasses": [class], "actions": ["Open"]}));
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole", "metadata": {"name": name, "namespace": NS},
        "spec": {
            "grantedBy": ADMIN,
            "login": login,
            "subjects": groups.iter().map(|group| json!({"group": group})).collect::<Vec<_>>(),
            "allow": allow.collect::<Vec<_>>(),
        },
    })
}

fn channel(name: &str) -> [Value; 2] {
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NS}});
    let channel = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name, "namespace": NS},
        "spec": {
            "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": name},
            "dataClasses": [RECORDING, CHAT],
        },
    });
    [account, channel]
}

fn audit_log(env: &Environment) -> Option<PathBuf> {
    let log = env.openbao().audit().path();
    log.exists().then(|| log.to_owned())
}

async fn granter(
    env: &Environment,
    installed: &Installation,
    directory: &Path,
    api: &Endpoint,
    log: Option<PathBuf>,
    stop: CancellationToken,
) -> Granter {
    let namespace = installed.names.namespace();
    let token = env.service_account_token(namespace, "subrosa-granter", AUDIENCE).await.unwrap();
    let file = directory.join("vault-token");
    std::fs::write(&file, token).unwrap();
    let settings = GranterSettings {
        namespace: namespace.to_owned(),
        vault_token_file: file,
        vault_role: "subrosa-granter".into(),
        interval: 60,
        vault_audit_log: log,
        listen: "127.0.0.1:0".parse().unwrap(),
    };
    let token = env.service_account_token(namespace, "subrosa-granter", "").await.unwrap();
    let guard = GuardCheck::new(guard_is_unedited);
    Granter::new(api.kube_config(&token).unwrap(), settings, guard, stop).unwrap()
}
