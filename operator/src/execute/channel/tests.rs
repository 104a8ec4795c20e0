use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
};
use http::{Response, StatusCode};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use subrosa_crds::{Channel, TrustDomain};
use subrosa_plan::{record::views::View, world::NamespaceFacts};

use super::*;
use crate::{
    context::testing::context_before,
    observe::{Binding, vaults::testing::vault_at},
};

/// The Channel that there was, and the one that was made under its name.
const BEFORE: &str = "uid-before";
const ANEW: &str = "uid-anew";

/// An API server and a Vault, which note what is written.
#[derive(Clone)]
struct Servers(Arc<Mutex<Content>>);

struct Content {
    /// The UID of the Channel that the API server has; its answer where it has none or does not say.
    live: Result<&'static str, u16>,
    /// The Channel's record.
    record: Value,
    written: Vec<String>,
}

fn refusal(code: u16) -> Value {
    json!({"kind": "Status", "status": "Failure", "code": code, "message": "", "reason": ""})
}

impl Servers {
    fn content<R>(&self, look: impl FnOnce(&mut Content) -> R) -> R {
        look(&mut self.0.lock().unwrap())
    }

    fn api(&self) -> Client {
        let servers = self.clone();
        let answer = move |request: http::Request<Body>| {
            let (method, path) = (request.method().as_str(), request.uri().path());
            let list_of_channels = path.ends_with("/channels");
            let (status, body) = servers.content(|content| {
                if method != "GET" {
                    content.written.push(format!("{method} {path}"));
                    return (200, json!({"metadata": {"resourceVersion": "7"}}));
                }
                let metadata = json!({"resourceVersion": "7"});
                match content.live {
                    Ok(uid) if list_of_channels => {
                        let live =
                            json!({"metadata": {"name": "voice", "namespace": "cc-front", "uid": uid}});
                        (200, json!({"metadata": metadata, "items": [live]}))
                    }
                    Err(status) if list_of_channels => (status, refusal(status)),
                    _ if path.contains("/secrets/") => (404, refusal(404)),
                    _ => (200, json!({"metadata": metadata, "items": []})),
                }
            });
            let body = Body::from(body.to_string().into_bytes());
            async move { Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap()) }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    async fn vault(&self) -> DomainVault {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let vault = vault_at(&format!("http://{}", listener.local_addr().unwrap()));
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        vault
    }
}

async fn answer(State(servers): State<Servers>, request: Request) -> (StatusCode, String) {
    let path = request.uri().path().trim_start_matches("/v1/").to_owned();
    let reads = ["GET", "LIST"].contains(&request.method().as_str());
    let is_record = path.starts_with("subrosa/data/channels/");
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    servers.content(|content| {
        if !reads {
            content.written.push(path.clone());
        }
        if is_record && !reads {
            content.record = serde_json::from_slice::<Value>(&body).unwrap()["data"].clone();
            return (StatusCode::OK, json!({"data": {"version": 2}}).to_string());
        }
        if is_record {
            let data = json!({"data": content.record, "metadata": {"version": 1}});
            return (StatusCode::OK, json!({"data": data}).to_string());
        }
        // No list: then the record is read. No key can be made.
        (StatusCode::FORBIDDEN, json!({"errors": ["permission denied"]}).to_string())
    })
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// What the operator has of the Channel: the one of before, of a generation that the new one has not come to.
fn view() -> Declaration {
    let channel = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": "voice", "namespace": "cc-front", "uid": BEFORE, "generation": 9},
        "spec": {"workload": {"selector": {"matchLabels": {"app": "voice"}}}},
    });
    Declaration::of(Arc::new(of::<Channel>(channel)))
}

fn ctx(servers: &Servers) -> Context {
    let ctx = context_before(servers.api());
    let domain: TrustDomain = of(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "TrustDomain", "metadata": {"name": "oosterlinde"},
        "spec": {
            "organisation": {"name": "Ziekenhuis Oosterlinde", "country": "NL"}, "jurisdictions": ["NL"],
            "timeZone": "Europe/Amsterdam", "retentionPolicies": [],
            "vault": {"address": "https://openbao.security.svc:8200", "auth": {"kubernetes": {}}},
            "network": {"clusterCIDRs": ["10.0.0.0/8"]},
        },
    }));
    ctx.cluster.write(|world| {
        let trust_domain = Some("oosterlinde".into());
        let facts = NamespaceFacts { uid: "uid".into(), trust_domain, ..NamespaceFacts::default() };
        world.namespaces.insert("cc-front".into(), facts);
        world.domains.insert("oosterlinde".into(), Arc::new(domain));
    });
    ctx.cluster.set_binding("cc-front", Binding::Given { version: None });
    ctx
}

/// What comes of the view of before where the record follows the Channel that was made anew, and the API server says this.
async fn comes_of(live: Result<&'static str, u16>) -> (Applied, Vec<String>, String) {
    let (channel, id) = (view(), ChannelId::mint("uid", "voice"));
    let mut record = ChannelRecord::new(channel.name().clone(), "uid", "oosterlinde");
    record.follows = Some(View { uid: ANEW.into(), generation: 1 });
    let record = serde_json::to_value(record).unwrap();
    let servers = Servers(Arc::new(Mutex::new(Content { live, record, written: Vec::new() })));
    let (ctx, vault) = (ctx(&servers), servers.vault().await);
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let outcome = carry_out(&ctx, &channel, &id, Ok(&vault), Ok(()), now).await;
    let applied = outcome.unwrap_or_else(|problem| panic!("{problem:?}")).applied;
    servers.content(|content| {
        let follows = content.record["follows"]["uid"].as_str().unwrap().to_owned();
        (applied, content.written.clone(), follows)
    })
}

#[tokio::test]
async fn a_view_of_a_channel_that_was_made_anew_since_does_nothing() {
    for (live, is_outdated) in [(Ok(ANEW), true), (Err(404), true), (Err(500), false)] {
        let (applied, written, follows) = comes_of(live).await;
        assert_eq!((applied.is_outdated(), applied.record.is_ok()), (is_outdated, false), "{live:?}");
        assert_eq!((written, follows.as_str()), (Vec::new(), ANEW), "{live:?}");
    }
}

#[tokio::test]
async fn a_channel_that_was_made_anew_goes_on_with_the_record_of_its_name() {
    let (applied, written, follows) = comes_of(Ok(BEFORE)).await;
    assert!(!applied.is_outdated());
    assert_eq!(follows, BEFORE, "{written:?}");
    assert!(written.iter().any(|path| path.ends_with("/networkpolicies")), "{written:?}");
}
