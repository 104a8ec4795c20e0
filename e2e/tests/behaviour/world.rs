//! A hospital with a running operator, and the ways to look at what became of a Channel.

use std::{collections::BTreeSet, path::PathBuf, process::Command, sync::Arc, time::Duration};

use k8s_openapi::api::{
    core::v1::{Namespace, Secret, ServiceAccount},
    events::v1::Event,
    networking::v1::{NetworkPolicy, NetworkPolicySpec},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{
    CONFIRM_DELETE_ANNOTATION, Channel, ChannelStatus, TrustDomain, condition, condition::Condition,
    names::ChannelId,
};
use subrosa_e2e::{
    Environment, Installation, Operator, Proxy, Tap,
    installation::{apply_object, governed_namespace, retention_policy},
    openbao::OpenBao,
    operator::{self, Options},
    wait,
};

use crate::{
    files::{Files, files},
    policies::opened,
};

/// The trust domain of the hospital.
pub const DOMAIN: &str = "oosterlinde";
/// How long anything may take that happens by itself, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, an OpenBao and an operator.
pub struct World {
    pub env: Environment,
    pub installed: Installation,
    pub admin: Client,
    operator: Option<Operator>,
    /// What stands between the operator and the API server.
    proxy: Option<Proxy>,
}

impl World {
    /// Everything installed, the operator running, the trust domain and its retention policy applied.
    pub async fn start() -> Self {
        Self::start_with(Environment::start().await.unwrap(), None).await
    }

    /// The same with an operator that reaches the API server through a proxy.
    pub async fn start_behind(tap: &Arc<Tap>) -> Self {
        let env = Environment::builder().local().start().await.unwrap();
        let proxy = env.proxy_api(tap).await.unwrap();
        Self::start_with(env, Some(proxy)).await
    }

    async fn start_with(env: Environment, proxy: Option<Proxy>) -> Self {
        let installed = Installation::install(&env, DOMAIN).await.unwrap();
        let admin = env.admin().unwrap();
        let mut world = Self { env, installed, admin, operator: None, proxy };
        world.start_operator().await;
        world.apply(&world.installed.trust_domain(&world.env)).await;
        world.apply(&retention_policy()).await;
        world
    }

    /// An environment in which an earlier release was installed, with today's definitions and grants and Vault set up for
    /// today's; no operator runs yet.
    pub async fn upgraded(env: Environment) -> Self {
        let installed = Installation::install(&env, DOMAIN).await.unwrap();
        let admin = env.admin().unwrap();
        let world = Self { env, installed, admin, operator: None, proxy: None };
        // Where Vault is, and nothing else: the clock and the names are of then.
        let address = json!({"spec": {"vault": {"address": world.env.openbao().url()}}});
        let domains: Api<TrustDomain> = Api::all(world.admin.clone());
        domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(address)).await.unwrap();
        world
    }

    pub async fn start_operator(&mut self) {
        self.start_program(None).await;
    }

    /// Starts another binary than the one that was built, such as an earlier release.
    pub async fn start_program(&mut self, program: Option<PathBuf>) {
        let through = self.proxy.as_ref().map(|proxy| {
            let token = &self.installed.token;
            self.env.kubeconfig_through(proxy.endpoint(), "operator-behind", token).unwrap()
        });
        self.start_with_options(Options { kubeconfig: through, program, ..Options::default() }).await;
    }

    /// Starts it otherwise than usual.
    pub async fn start_with_options(&mut self, options: Options) {
        self.operator = Some(Operator::start_with(&self.installed, options).await.unwrap());
    }

    pub fn stop_operator(&mut self) {
        if let Some(mut operator) = self.operator.take() {
            operator.stop();
        }
    }

    pub async fn restart_operator(&mut self) {
        self.stop_operator();
        self.start_operator().await;
    }

    /// The same operator process all the time: what heals, heals without a restart.
    pub fn operator_pid(&self) -> u32 {
        self.operator.as_ref().unwrap().pid()
    }

    /// What the command line prints to an administrator.
    pub fn subrosa(&self, arguments: &[&str]) -> String {
        let kubeconfig = self.env.admin_kubeconfig().unwrap();
        let mut command = Command::new(operator::binary().unwrap());
        let output = command.args(arguments).env("KUBECONFIG", kubeconfig).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Does what the one line of `printed` says that annotates this object, as an administrator who runs it.
    pub async fn annotate(&self, printed: &str, kind: &str, namespace: &str, name: &str) {
        let of = match namespace {
            "" => format!("kubectl annotate {kind} {name} --overwrite "),
            namespace => format!("kubectl annotate {kind} -n {namespace} {name} --overwrite "),
        };
        let lines: Vec<_> = printed.lines().filter_map(|line| line.strip_prefix(&of)).collect();
        let [line] = lines.as_slice() else { panic!("no one line begins with {of:?}: {printed}") };
        let (key, value) = line.split_once('=').unwrap();
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        let params = PatchParams::default();
        match kind {
            "channel" => drop(self.api::<Channel>(namespace).patch(name, &params, &patch).await.unwrap()),
            _ => {
                drop(Api::<TrustDomain>::all(self.admin.clone()).patch(name, &params, &patch).await.unwrap())
            }
        }
    }

    /// What the running operator logged; printed where a test fails.
    pub fn log(&self) -> String {
        self.operator.as_ref().map(|operator| operator.log().unwrap_or_default()).unwrap_or_default()
    }

    /// What the running operator measures; nothing where none runs.
    pub async fn metrics(&self) -> Option<String> {
        self.operator.as_ref()?.metrics().await.ok()
    }

    /// The same, as soon as it contains these words.
    pub async fn metrics_with(&self, words: &str) -> Option<String> {
        let look = || async {
            let text = self.metrics().await.unwrap_or_default();
            if text.contains(words) { Ok(text) } else { Err(text) }
        };
        Some(self.until(words, look).await)
    }

    /// The metrics tell that the first certificate ends at this time.
    pub async fn expires_at(&self, not_after: &str) {
        let at: jiff::Timestamp = not_after.parse().unwrap();
        let series = format!("\nsubrosa_certificate_earliest_expiry_timestamp_seconds {}\n", at.as_second());
        self.metrics_with(&series).await;
    }

    pub async fn governed(&self, namespace: &str) -> String {
        governed_namespace(&self.env, namespace, DOMAIN).await.unwrap()
    }

    pub async fn apply(&self, object: &Value) {
        apply_object(&self.admin, object).await.unwrap();
    }

    pub async fn service_account(&self, namespace: &str, name: &str) -> String {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}});
        apply_object(&self.admin, &account).await.unwrap().uid().unwrap()
    }

    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.admin.clone(), namespace)
    }

    /// Deletes a Channel as someone who means it.
    pub async fn delete_channel(&self, namespace: &str, name: &str) {
        let api: Api<Channel> = self.api(namespace);
        let uid = api.get(name).await.unwrap().uid().unwrap();
        let confirmed = json!({"metadata": {"annotations": {CONFIRM_DELETE_ANNOTATION: uid}}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(confirmed)).await.unwrap();
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Deletes a namespace as someone who means it, and waits until it is gone.
    pub async fn delete_namespace(&self, name: &str) {
        let api: Api<Namespace> = Api::all(self.admin.clone());
        let uid = api.get(name).await.unwrap().uid().unwrap();
        let confirmed = json!({"metadata": {"annotations": {CONFIRM_DELETE_ANNOTATION: uid}}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(confirmed)).await.unwrap();
        api.delete(name, &DeleteParams::default()).await.unwrap();
        wait::until(PATIENCE, || async {
            match api.get_opt(name).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap();
    }

    /// Sets or, with null, removes labels of a namespace.
    pub async fn label(&self, namespace: &str, labels: Value) {
        let api: Api<Namespace> = Api::all(self.admin.clone());
        let patch = json!({"metadata": {"labels": labels}});
        api.patch(namespace, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Waits for a status of the current generation that satisfies `holds`.
    pub async fn channel(
        &self,
        namespace: &str,
        name: &str,
        holds: impl Fn(&ChannelStatus) -> bool,
    ) -> ChannelStatus {
        match wait::channel(&self.admin, namespace, name, PATIENCE, holds).await {
            Ok(status) => status,
            Err(error) => panic!("Channel {namespace}/{name}: {error:#}\n{}", tail(&self.log())),
        }
    }

    /// Waits until a Channel is Ready and everything it declares is open.
    pub async fn whole(&self, namespace: &str, name: &str) -> ChannelStatus {
        self.channel(namespace, name, wait::whole).await
    }

    /// Applies Channel `name`, whose workload runs as the ServiceAccount of that name and seals chats. Its status, its id
    /// and the name of its key, once everything is in force.
    pub async fn sealing(&self, namespace: &str, name: &str) -> (ChannelStatus, ChannelId, String) {
        self.service_account(namespace, name).await;
        let spec = json!({"workload": {"serviceAccountName": name}, "dataClasses": ["chat-log"]});
        self.apply(&channel(namespace, name, spec)).await;
        let status = self.whole(namespace, name).await;
        let cohort = &status.keys.iter().find(|key| key.state == "Current").unwrap().cohort;
        let id = self.id(namespace, name).await;
        let key = format!("{id}.chat-log.{cohort}");
        (status, id, key)
    }

    /// Deletes the TrustDomain, as its guard wants it confirmed, and waits until it is gone.
    pub async fn delete_domain(&self) {
        let domains: Api<TrustDomain> = Api::all(self.admin.clone());
        let uid = domains.get(DOMAIN).await.unwrap().uid().unwrap();
        let confirmed = json!({"metadata": {"annotations": {CONFIRM_DELETE_ANNOTATION: uid}}});
        domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(confirmed)).await.unwrap();
        domains.delete(DOMAIN, &DeleteParams::default()).await.unwrap();
        self.until("the domain goes", || async {
            match domains.get_opt(DOMAIN).await.unwrap() {
                None => Ok(()),
                Some(domain) => Err(format!("{:#?}", domain.status)),
            }
        })
        .await;
    }

    /// Waits until a Channel is Ready, whatever its peers do.
    pub async fn ready(&self, namespace: &str, name: &str) -> ChannelStatus {
        self.channel(namespace, name, |status| wait::is(status, condition::READY)).await
    }

    /// Waits until a condition is not true for a reason, and has a message and no other claim above it.
    pub async fn not_ready(&self, namespace: &str, name: &str, reason: &str) -> Condition {
        let status = self
            .channel(namespace, name, |status| {
                !wait::is(status, condition::READY) && wait::reason(status, condition::READY) == reason
            })
            .await;
        condition::find(&status.conditions, condition::READY).unwrap().clone()
    }

    /// Waits until a Channel is Stalled for a reason; the message names the next step.
    pub async fn stalled(&self, namespace: &str, name: &str, reason: &str) -> Condition {
        self.not_ready(namespace, name, reason).await;
        let status = self
            .channel(namespace, name, |status| {
                wait::is(status, condition::STALLED) && wait::reason(status, condition::STALLED) == reason
            })
            .await;
        condition::find(&status.conditions, condition::STALLED).unwrap().clone()
    }

    /// Waits until a connection is in a state.
    pub async fn connection(&self, namespace: &str, channel: &str, peer: &str, state: &str) -> ChannelStatus {
        self.channel(namespace, channel, |status| {
            connection(status, peer).is_some_and(|found| found == state)
        })
        .await
    }

    pub async fn domain(&self, holds: impl Fn(&TrustDomain) -> bool) -> TrustDomain {
        let api: Api<TrustDomain> = Api::all(self.admin.clone());
        self.until("the TrustDomain", || async {
            let domain = api.get(DOMAIN).await.map_err(|error| error.to_string())?;
            if holds(&domain) { Ok(domain) } else { Err(format!("{:#?}", domain.status)) }
        })
        .await
    }

    /// Waits for whatever `look` looks for; the operator's log is shown where it does not come.
    pub async fn until<T, F>(&self, what: &str, look: impl FnMut() -> F) -> T
    where
        F: Future<Output = Result<T, String>>,
    {
        match wait::until(PATIENCE, look).await {
            Ok(found) => found,
            Err(error) => panic!("{what}: {error:#}\n{}", tail(&self.log())),
        }
    }

    pub async fn secret(&self, namespace: &str, name: &str) -> Option<Secret> {
        self.api::<Secret>(namespace).get_opt(name).await.unwrap()
    }

    /// The files a workload would mount.
    pub async fn files(&self, namespace: &str, channel: &str) -> Files {
        let secret = self.secret(namespace, &format!("{channel}-mtls")).await;
        files(&secret.unwrap_or_else(|| panic!("no Secret of {namespace}/{channel}")))
    }

    /// Waits until the Secret's files satisfy `holds`.
    pub async fn files_where(&self, namespace: &str, channel: &str, holds: impl Fn(&Files) -> bool) -> Files {
        self.until(&format!("Secret of {namespace}/{channel}"), || async {
            let secret =
                self.secret(namespace, &format!("{channel}-mtls")).await.ok_or("there is no Secret")?;
            let files = files(&secret);
            if holds(&files) { Ok(files) } else { Err(format!("{:#?}", files.without_key())) }
        })
        .await
    }

    /// The files in a directory, as mounted.
    pub async fn mounted(&self, namespace: &str, channel: &str) -> PathBuf {
        let directory = self.env.directory().join(format!("mounted-{namespace}-{channel}"));
        std::fs::create_dir_all(&directory).unwrap();
        for (name, text) in &self.files(namespace, channel).await.0 {
            std::fs::write(directory.join(name), text).unwrap();
        }
        directory
    }

    pub async fn policy(&self, namespace: &str, name: &str) -> Option<NetworkPolicySpec> {
        self.api::<NetworkPolicy>(namespace)
            .get_opt(name)
            .await
            .unwrap()
            .map(|policy| policy.spec.unwrap_or_default())
    }

    /// The policy of a Channel, which must exist.
    pub async fn channel_policy(&self, namespace: &str, channel: &str) -> NetworkPolicySpec {
        let policy = self.policy(namespace, &format!("subrosa-channel-{channel}")).await;
        policy.unwrap_or_else(|| panic!("no policy of {namespace}/{channel}"))
    }

    /// Waits until a Channel's policy opens exactly these, beside DNS.
    pub async fn opens(&self, namespace: &str, channel: &str, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
        self.until(&format!("policy of {namespace}/{channel} opens {expected:?}"), || async {
            let policy = self.policy(namespace, &format!("subrosa-channel-{channel}")).await;
            let found = opened(&policy.ok_or("there is none")?);
            if found == expected { Ok(()) } else { Err(format!("it opens {found:?}")) }
        })
        .await
    }

    /// The record of a Channel, read with the root token.
    pub async fn record(&self, namespace: &str, channel: &str) -> Value {
        let path = format!("subrosa/data/channels/{}", self.id(namespace, channel).await);
        self.env.openbao().request("GET", &path, None).await.unwrap()["data"]["data"].clone()
    }

    /// The reasons of a Channel's issuances, oldest first.
    pub async fn issuances(&self, namespace: &str, channel: &str) -> Vec<String> {
        let record = self.record(namespace, channel).await;
        let issuances = record["issuances"].as_array().cloned().unwrap_or_default();
        issuances.iter().map(|one| one["reason"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn id(&self, namespace: &str, channel: &str) -> ChannelId {
        let found = Api::<Namespace>::all(self.admin.clone()).get(namespace).await.unwrap();
        ChannelId::mint(&found.uid().unwrap(), channel)
    }

    /// The transit keys of an id, by name: of data, and of its authority.
    pub async fn keys(&self, id: &ChannelId) -> BTreeSet<String> {
        keys_of(self.env.openbao(), id, "").await
    }

    /// Waits for an Event about an object with that reason; returns its note.
    pub async fn event(&self, namespace: &str, name: &str, reason: &str) -> String {
        self.until(&format!("Event {reason} about {namespace}/{name}"), || async {
            let events = self
                .api::<Event>(namespace)
                .list(&Default::default())
                .await
                .map_err(|error| error.to_string())?;
            let of_it = |event: &&Event| {
                event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name)
            };
            let found =
                events.items.iter().filter(of_it).find(|event| event.reason.as_deref() == Some(reason));
            let seen: Vec<_> = events.items.iter().filter(of_it).map(|event| event.reason.clone()).collect();
            found.map(|event| event.note.clone().unwrap_or_default()).ok_or_else(|| format!("{seen:?}"))
        })
        .await
    }

    pub async fn account_uid(&self, namespace: &str, name: &str) -> String {
        self.api::<ServiceAccount>(namespace).get(name).await.unwrap().uid().unwrap()
    }
}

/// A Channel with these fields beside its workload, whose pods are `app: <name>`.
pub fn channel(namespace: &str, name: &str, spec: Value) -> Value {
    let mut whole = json!({"workload": {"selector": {"matchLabels": {"app": name}}}});
    merge(&mut whole, spec);
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": name, "namespace": namespace}, "spec": whole,
    })
}

fn merge(target: &mut Value, more: Value) {
    match (target, more) {
        (Value::Object(target), Value::Object(more)) => {
            for (name, value) in more {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
        }
        (target, more) => *target = more,
    }
}

/// The state of the connection called `name`.
pub fn connection<'a>(status: &'a ChannelStatus, name: &str) -> Option<&'a str> {
    status.connections.iter().find(|one| one.name == name).map(|one| one.state.as_str())
}

fn tail(log: &str) -> String {
    let interesting: Vec<_> = log.lines().filter(|line| !line.contains("\"level\":\"DEBUG\"")).collect();
    interesting[interesting.len().saturating_sub(40)..].join("\n")
}

/// Status and reason of VaultReachable.
pub fn vault(domain: &TrustDomain) -> (&str, &str) {
    says(domain, condition::VAULT_REACHABLE)
}

/// Status and reason of a condition of a TrustDomain.
pub fn says<'a>(domain: &'a TrustDomain, kind: &str) -> (&'a str, &'a str) {
    let conditions = domain.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, kind).map(|found| (&*found.status, &*found.reason)).unwrap_or_default()
}

/// The transit keys of an id, by name, on mounts with `suffix` at the end of their names.
pub async fn keys_of(bao: &OpenBao, id: &ChannelId, suffix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for mount in [format!("transit{suffix}"), format!("transit{suffix}-ca")] {
        // Where there is no key yet the answer is none.
        let (_, answer) =
            bao.request_as(bao.root_token(), "LIST", &format!("{mount}/keys"), None).await.unwrap();
        let keys = answer["data"]["keys"].as_array().cloned().unwrap_or_default();
        let keys = keys.iter().filter_map(|key| key.as_str().map(str::to_owned));
        found.extend(keys.filter(|key| key.starts_with(id.as_str())));
    }
    found
}
