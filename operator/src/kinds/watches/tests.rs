use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Parser as _;
use futures::FutureExt as _;
use http::Response;
use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use subrosa_crds::{Channel, ExternalParty, RetentionPolicy, TrustDomain, names::ChannelRef};
use subrosa_plan::world::World;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    changes::Watched as _,
    context::{Context, testing::context_before},
    kinds::queues::ChildWatches,
    observe::{
        Binding,
        watch::{Change, ObjectKey},
    },
    subject::{NamespaceMeta, Subject},
};

/// What came while a watch told nothing, and what becomes of it.
struct Row {
    /// Where the kind is listed.
    path: &'static str,
    /// What came.
    object: fn() -> Value,
    /// Who is to be looked at because of it.
    wakes: fn() -> Subject,
    /// Whether the same is looked at when it is gone.
    also_gone: bool,
}

fn channel(name: &str) -> Subject {
    Subject::of::<Channel>(ChannelRef::new("cc-front", name))
}

fn named(name: &str, more: Value) -> Value {
    let mut object =
        json!({"metadata": {"name": name, "namespace": "cc-front", "uid": "u", "resourceVersion": "5"}});
    object.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    object
}

fn labelled(name: &str, labels: Value) -> Value {
    let mut object = named(name, json!({}));
    object["metadata"]["labels"] = labels;
    object
}

/// Every watch that runs from the start. A new one needs a row: what comes of an object that it shows late.
const FROM_THE_START: [Row; 12] = [
    Row {
        path: "/api/v1/namespaces",
        object: || labelled("cc-web", json!({"subrosa.dev/trust-domain": "oosterlinde"})),
        wakes: || Subject::of::<NamespaceMeta>("cc-web".to_owned()),
        also_gone: true,
    },
    Row {
        path: "/apis/subrosa.dev/v1alpha1/trustdomains",
        object: || named("oosterlinde", json!({"spec": domain()})),
        wakes: || Subject::of::<TrustDomain>("oosterlinde".to_owned()),
        also_gone: true,
    },
    Row {
        path: "/apis/subrosa.dev/v1alpha1/externalparties",
        object: || named("sip-trunk", json!({"spec": party()})),
        wakes: || Subject::of::<ExternalParty>("sip-trunk".to_owned()),
        also_gone: true,
    },
    Row {
        path: "/apis/subrosa.dev/v1alpha1/retentionpolicies",
        object: || named("contactcenter", json!({"spec": {"classes": [{"name": "calls", "keep": "1y"}]}})),
        wakes: || Subject::of::<RetentionPolicy>("contactcenter".to_owned()),
        also_gone: true,
    },
    Row {
        path: "/apis/subrosa.dev/v1alpha1/channels",
        object: || named("chat", json!({"spec": declared("chat")})),
        wakes: || channel("chat"),
        also_gone: true,
    },
    Row {
        path: "/apis/certificates.k8s.io/v1/podcertificaterequests",
        object: || named("request", json!({"spec": request()})),
        wakes: || {
            let key = ObjectKey { namespace: "cc-front".into(), name: "request".into() };
            Subject::of::<PodCertificateRequest>(key)
        },
        // Nobody waits for the answer any more.
        also_gone: false,
    },
    Row {
        path: "/api/v1/pods",
        object: || labelled("voice-0", json!({"app": "voice"})),
        wakes: || channel("voice"),
        also_gone: true,
    },
    Row {
        path: "/api/v1/services",
        object: || named("sip", json!({"spec": {"selector": {"app": "voice"}}})),
        wakes: || channel("voice"),
        also_gone: true,
    },
    Row {
        path: "/api/v1/serviceaccounts",
        object: || named("voice", json!({})),
        wakes: || channel("voice"),
        also_gone: true,
    },
    Row {
        path: "/apis/networking.k8s.io/v1/networkpolicies",
        object: || named("theirs", json!({"spec": {"podSelector": {}, "ingress": [{}]}})),
        wakes: || channel("voice"),
        also_gone: true,
    },
    Row {
        path: "/apis/rbac.authorization.k8s.io/v1/rolebindings",
        object: || named("subrosa", json!({})),
        wakes: || Subject::of::<NamespaceMeta>("cc-front".to_owned()),
        also_gone: true,
    },
    Row {
        path: "/api/v1/namespaces/subrosa-system/configmaps",
        object: || named("carrier-ca", json!({"data": {"ca.crt": "none"}})),
        wakes: || Subject::of::<ExternalParty>("carrier".to_owned()),
        also_gone: true,
    },
];

