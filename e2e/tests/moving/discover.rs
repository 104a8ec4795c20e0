//! What `subrosa discover` drafts of a running namespace can be applied as it was printed, and becomes true.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use k8s_openapi::api::{apps::v1::Deployment, networking::v1::NetworkPolicy};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use subrosa_crds::{
    Channel,
    channel::{ChannelType, ConnectionStatus},
};
use subrosa_e2e::{
    Environment, Installation, Operator,
    installation::{apply_object, governed_namespace, retention_policy},
    operator, wait,
};

const NS: &str = "shop";
const PATIENCE: Duration = Duration::from_secs(60);

/// A workload as somebody runs it who has never heard of Channels.
fn deployment(name: &str, image: &str, ports: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": NS},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, "tier": "shop"}},
                "spec": {"containers": [{"name": name, "image": image, "ports": ports}]},
            },
        },
    })
}

fn service(name: &str, port: u16, target: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NS},
        "spec": {"selector": {"app": name}, "ports": [{"name": "main", "port": port, "targetPort": target}]},
    })
}

/// Lets the pods of `from` in at `port`.
fn policy(name: &str, from: &str, port: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": NS},
        "spec": {
            "podSelector": {"matchLabels": {"app": name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": from}}}], "ports": [{"port": port}]}],
        },
    })
}

fn subrosa(kubeconfig: &Path, args: &[&str]) -> Output {
    Command::new(operator::binary().unwrap()).args(args).env("KUBECONFIG", kubeconfig).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Everything in the namespace, by version: what nobody wrote to stays as it is.
async fn versions(admin: &Client) -> Vec<(String, Option<String>)> {
    let params = ListParams::default();
    let deployments = Api::<Deployment>::namespaced(admin.clone(), NS).list(&params).await.unwrap();
    let policies = Api::<NetworkPolicy>::namespaced(admin.clone(), NS).list(&params).await.unwrap();
    let channels = Api::<Channel>::namespaced(admin.clone(), NS).list(&params).await.unwrap();
    let specs = deployments.items.into_iter().map(|one| (one.metadata.name, one.metadata.generation));
    let others = policies.items.into_iter().map(|one| one.metadata);
    let others = others.chain(channels.items.into_iter().map(|one| one.metadata));
    specs
        .map(|(name, generation)| (name.unwrap_or_default(), generation.map(|number| number.to_string())))
        .chain(others.map(|metadata| (metadata.name.unwrap_or_default(), metadata.resource_version)))
        .collect()
}

fn connections(channel: &Channel) -> Vec<String> {
    let text = |one: &ConnectionStatus| {
        format!("{} {} {} [{}]", one.direction, one.name, one.state, one.listeners.join(" "))
    };
    channel.status.iter().flat_map(|status| &status.connections).map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_discover_prints_can_be_applied_and_its_connections_open() {
    let env = Environment::start().await.unwrap();
    let installed = Installation::install(&env, "oosterlinde").await.unwrap();
    let admin = env.admin().unwrap();
    let operator = Operator::start(&installed).await.unwrap();
    apply_object(&admin, &installed.trust_domain(&env)).await.unwrap();
    apply_object(&admin, &retention_policy()).await.unwrap();
    governed_namespace(&env, NS, "oosterlinde").await.unwrap();
    for object in [
        deployment("web", "registry.example.org/nginx:1.22", json!([{"containerPort": 443}])),
        deployment("app", "registry.example.org/app:3", json!([{"name": "api", "containerPort": 8443}])),
        deployment("db", "docker.io/library/postgres:17", json!([{"name": "sql", "containerPort": 5432}])),
        service("web", 443, json!(443)),
        service("app", 443, json!("api")),
        service("db", 5432, json!("sql")),
        policy("app", "web", json!("api")),
        policy("db", "app", json!(5432)),
    ] {
        apply_object(&admin, &object).await.unwrap();
    }

    // What the operator itself writes into a namespace that was just governed.
    let policies: Api<NetworkPolicy> = Api::namespaced(admin.clone(), NS);
    wait::until(PATIENCE, || async {
        match policies.get_opt("subrosa-default-deny").await {
            Ok(Some(_)) => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await
    .unwrap();

    let kubeconfig = env.admin_kubeconfig().unwrap();
    let before = versions(&admin).await;
    let output = subrosa(&kubeconfig, &["discover", "-n", NS, "-o", "yaml"]);
    let draft = printed(&output);
    assert_eq!(versions(&admin).await, before, "it only reads");
    assert!(
        draft.contains("DECIDE: ") && draft.contains("take the place of NetworkPolicy app, db"),
        "{draft}"
    );

    // What was printed, and nothing else, is applied.
    let channels: Vec<Value> = serde_saphyr::from_multiple(&draft).unwrap();
    assert_eq!(channels.len(), 3, "{draft}");
    for channel in &channels {
        apply_object(&admin, channel).await.unwrap();
    }
    // The policies of before are wider than what both ends declare, and go as the draft says.
    for name in ["app", "db"] {
        policies.delete(name, &DeleteParams::default()).await.unwrap();
    }
    for name in ["web", "app", "db"] {
        let status = wait::channel(&admin, NS, name, PATIENCE, wait::whole).await;
        status.unwrap_or_else(|error| panic!("{error:#}\n{draft}\n{}", operator.log().unwrap()));
    }
    let api: Api<Channel> = Api::namespaced(admin.clone(), NS);
    let (web, app, db) =
        (api.get("web").await.unwrap(), api.get("app").await.unwrap(), api.get("db").await.unwrap());
    assert_eq!(connections(&web), ["Egress app Open [api]"]);
    assert_eq!(connections(&app), ["Ingress web Open [api]", "Egress db Open [postgres]"]);
    assert_eq!(connections(&db), ["Ingress app Open [postgres]"]);
    assert!(
        db.spec.listeners.is_empty() && db.spec.tls.is_none(),
        "what the preset gives is written nowhere"
    );
    assert_eq!(db.spec.type_, None);
    assert_eq!(db.status.unwrap().type_, Some(ChannelType::Database), "and is told all the same");
    let own = policies.get("subrosa-channel-db").await.unwrap();
    let rule = &own.spec.unwrap().ingress.unwrap()[0];
    assert_eq!(rule.ports.as_ref().unwrap()[0].port, Some(json_port(5432)));

    // Another look finds nothing left to draft.
    let again = printed(&subrosa(&kubeconfig, &["discover", "-n", NS]));
    assert!(
        !again.contains("kind: Channel") && again.contains("Deployment shop/db has Channel shop/db already"),
        "{again}"
    );
    let missing = subrosa(&kubeconfig, &["discover", "-n", "nowhere"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no namespace nowhere"));
}

fn json_port(port: i32) -> k8s_openapi::apimachinery::pkg::util::intstr::IntOrString {
    k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(port)
}
