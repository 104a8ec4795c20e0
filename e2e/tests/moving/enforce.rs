//! A running namespace becomes enforced, step by step as docs/moving-in.md has them, and no connection fails on
//! the way: neither by a certificate, which real handshakes show, nor by a policy, which the independent evaluator
//! says of every set of policies that was ever in force.

use std::{collections::BTreeMap, sync::Arc};

use futures::StreamExt as _;
use k8s_openapi::api::{
    core::v1::{Namespace, Pod as ApiPod, Secret},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
    runtime::watcher::{self, Event, watcher},
};
use serde_json::{Value, json};
use subrosa_crds::{ChannelStatus, TRUST_DOMAIN_LABEL, condition};
use subrosa_e2e::{tools, wait};
use tokio::sync::Mutex;

use crate::{
    evaluator::{self, judge},
    foreign::Issuer,
    town::{End, Pod as Placed, Question, Town},
    traffic::{Mount, Pod, Traffic, once},
    world::{World, channel, connection},
};

const NS: &str = "cc-legacy";
const VOICE: &str = "voice.cc-legacy.svc";
const IVR: &str = "ivr.cc-legacy.svc";

/// Two workloads that run, and everybody's view of them.
struct Move {
    world: World,
    voice: Pod,
    ivr: Pod,
    traffic: Traffic,
    policies: Arc<Mutex<Vec<Vec<NetworkPolicy>>>>,
}

impl Move {
    /// Waits until a step has had its effect, everywhere, and nothing was interrupted by it.
    async fn goes_on(&self, step: &str) {
        self.traffic.goes_on(step).await;
    }

    /// The next pod of a workload: it mounts these Secrets, and the one before goes.
    async fn roll(&self, app: &str, generation: u32, mount: Mount) {
        let pods: Api<ApiPod> = self.world.api(NS);
        self.world.apply(&pod(app, generation, &mount)).await;
        let workload = if app == "voice" { &self.voice } else { &self.ivr };
        workload.roll(mount).await;
        let before = format!("{app}-{}", generation - 1);
        pods.delete(&before, &DeleteParams::default().grace_period(0)).await.unwrap();
    }

    async fn exists(&self, secret: &str) -> bool {
        self.world.secret(NS, secret).await.is_some()
    }

    async fn gone(&self, secret: &str) {
        let look =
            || async { if self.exists(secret).await { Err("it is there".to_owned()) } else { Ok(()) } };
        self.world.until(&format!("Secret {secret} is gone"), look).await;
    }
}

/// A pod as the API server has it. There is no node: what it would do, [`Pod`] does.
fn pod(app: &str, generation: u32, mount: &Mount) -> Value {
    let secrets: std::collections::BTreeSet<_> = [mount.certificate, mount.key, mount.trust]
        .into_iter()
        .map(|path| path.split_once('/').unwrap().0)
        .collect();
    let volumes: Vec<_> =
        secrets.iter().map(|name| json!({"name": name, "secret": {"secretName": name}})).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{app}-{generation}"), "namespace": NS, "labels": {"app": app}},
        "spec": {"containers": [{"name": app, "image": app}], "volumes": volumes},
    })
}

fn foreign(app: &str) -> Mount {
    match app {
        "voice" => {
            Mount { certificate: "voice-tls/tls.crt", key: "voice-tls/tls.key", trust: "voice-tls/ca.crt" }
        }
        _ => Mount { certificate: "ivr-tls/tls.crt", key: "ivr-tls/tls.key", trust: "ivr-tls/ca.crt" },
    }
}

fn voice(tls: Value) -> Value {
    let listeners = json!([{"name": "sips", "port": 5061}]);
    channel(NS, "voice", json!({"listeners": listeners, "accepts": [{"name": "ivr"}], "tls": tls}))
}

fn ivr(tls: Value) -> Value {
    channel(NS, "ivr", json!({"connectsTo": [{"name": "voice"}], "tls": tls}))
}

/// The old authority, trusted by each end for the other's sake.
fn old(direction: &str, expires: &str) -> Value {
    json!([{
        "name": "old", "direction": direction, "expires": expires,
        "caBundle": {"configMap": "old-ca", "key": "ca.crt"},
    }])
}

const LAST_DAY: &str = "2099-01-31";