/// The watches that begin when a namespace is prepared, and what each wakes.
const OF_A_NAMESPACE: [&str; 2] =
    ["/api/v1/namespaces/cc-front/secrets", "/api/v1/namespaces/cc-front/configmaps"];

fn domain() -> Value {
    json!({
        "organisation": {"name": "Ziekenhuis Oosterlinde", "country": "NL"}, "jurisdictions": ["NL"],
        "timeZone": "Europe/Amsterdam", "retentionPolicies": ["contactcenter"],
        "vault": {"address": "https://openbao.security.svc:8200", "auth": {"kubernetes": {}}},
        "network": {"clusterCIDRs": ["10.0.0.0/8"]},
    })
}

fn party() -> Value {
    json!({
        "role": "Carrier", "addresses": {"cidrs": ["203.0.113.0/28"]},
        "tls": {"mode": "Mutual", "caBundle": {"configMap": "carrier-ca", "key": "ca.crt"}},
    })
}

fn declared(name: &str) -> Value {
    json!({
        "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": name},
        "dataClasses": ["calls"],
    })
}

fn request() -> Value {
    json!({
        "signerName": subrosa_plan::pod_certificate::SIGNER, "podName": "voice-0", "podUID": "p",
        "serviceAccountName": "voice", "serviceAccountUID": "s", "nodeName": "n", "nodeUID": "m",
        "stubPKCS10Request": "",
    })
}

/// An API server whose watches never tell anything.
#[derive(Clone, Default)]
struct Silent(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    /// What there is, by where it is listed.
    there: BTreeMap<String, Vec<Value>>,
    /// What was listed.
    listed: BTreeSet<String>,
}

impl Silent {
    fn client(&self) -> Client {
        let server = self.clone();
        let answer = move |request: http::Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request.uri()).await) }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    async fn answer(&self, uri: &http::Uri) -> Response<Body> {
        if uri.query().is_some_and(|query| query.contains("watch=true")) {
            return std::future::pending().await;
        }
        if uri.path().trim_end_matches('/') == "/apis/certificates.k8s.io/v1" {
            let kind = json!({
                "name": "podcertificaterequests", "singularName": "", "namespaced": true,
                "kind": "PodCertificateRequest", "verbs": ["list"],
            });
            let served = json!({"groupVersion": "certificates.k8s.io/v1", "resources": [kind]});
            return Response::new(Body::from(served.to_string().into_bytes()));
        }
        let mut content = self.0.lock().unwrap();
        content.listed.insert(uri.path().to_owned());
        let items = content.there.get(uri.path()).cloned().unwrap_or_default();
        let list = json!({"metadata": {"resourceVersion": "7"}, "items": items});
        Response::new(Body::from(list.to_string().into_bytes()))
    }

    fn has(&self, path: &str, items: Vec<Value>) {
        self.0.lock().unwrap().there.insert(path.to_owned(), items);
    }

    fn listed(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().listed.clone()
    }
}

#[derive(clap::Parser)]
struct Alone {
    #[command(flatten)]
    settings: Settings,
}

