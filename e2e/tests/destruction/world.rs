//! A hospital whose operator made keys, and a destroyer whose clocks can be moved.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use subrosa::grants::admission::guard_is_unedited;
use subrosa_crds::{
    Approval, ChannelStatus, Destruction, LegalHold, RetentionPolicy, TrustDomain, approval::TargetKind,
    condition, destruction::ListedKey, names::ChannelRef,
};
use subrosa_destroyer::{Destroyer, DestroyerSettings, GuardCheck};
use subrosa_e2e::{
    Environment, Installation, Operator,
    installation::{AUDIENCE, apply_object, governed_namespace},
    wait,
};
use subrosa_plan::destruction::listing::{self, DueKey};

/// The trust domain.
pub const DOMAIN: &str = "oosterlinde";
/// Where the Channels are.
pub const NS: &str = "cc-front";
/// The class of data that they seal.
pub const CLASS: &str = "chat-log";
/// Who may approve, each in their own name.
const PEOPLE: [&str; 5] = ["anna", "bas", "cees", "daan", "emma"];
/// How long anything may take that happens by itself, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, an OpenBao, an operator and a destroyer.
pub struct World {
    pub env: Environment,
    pub installed: Installation,
    pub admin: Client,
    pub destroyer: Destroyer,
    /// The data key of each Channel whose data is due first, as the operator recorded it.
    pub keys: BTreeMap<String, ListedKey>,
    /// How many Destructions are begun in an hour, from the next restart on.
    pub most_batches: usize,
    /// How many percent of all keys may be due and approved at once, from the next restart on.
    pub breaker_percent: u64,
    operator: Option<Operator>,
    directory: tempfile::TempDir,
    count: AtomicU32,
}