/// What runs before anybody heard of Subrosa.
async fn running(issuer: &Issuer) -> Move {
    let world = World::start().await;
    world.env.create_namespace(NS, &[]).await.unwrap();
    world.env.create_namespace("monitoring", &[]).await.unwrap();
    for (secret, name) in [("voice-tls", VOICE), ("ivr-tls", IVR)] {
        world.apply(&issuer.secret(NS, secret, name)).await;
    }
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = world.api(NS);
    world
        .until("ServiceAccount default", || async {
            accounts.get("default").await.map(drop).map_err(|error| error.to_string())
        })
        .await;
    for app in ["voice", "ivr", "cron"] {
        let mount = foreign(if app == "cron" { "ivr" } else { app });
        world.apply(&pod(app, 1, &mount)).await;
    }
    // The team's own policy, as such policies are: by labels of the same namespace.
    let sip = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "sip", "namespace": NS},
        "spec": {
            "podSelector": {"matchLabels": {"app": "voice"}}, "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": {"matchLabels": {"app": "ivr"}}}], "ports": [{"port": 5061}]},
                {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
                 "ports": [{"port": 9090}]},
            ],
        },
    });
    world.apply(&sip).await;
    let policies = Arc::<Mutex<Vec<Vec<NetworkPolicy>>>>::default();
    tokio::spawn(collect(world.api(NS), Arc::clone(&policies)));
    let voice = Pod::start(&world.admin, NS, foreign("voice")).await;
    let ivr = Pod::start(&world.admin, NS, foreign("ivr")).await;
    let traffic = Traffic::start(voice.clone(), ivr.clone(), VOICE).await;
    Move { world, voice, ivr, traffic, policies }
}

/// Every set of policies that is ever in force, by a watch: what is there only for a moment is seen too.
async fn collect(api: Api<NetworkPolicy>, seen: Arc<Mutex<Vec<Vec<NetworkPolicy>>>>) {
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
    let mut there: BTreeMap<String, NetworkPolicy> = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                there.clear();
                continue;
            }
            Ok(Event::InitApply(mut policy)) => {
                policy.metadata.managed_fields = None;
                there.insert(policy.name_any(), policy);
                continue;
            }
            Ok(Event::InitDone) => {}
            Ok(Event::Apply(mut policy)) => {
                policy.metadata.managed_fields = None;
                there.insert(policy.name_any(), policy);
            }
            Ok(Event::Delete(policy)) => drop(there.remove(&policy.name_any())),
            Err(_) => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            }
        }
        let found: Vec<_> = there.values().cloned().collect();
        let mut seen = seen.lock().await;
        if seen.last() != Some(&found) {
            seen.push(found);
        }
    }
}

