use std::{
    collections::BTreeMap as Map,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use subrosa_crds::{Channel, RetentionPolicy, TrustDomain};
use subrosa_plan::{
    channel as plan,
    world::{NamespaceFacts, declaration::Declaration},
};

use super::*;
use crate::{
    context::{Context, testing::context},
    execute::objects,
    observe::vaults::testing::vault_at,
};

/// A Vault that makes keys, and refuses everything about those that have a word in their names.
#[derive(Clone, Default)]
struct Refusing(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    word: &'static str,
    /// What was written, by path.
    records: Map<String, Value>,
}

async fn answer(State(vault): State<Refusing>, request: Request) -> (StatusCode, String) {
    let path = request.uri().path().trim_start_matches("/v1/").to_owned();
    let (method, list) = (request.method().clone(), request.uri().query().is_some());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let mut said = vault.0.lock().unwrap();
    let nothing = (StatusCode::NOT_FOUND, json!({"errors": []}).to_string());
    if path.starts_with("transit/keys/") && path.contains(said.word) {
        return (StatusCode::FORBIDDEN, json!({"errors": ["permission denied"]}).to_string());
    }
    if method == "GET" || method == "LIST" || list {
        return nothing;
    }
    if path.starts_with("transit/keys/") {
        let key = json!({
            "type": "aes256-gcm96", "name": "k", "exportable": false, "allow_plaintext_backup": false, "deletion_allowed": false,
            "soft_deleted": false, "auto_rotate_period": 2_592_000, "latest_version": 1, "min_available_version": 0,
            "min_decryption_version": 1, "min_encryption_version": 0, "keys": {"1": 1_795_000_000},
        });
        return (StatusCode::OK, json!({"data": key}).to_string());
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    said.records.insert(path, body["data"].clone());
    (StatusCode::OK, json!({"data": {"version": 1}}).to_string())
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn declares(classes: &[&str]) -> Declaration {
    let channel = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": "voice", "namespace": "cc-front", "uid": "uid-voice", "generation": 1},
        "spec": {"workload": {"selector": {"matchLabels": {"app": "voice"}}}, "dataClasses": classes},
    });
    Declaration::of(Arc::new(of::<Channel>(channel)))
}

/// A trust domain that knows two classes.
fn ctx() -> Context {
    let ctx = context();
    let domain: TrustDomain = of(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "TrustDomain", "metadata": {"name": "oosterlinde"},
        "spec": {
            "organisation": {"name": "Ziekenhuis Oosterlinde", "country": "NL"}, "jurisdictions": ["NL"],
            "timeZone": "Europe/Amsterdam", "retentionPolicies": ["contactcenter"],
            "vault": {"address": "https://openbao.security.svc:8200", "auth": {"kubernetes": {}}},
            "network": {"clusterCIDRs": ["10.0.0.0/8"]},
        },
    }));
    let retention: RetentionPolicy = of(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": "contactcenter"},
        "spec": {"classes": [{"name": "call-recording", "keep": "1y"}, {"name": "chat-log", "keep": "1y"}]},
    }));
    ctx.cluster.write(|world| {
        let facts = NamespaceFacts {
            uid: "uid".into(),
            trust_domain: Some("oosterlinde".into()),
            ..NamespaceFacts::default()
        };
        world.namespaces.insert("cc-front".into(), facts);
        world.domains.insert("oosterlinde".into(), Arc::new(domain));
        world.retention.insert("contactcenter".into(), Arc::new(retention));
    });
    ctx
}

#[tokio::test]
async fn a_key_that_was_made_is_recorded_although_vault_refuses_another() {
    let fake = Refusing(Arc::new(Mutex::new(Said { word: ".chat-log.", ..Said::default() })));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let vault = vault_at(&format!("http://{}", listener.local_addr().unwrap()));
    let router = Router::new().fallback(answer).with_state(fake.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let (ctx, now) = (ctx(), "2026-11-22T12:00:00Z".parse::<Timestamp>().unwrap());
    let channel = declares(&["call-recording", "chat-log"]);
    let plan = ctx.cluster.read(|world| plan::plan(&channel, world, None, now)).unwrap();
    let mut record = ctx.cluster.read(|world| plan.first_record(channel.name(), world));
    let made_before = "2026-10-01T00:00:00Z".parse().unwrap();
    // A cohort that has ended, and whose key is not to be had either: it holds up no record of another.
    record.key_mut("chat-log", "2026m10".parse().unwrap()).versions.insert(1, made_before);
    record.key_mut("call-recording", "2026m10".parse().unwrap()).versions.insert(1, made_before);
    let mut work = Work {
        ctx: &ctx,
        channel: &channel,
        vault: &vault,
        plan: &plan,
        now,
        secrets: objects::namespaced(&ctx.client, "cc-front"),
        news: Vec::new(),
        wake: Vec::new(),
        rotating: Vec::new(),
    };
    let refused = work.keys(&mut record).await.unwrap_err();
    assert_eq!(refused.reason, Reason::VaultPermissionDenied, "{}", refused.message);
    let versions = |class: &str, cohort: &str| {
        record.key(class, cohort.parse().unwrap()).map(|known| known.versions.len())
    };
    assert_eq!((versions("call-recording", "2026m11"), versions("chat-log", "2026m11")), (Some(1), None));
    assert_eq!(versions("call-recording", "2026m10"), None, "its cohort has ended");
    let id = &plan.id;
    let said = fake.0.lock().unwrap();
    let month = |month: &str| said.records.get(&format!("subrosa/data/keys/{id}/call-recording/{month}"));
    let kept = |at: &str, cohort: &str| month(at).map(|record| record["keys"][cohort].clone());
    assert!(kept("2026m11", "2026m11").unwrap()["versions"]["1"].is_string(), "{:?}", said.records);
    assert!(kept("2026m10", "2026m10").unwrap()["closed"].is_string(), "{:?}", said.records);
}