impl World {
    /// With these Channels, each of which has keys of today and of tomorrow; data is kept for a day, two people approve, and
    /// a key is set aside for a day.
    pub async fn start(channels: &[&str]) -> Self {
        let people = PEOPLE.iter().chain(&["eva"]);
        let env = people.fold(Environment::builder().local(), |env, person| env.user(person, &[]));
        let env = env.start().await.unwrap();
        let installed = Installation::install(&env, DOMAIN).await.unwrap();
        let admin = env.admin().unwrap();
        let operator = Operator::start(&installed).await.unwrap();
        apply_object(&admin, &installed.trust_domain(&env)).await.unwrap();
        apply_object(&admin, &policy(json!({}))).await.unwrap();
        governed_namespace(&env, NS, DOMAIN).await.unwrap();
        let mut keys = BTreeMap::new();
        for name in channels {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NS}});
            apply_object(&admin, &account).await.unwrap();
            let channel = json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name, "namespace": NS},
                "spec": {
                    "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": name},
                    "dataClasses": [CLASS],
                },
            });
            apply_object(&admin, &channel).await.unwrap();
            let status =
                wait::channel(&admin, NS, name, PATIENCE, |status| wait::is(status, condition::READY))
                    .await
                    .unwrap();
            let current = status.keys.iter().find(|key| key.state == "Current").unwrap();
            let key = ListedKey {
                channel: ChannelRef::new(NS, *name),
                id: status.id.clone().unwrap(),
                data_class: CLASS.into(),
                cohort: current.cohort.clone(),
            };
            keys.insert((*name).to_owned(), key);
        }
        for (person, role) in PEOPLE.iter().map(|person| (*person, "subrosa-approver")) {
            let binding = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": person},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person}],
            });
            apply_object(&admin, &binding).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let (most_batches, breaker_percent) = (100, 100);
        let destroyer = destroyer(&env, &installed, directory.path(), (most_batches, breaker_percent)).await;
        let (operator, count) = (Some(operator), AtomicU32::default());
        let world = Self {
            env,
            installed,
            admin,
            destroyer,
            keys,
            most_batches,
            breaker_percent,
            operator,
            directory,
            count,
        };
        world.guarded_again(60).await;
        world
    }

    /// Looks at the admission policy of Approvals, as if it were so many seconds ago: an Approval counts from half a minute after
    /// the first look at it.
    pub async fn guarded_again(&self, seconds: i64) {
        let moved = self.destroyer.clocks().local().duration_since(Timestamp::now());
        let moved = moved.round(jiff::Unit::Second).unwrap();
        self.destroyer.clocks().moves(moved - SignedDuration::from_secs(seconds));
        self.destroyer.round().await;
        self.destroyer.clocks().moves(moved);
    }

    /// What the destroyer tells the cluster.
    pub async fn told(&self) -> Value {
        let maps: Api<ConfigMap> = Api::namespaced(self.admin.clone(), self.installed.names.namespace());
        let map = maps.get("subrosa-destroyer").await.unwrap();
        serde_json::from_str(&map.data.unwrap()[DOMAIN]).unwrap()
    }

    /// A destroyer that knows nothing but what stands in the cluster and in Vault, with its clocks where they were.
    pub async fn restart(&mut self) {
        let moved = self.destroyer.clocks().local().duration_since(Timestamp::now());
        let (directory, most) = (self.directory.path(), (self.most_batches, self.breaker_percent));
        self.destroyer = destroyer(&self.env, &self.installed, directory, most).await;
        self.destroyer.clocks().moves(moved.round(jiff::Unit::Second).unwrap());
    }

    pub fn stop_operator(&mut self) {
        if let Some(mut operator) = self.operator.take() {
            operator.stop();
        }
    }

    pub async fn start_operator(&mut self) {
        self.operator = Some(Operator::start(&self.installed).await.unwrap());
    }

    /// Waits for whatever `look` looks for; the operator's log is shown where it does not come.
    pub async fn until<T, F>(&self, what: &str, look: impl FnMut() -> F) -> T
    where
        F: Future<Output = Result<T, String>>,
    {
        match wait::until(PATIENCE, look).await {
            Ok(found) => found,
            Err(error) => panic!("{what}: {error:#}\n{}", self.log()),
        }
    }

    /// Waits for a status of a Channel.
    pub async fn channel(&self, name: &str, holds: impl Fn(&ChannelStatus) -> bool) -> ChannelStatus {
        match wait::channel(&self.admin, NS, name, PATIENCE, holds).await {
            Ok(status) => status,
            Err(error) => panic!("Channel {name}: {error:#}\n{}", self.log()),
        }
    }

    fn log(&self) -> String {
        let log = self.operator.as_ref().and_then(|operator| operator.log().ok()).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Moves the clocks on by some hours.
    pub async fn hours_on(&self, hours: i64) {
        let moved = self.destroyer.clocks().local().duration_since(Timestamp::now());
        self.destroyer.clocks().moves(moved + SignedDuration::from_hours(hours));
        self.look().await;
    }

    /// Moves the clocks on at once, and looks.
    pub async fn jump(&self, days: i64) {
        let moved = self.destroyer.clocks().local().duration_since(Timestamp::now());
        self.destroyer.clocks().moves(moved + SignedDuration::from_hours(24 * days));
        self.look().await;
    }

    /// Why nothing is destroyed, what an Approval that ends it repeats, and of which TrustDomain.
    pub async fn frozen(&self) -> (String, String, String) {
        let told = self.told().await;
        let text = |field: &str| told["frozen"][field].as_str().unwrap_or_default().to_owned();
        let domain = Api::<TrustDomain>::all(self.admin.clone()).get(DOMAIN).await.unwrap();
        (text("reason"), text("digest"), domain.uid().unwrap())
    }

    /// Moves the clocks to so many days from now, in steps short enough that nobody asks, and looks at each.
    pub async fn days_on(&self, days: i64) {
        let mut left = days;
        while left > 0 {
            let step = left.min(6);
            left -= step;
            self.hours_on(24 * step).await;
        }
    }

    /// Looks often enough that everything that can be done now is done.
    pub async fn look(&self) {
        for _ in 0..2 {
            self.destroyer.round().await;
        }
    }

    pub fn key(&self, channel: &str) -> String {
        self.keys[channel].key_name()
    }

    /// Lists these Channels' keys, as the operator does.
    pub async fn list(&self, channels: &[&str]) -> Destruction {
        let keys = channels.iter().map(|name| self.keys[*name].clone()).collect();
        self.list_keys(keys).await
    }

    /// Lists these keys, as the operator does.
    pub async fn list_keys(&self, keys: Vec<ListedKey>) -> Destruction {
        let policies: Api<RetentionPolicy> = Api::all(self.admin.clone());
        let policy = policies.get("contactcenter").await.unwrap();
        let due = jiff::civil::date(2026, 1, 1);
        let of = policy.name_any();
        let keys = keys.into_iter().map(|key| DueKey { key, policy: of.clone(), due });
        let nonce = format!("{:016x}", self.count.fetch_add(1, Ordering::Relaxed));
        let made = listing::wanted(DOMAIN, &[(of.clone(), policy)].into(), keys, || nonce.clone());
        let operator = self.env.client_for_token(&self.installed.token).unwrap();
        let destructions: Api<Destruction> = Api::all(operator);
        destructions.create(&PostParams::default(), &made[0]).await.unwrap()
    }

    pub async fn destruction(&self, name: &str) -> Destruction {
        Api::<Destruction>::all(self.admin.clone()).get(name).await.unwrap()
    }

    /// The state of a Destruction after a look.
    pub async fn state(&self, name: &str) -> String {
        self.destruction(name).await.status.unwrap_or_default().state.unwrap_or_default()
    }

    /// The Destruction that the operator makes.
    pub async fn listed_by_the_operator(&self) -> Destruction {
        let destructions: Api<Destruction> = Api::all(self.admin.clone());
        self.until("a Destruction", || async {
            let mut found = destructions.list(&ListParams::default()).await.unwrap().items;
            found.pop().ok_or("none".to_owned())
        })
        .await
    }

    pub async fn hold(&self, name: &str) -> LegalHold {
        Api::<LegalHold>::all(self.admin.clone()).get(name).await.unwrap()
    }

    /// The reasons of the Events about an object.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.admin.clone(), "default");
        let all = events.list(&ListParams::default()).await.unwrap().items.into_iter();
        let about =
            all.filter(|event| event.regarding.as_ref().and_then(|one| one.name.as_deref()) == Some(name));
        about.filter_map(|event| event.reason).collect()
    }

    pub async fn apply(&self, object: &Value) {
        apply_object(&self.admin, object).await.unwrap();
    }

    /// A person decides, in their own name.
    pub async fn decide(
        &self,
        decision: &str,
        who: &str,
        kind: TargetKind,
        name: &str,
        uid: &str,
        digest: &str,
    ) {
        let expires = Timestamp::now() + SignedDuration::from_hours(24 * 60);
        self.decide_until(decision, who, kind, name, uid, digest, expires).await;
    }

    /// The same, until then.
    #[allow(clippy::too_many_arguments)]
    pub async fn decide_until(
        &self,
        decision: &str,
        who: &str,
        kind: TargetKind,
        name: &str,
        uid: &str,
        digest: &str,
        expires: Timestamp,
    ) {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let approval = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": {"name": format!("a-{count}")},
            "spec": {
                "target": {"kind": kind.as_str(), "name": name, "uid": uid, "digest": digest},
                "decision": decision, "approver": who, "expires": expires.to_string(),
            },
        });
        let approvals: Api<Approval> = Api::all(self.env.client_as(who, &["system:authenticated"]).unwrap());
        approvals.create(&PostParams::default(), &serde_json::from_value(approval).unwrap()).await.unwrap();
    }

    pub async fn approve(&self, who: &str, destruction: &Destruction) {
        let uid = destruction.uid().unwrap();
        self.decide(
            "Approve",
            who,
            TargetKind::Destruction,
            &destruction.name_any(),
            &uid,
            &destruction.spec.digest,
        )
        .await;
    }

    pub async fn release(&self, hold: &str) {
        let holds: Api<LegalHold> = Api::all(self.admin.clone());
        let patch = json!({"spec": {"released": true}});
        holds.patch(hold, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// What OpenBao has of a key.
    pub async fn transit(&self, key: &str) -> Option<Value> {
        let path = format!("transit/keys/{key}");
        self.env.openbao().request("GET", &path, None).await.ok().map(|answer| answer["data"].clone())
    }

    /// What is decided about the key of a Channel.
    pub async fn decided(&self, channel: &str) -> Value {
        let key = &self.keys[channel];
        let path = format!("subrosa/data/decisions/{}/{}/{}", key.id, key.data_class, key.cohort);
        self.env.openbao().request("GET", &path, None).await.unwrap()["data"]["data"].clone()
    }

    /// Something sealed with the key of a Channel, as its workload would.
    pub async fn sealed(&self, channel: &str) -> String {
        let body = json!({"plaintext": "c2FpZCBpbiBjb25maWRlbmNl"});
        let path = format!("transit/encrypt/{}", self.key(channel));
        let answer = self.env.openbao().request("POST", &path, Some(body)).await.unwrap();
        answer["data"]["ciphertext"].as_str().unwrap().to_owned()
    }

    /// Whether it opens.
    pub async fn opens(&self, channel: &str, sealed: &str) -> bool {
        let path = format!("transit/decrypt/{}", self.key(channel));
        self.env.openbao().request("POST", &path, Some(json!({"ciphertext": sealed}))).await.is_ok()
    }
}

/// The policy, with changes.
pub fn policy(destruction: Value) -> Value {
    let mut rules = json!({"approvals": 2, "grace": "1d"});
    for (name, value) in destruction.as_object().unwrap() {
        rules[name] = value.clone();
    }
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": "contactcenter"},
        "spec": {"classes": [{"name": CLASS, "keep": "1d", "cohort": "Day"}], "destruction": rules},
    })
}

pub fn hold(name: &str, selector: Value) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "LegalHold", "metadata": {"name": name},
        "spec": {"selector": selector, "matter": "2026-114"},
    })
}

async fn destroyer(
    env: &Environment,
    installed: &Installation,
    directory: &std::path::Path,
    (most_batches, breaker_percent): (usize, u64),
) -> Destroyer {
    let namespace = installed.names.namespace();
    let token = env.service_account_token(namespace, "subrosa-destroyer", AUDIENCE).await.unwrap();
    let file = directory.join("vault-token");
    std::fs::write(&file, token).unwrap();
    let settings = DestroyerSettings {
        namespace: namespace.to_owned(),
        operator_service_account: installed.names.service_account().to_owned(),
        vault_token_file: file,
        vault_role: "subrosa-destroyer".into(),
        interval: 30,
        most_batches,
        most_percent: 100,
        breaker_percent,
        listen: "127.0.0.1:0".parse().unwrap(),
        pod: None,
    };
    let api = env.service_account_token(namespace, "subrosa-destroyer", "").await.unwrap();
    let api = env.api().kube_config(&api).unwrap();
    Destroyer::new(api, settings, GuardCheck::new(guard_is_unedited)).unwrap()
}