fn domain(world: &World, staged: Value) -> Value {
    let mut domain = world.installed.trust_domain(&world.env);
    domain["spec"]["network"]["staged"] = staged;
    domain["spec"]["network"]["services"] = json!([{
        "name": "prometheus", "namespace": "monitoring", "direction": "Ingress", "ports": [9090], "for": "All",
    }]);
    domain
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_namespace_is_enforced_and_no_connection_fails() {
    let issuer = Issuer::new("cert-manager of old");
    let stage = running(&issuer).await;
    let world = &stage.world;
    stage.goes_on("before anything").await;

    // 1. The namespace joins, audited. The platform team consents to the old authority.
    let audited = json!([{"namespace": NS, "mode": "Audit", "until": LAST_DAY}]);
    world.apply(&domain(world, audited)).await;
    // Before the operator knows that it is to be audited, a namespace that joins is enforced.
    world
        .domain(|domain| {
            let seen = domain.status.as_ref().and_then(|status| status.observed_generation);
            seen == domain.metadata.generation
        })
        .await;
    let consent = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "old-ca", "namespace": "subrosa-system"},
        "data": {"ca.crt": issuer.certificate()},
    });
    world.apply(&consent).await;
    world.label(NS, json!({TRUST_DOMAIN_LABEL: crate::world::DOMAIN})).await;
    stage.goes_on("the namespace joins").await;

    // 2. Channels that leave the certificates where they are.
    let external = |secret: &str, direction: &str| json!({"issuance": "External", "secretName": secret, "extraTrust": old(direction, LAST_DAY)});
    world.apply(&voice(external("voice-tls", "Ingress"))).await;
    world.apply(&ivr(external("ivr-tls", "Egress"))).await;
    // What the platform team consented to may be seen later than that both ends agree.
    let audited = |status: &ChannelStatus| wait::reason(status, condition::READY) == "AuditMode";
    let status = world
        .channel(NS, "voice", |status| connection(status, "ivr") == Some("Open") && audited(status))
        .await;
    world.channel(NS, "ivr", |status| connection(status, "voice") == Some("Open") && audited(status)).await;
    let [exception] = status.exceptions.as_slice() else { panic!("{:?}", status.exceptions) };
    assert_eq!((exception.control.as_str(), exception.expires.as_str()), ("extraTrust/old", LAST_DAY));
    let reported = status.certificate.unwrap();
    assert_eq!(reported.secret_name.as_deref(), Some("voice-tls"));
    assert_eq!(reported.serial, issuer.serial(&world.secret(NS, "voice-tls").await.unwrap()));
    assert!(reported.issuer.contains("cert-manager of old"), "{}", reported.issuer);
    assert!(!stage.exists("voice-mtls").await, "nothing is issued");
    stage.goes_on("Channels are there").await;

    // 3. The workloads take their trust from Subrosa, their certificates still from elsewhere.
    let trusting = |app: &str| Mount {
        trust: if app == "voice" { "voice-trust/clients-ca.crt" } else { "ivr-trust/servers-ca.crt" },
        ..foreign(app)
    };
    stage.roll("voice", 2, trusting("voice")).await;
    stage.goes_on("the server trusts by Subrosa").await;
    stage.roll("ivr", 2, trusting("ivr")).await;
    stage.goes_on("the client trusts by Subrosa").await;
    // The other issuer goes on renewing.
    world.apply(&issuer.secret(NS, "voice-tls", VOICE)).await;
    stage.goes_on("a certificate is renewed elsewhere").await;

    // 4. What enforcing would meet is read, and mended.
    let status = world.channel(NS, "voice", |status| isolated(status).contains("cron-1")).await;
    let report = isolated(&status);
    assert!(report.contains("1 pods belong to no Channel"), "{report}");
    assert!(report.contains("sip ingress[0]"), "{report}");
    world.apply(&channel(NS, "cron", json!({}))).await;
    world.channel(NS, "voice", |status| !isolated(status).contains("belong to no Channel")).await;
    stage.goes_on("every pod has a Channel").await;

    // 5. Subrosa issues, first for one end, then for the other. Nobody mounts it until the next rollout.
    let old_voice = stage.voice.files();
    let old_ivr = stage.ivr.files();
    let own = |app: &str| match app {
        "voice" => Mount {
            certificate: "voice-mtls/tls.crt",
            key: "voice-mtls/tls.key",
            trust: "voice-mtls/clients-ca.crt",
        },
        _ => Mount {
            certificate: "ivr-mtls/tls.crt",
            key: "ivr-mtls/tls.key",
            trust: "ivr-mtls/servers-ca.crt",
        },
    };
    for app in ["voice", "ivr"] {
        let tls = |direction: &str| json!({"extraTrust": old(direction, LAST_DAY)});
        let manifest = if app == "voice" { voice(tls("Ingress")) } else { ivr(tls("Egress")) };
        world.apply(&manifest).await;
        let name = format!("{app}-mtls");
        world
            .channel(NS, app, |status| {
                status
                    .certificate
                    .as_ref()
                    .is_some_and(|certificate| certificate.secret_name.as_deref() == Some(name.as_str()))
            })
            .await;
        stage.goes_on(&format!("{app} is issued by Subrosa")).await;
        assert!(stage.exists(&format!("{app}-trust")).await, "a pod mounts it");
        stage.roll(app, 3, own(app)).await;
        stage.goes_on(&format!("{app} shows its own certificate")).await;
        stage.gone(&format!("{app}-trust")).await;
    }

    // 6. Enforced.
    world.apply(&domain(world, json!([]))).await;
    world
        .until("the default deny", || async {
            world.policy(NS, "subrosa-default-deny").await.map(drop).ok_or("there is none".to_owned())
        })
        .await;
    let widened = world
        .channel(NS, "voice", |status| wait::reason(status, condition::ISOLATED) == "ForeignPolicy")
        .await;
    assert!(isolated(&widened).contains("sip ingress[0]"), "{}", isolated(&widened));
    stage.goes_on("enforced").await;
    world.api::<NetworkPolicy>(NS).delete("sip", &DeleteParams::default()).await.unwrap();
    world.whole(NS, "voice").await;
    world.whole(NS, "ivr").await;
    stage.goes_on("the team's own policy is gone").await;

    // 7. The old authority's last day passes.
    let (new_voice, new_ivr) = (stage.voice.files(), stage.ivr.files());
    once(&new_voice, &old_ivr.clone().with_trust_of(&new_ivr), VOICE).await.expect("still trusted");
    world.apply(&voice(json!({"extraTrust": old("Ingress", "2026-01-31")}))).await;
    world.apply(&ivr(json!({"extraTrust": old("Egress", "2026-01-31")}))).await;
    for app in ["voice", "ivr"] {
        // What ended loosens nothing.
        world
            .channel(NS, app, |status| {
                status.exceptions.iter().any(|one| one.overdue) && wait::is(status, condition::READY)
            })
            .await;
        world.files_where(NS, app, |files| files.trusting(issuer.certificate().trim()).is_empty()).await;
        assert!(world.event(NS, app, "ExtraTrustEnded").await.contains("extraTrust/old"));
    }
    for pod in [&stage.voice, &stage.ivr] {
        world
            .until("the mounted files follow", || async {
                let trusts = pod.files().trusts(&issuer.certificate());
                if trusts { Err("the old authority is in them".to_owned()) } else { Ok(()) }
            })
            .await;
    }
    stage.goes_on("the old authority is trusted no more").await;
    let (voice, ivr) = (stage.voice.files(), stage.ivr.files());
    let refused = once(&voice, &old_ivr.with_trust_of(&ivr), VOICE).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let refused = once(&old_voice.with_trust_of(&voice), &ivr, VOICE).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");

    // Nothing of the other issuer was touched.
    for name in ["voice-tls", "ivr-tls"] {
        assert_untouched(&world.secret(NS, name).await.unwrap());
    }
    allowed_at_every_step(&stage).await;
    println!("{} connections, none failed", stage.traffic.count());
}