/// A namespace with a Channel, and a party whose bundle is a ConfigMap.
fn known(world: &mut World) {
    let key = |namespace: &str, name: &str| ObjectKey { namespace: namespace.into(), name: name.into() };
    let namespace = labelled("cc-front", json!({"subrosa.dev/trust-domain": "oosterlinde"}));
    let namespace: NamespaceMeta = serde_json::from_value(namespace).unwrap();
    let _ = NamespaceMeta::seen(world, Change::Applied(key("", "cc-front"), Arc::new(namespace)));
    let voice: Channel = serde_json::from_value(named("voice", json!({"spec": declared("voice")}))).unwrap();
    let _ = Channel::seen(world, Change::Applied(key("cc-front", "voice"), Arc::new(voice)));
    let carrier: ExternalParty = serde_json::from_value(named("carrier", json!({"spec": party()}))).unwrap();
    let _ = ExternalParty::seen(world, Change::Applied(key("", "carrier"), Arc::new(carrier)));
}

fn woken(ctx: &Context) -> BTreeSet<Subject> {
    std::iter::from_fn(|| ctx.woken.next().now_or_never()).map(|(subject, ())| subject).collect()
}

/// The operator's watches before that server, each of which has listed its kind once.
async fn watching(server: &Silent, stop: &CancellationToken) -> Arc<Context> {
    let ctx = Arc::new(context_before(server.client()));
    ctx.cluster.write(known);
    let mut tasks = JoinSet::new();
    let mut start = Start::new(&ctx, stop, &mut tasks);
    let _queues = start.every_watch(&Alone::parse_from(["subrosa"]).settings);
    for (kind, watch) in start.synced {
        watch.listed.await.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
    // Nothing waits for the requests of pods to be seen.
    while server.listed().len() < FROM_THE_START.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ctx
}

#[tokio::test]
async fn every_watch_that_fell_silent_is_caught_up_with_and_wakes_whom_it_must() {
    let (server, stop) = (Silent::default(), CancellationToken::new());
    let ctx = watching(&server, &stop).await;
    let rows: BTreeSet<_> = FROM_THE_START.iter().map(|row| row.path.to_owned()).collect();
    assert_eq!(server.listed(), rows, "a watch without a row, or a row without a watch");
    for Row { path, object, wakes, also_gone } in FROM_THE_START {
        woken(&ctx);
        server.has(path, vec![object()]);
        ctx.refresh.all().await;
        let came = woken(&ctx);
        assert!(came.contains(&wakes()), "{path}: {came:?}");
        server.has(path, Vec::new());
        ctx.refresh.all().await;
        let went = woken(&ctx);
        assert_eq!(went.contains(&wakes()), also_gone, "{path}: {went:?}");
    }
    stop.cancel();
}

#[tokio::test]
async fn the_watches_of_a_namespace_begin_with_it_and_wake_the_channel_on_the_label() {
    let (server, stop) = (Silent::default(), CancellationToken::new());
    let ctx = watching(&server, &stop).await;
    let before = server.listed();
    let mut watches = ChildWatches::new(stop.clone());
    let voice = ChannelRef::new("cc-front", "voice");
    for path in OF_A_NAMESPACE {
        ctx.cluster.set_binding("cc-front", Binding::Given { version: None });
        woken(&ctx);
        server.has(path, vec![labelled("voice-made", json!({"subrosa.dev/channel": "voice"}))]);
        watches.look(&ctx, &voice);
        let (subject, ()) = tokio::time::timeout(Duration::from_secs(10), ctx.woken.next()).await.unwrap();
        assert_eq!(subject, channel("voice"), "{path}");
        // They end with the right to read there, and begin anew with a list.
        server.has(path, Vec::new());
        ctx.cluster.set_binding("cc-front", Binding::Missing);
        watches.look(&ctx, &voice);
    }
    let began: BTreeSet<_> = server.listed().difference(&before).cloned().collect();
    assert_eq!(began, OF_A_NAMESPACE.map(str::to_owned).into(), "a watch without a test");
    stop.cancel();
}