fn isolated(status: &ChannelStatus) -> String {
    condition::find(&status.conditions, condition::ISOLATED)
        .map(|one| one.message.clone())
        .unwrap_or_default()
}

/// No field of it is the operator's.
pub fn assert_untouched(secret: &Secret) {
    let managers: Vec<_> =
        secret.managed_fields().iter().map(|entry| entry.manager.clone().unwrap_or_default()).collect();
    assert!(!managers.is_empty() && managers.iter().all(|manager| manager != "subrosa"), "{managers:?}");
    assert!(secret.owner_references().is_empty());
}

/// What has to get through did at every step, and at the end nothing else does.
async fn allowed_at_every_step(stage: &Move) {
    let place = |namespace: &str, app: &str, last: u8| Placed {
        namespace: namespace.to_owned(),
        labels: BTreeMap::from([("app".to_owned(), app.to_owned())]),
        address: [10, 244, 0, last].into(),
    };
    let (voice, ivr, cron) = (place(NS, "voice", 1), place(NS, "ivr", 2), place(NS, "cron", 3));
    let (prometheus, mut dns) = (place("monitoring", "prometheus", 4), place("kube-system", "dns", 5));
    dns.labels.insert("k8s-app".to_owned(), "kube-dns".to_owned());
    let ask = |from, to, port, udp| Question { from: End::Pod(from), to: End::Pod(to), port, udp };
    let wanted = [
        ask(&ivr, &voice, 5061, false),
        ask(&prometheus, &voice, 9090, false),
        ask(&ivr, &dns, 53, true),
        ask(&voice, &dns, 53, false),
    ];
    let unwanted = [
        ask(&cron, &voice, 5061, false),
        ask(&ivr, &voice, 22, false),
        ask(&voice, &ivr, 5061, false),
        ask(&prometheus, &ivr, 5061, false),
    ];
    let names: Api<Namespace> = Api::all(stage.world.admin.clone());
    let namespaces = names.list(&ListParams::default()).await.unwrap();
    let town = Town {
        namespaces: namespaces
            .iter()
            .map(|one| crate::town::Namespace { name: one.name_any(), domain: None })
            .collect(),
        ..Town::default()
    };
    let seen = stage.policies.lock().await.clone();
    // The team's own, both Channels' in some order, the default deny, without the team's own.
    assert!(seen.len() >= 4, "only {} sets of policies were seen", seen.len());
    let questions: Vec<_> = wanted.iter().chain(&unwanted).copied().collect();
    let documents =
        seen.iter().map(|policies| evaluator::document(&town, policies, &questions).unwrap()).collect();
    let program = tokio::task::spawn_blocking(tools::evaluator).await.unwrap().unwrap();
    let answers = judge(&program, documents).unwrap();
    for (policies, answers) in seen.iter().zip(&answers) {
        for (question, answer) in questions.iter().zip(answers).take(wanted.len()) {
            let names: Vec<_> = policies.iter().map(kube::ResourceExt::name_any).collect();
            assert!(
                answer.allowed,
                "{question:?} was cut by {names:?}: ingress {}, egress {}",
                answer.ingress, answer.egress
            );
        }
    }
    let last = answers.last().unwrap();
    for (question, answer) in questions.iter().zip(last).skip(wanted.len()) {
        assert!(!answer.allowed, "{question:?} gets through");
    }
}
