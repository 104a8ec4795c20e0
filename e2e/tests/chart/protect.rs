//! No upgrade and no uninstallation touches what protects: a real operator works under the rights of
//! the chart, and what it made is looked at before and after.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subrosa::grants::Installation as Names;
use subrosa_crds::{Channel, TrustDomain, condition};
use subrosa_e2e::{
    Environment, Installation, Operator,
    helm::Helm,
    installation::{apply_object, governed_namespace, retention_policy},
    wait,
};

use crate::support::{NAMESPACE, objects, path, released, rendered};

const LIMIT: Duration = Duration::from_secs(60);
const DOMAIN: &str = "oosterlinde";
const GOVERNED: &str = "cc-front";

#[tokio::test(flavor = "multi_thread")]
async fn what_protects_outlives_an_upgrade_and_the_release() -> Result<()> {
    let env = Environment::builder().local().start().await?;
    let helm = Helm::with_cluster(&env.admin_kubeconfig()?)?;
    let admin = env.admin()?;
    let (crds, chart) = (path("subrosa-crds"), path("subrosa"));
    let in_namespace = ["--namespace", NAMESPACE];
    let run = |arguments: &[&str]| helm.run(&[arguments, &in_namespace].concat());

    run(&["install", "subrosa-crds", &crds, "--create-namespace"])?;
    run(&["install", "subrosa", &chart])?;
    let installed = Installation::connect(&env, released(Names::default())?, DOMAIN).await?;
    let mut operator = Operator::start(&installed).await?;
    apply_object(&admin, &installed.trust_domain(&env)).await?;
    apply_object(&admin, &retention_policy()).await?;
    governed_namespace(&env, GOVERNED, DOMAIN).await?;
    for manifest in channels() {
        apply_object(&admin, &manifest).await?;
    }
    let ready = wait::channel(&admin, GOVERNED, "voice", LIMIT, wait::whole).await;
    let serial = ready.with_context(|| operator.log().unwrap())?.certificate.context("a certificate")?.serial;
    // What voice says of itself says nothing of the files of its peer.
    let peer = wait::channel(&admin, GOVERNED, "db", LIMIT, wait::whole).await;
    peer.with_context(|| operator.log().unwrap())?;
    guarded(&admin).await?;
    what_helm_test_runs_succeeds(&installed)?;
    let before = protection(&env).await?;
    ensure!(before.keys().any(|name| name.ends_with("subrosa-default-deny")), "{before:?}");
    ensure!(before.keys().any(|name| name.contains(".call-recording.")), "{before:?}");

    run(&["upgrade", "subrosa-crds", &crds])?;
    run(&["upgrade", "subrosa", &chart, "--set", "replicaCount=3"])?;
    ensure!(protection(&env).await? == before, "an upgrade changed what protects");

    // The pods go with the release; the process stands for them.
    operator.stop();
    run(&["uninstall", "subrosa"])?;
    run(&["uninstall", "subrosa-crds"])?;
    ensure!(protection(&env).await? == before, "an uninstallation changed what protects");
    the_guards_still_ask(&env).await?;

    run(&["install", "subrosa-crds", &crds])?;
    run(&["install", "subrosa", &chart])?;
    let installed = Installation::connect(&env, released(Names::default())?, DOMAIN).await?;
    let operator = Operator::start(&installed).await?;
    // The status of before stands there: what counts is what this operator makes of it.
    for name in ["voice", "db"] {
        let channel = format!("\"{GOVERNED}/{name}\"");
        wait::until(LIMIT, || async {
            let log = operator.log()?;
            let looked = log.lines().any(|line| line.contains("\"reconciled\"") && line.contains(&channel));
            ensure!(looked, "{channel} was not looked at yet");
            anyhow::Ok(())
        })
        .await?;
    }
    guarded(&admin).await?;
    let again = wait::channel(&admin, GOVERNED, "voice", LIMIT, wait::whole).await;
    let again = again.with_context(|| operator.log().unwrap())?.certificate.context("a certificate")?.serial;
    ensure!(again == serial, "the certificate was issued again");
    ensure!(protection(&env).await? == before, "a new installation changed what protects");
    Ok(())
}

fn channels() -> [Value; 3] {
    let channel = |name: &str, spec: Value| {
        json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": name, "namespace": GOVERNED}, "spec": spec,
        })
    };
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sbc", "namespace": GOVERNED}}),
        channel(
            "voice",
            json!({
                "workload": {"selector": {"matchLabels": {"app": "sbc"}}, "serviceAccountName": "sbc"},
                "connectsTo": [{"name": "db"}], "dataClasses": ["call-recording"],
            }),
        ),
        channel(
            "db",
            json!({
                "workload": {"selector": {"matchLabels": {"app": "db"}}},
                "listeners": [{"name": "sql", "port": 5432}], "accepts": [{"name": "voice"}],
            }),
        ),
    ]
}

/// Everything that protects, and what each is: objects with UID and version, and keys by name.
async fn protection(env: &Environment) -> Result<BTreeMap<String, String>> {
    let client = env.admin()?;
    let mut all = BTreeMap::new();
    collect::<Secret>(&client, &mut all).await?;
    collect::<NetworkPolicy>(&client, &mut all).await?;
    collect::<RoleBinding>(&client, &mut all).await?;
    for channel in Api::<Channel>::namespaced(client, GOVERNED).list(&ListParams::default()).await? {
        all.insert(format!("Channel {}", channel.name_any()), channel.uid().unwrap_or_default());
    }
    for engine in ["transit/keys", "transit-ca/keys", "subrosa/metadata/channels"] {
        let keys = env.openbao().request("LIST", engine, None).await?;
        for key in keys["data"]["keys"].as_array().context("keys")? {
            all.insert(format!("{engine} {}", key.as_str().unwrap_or_default()), String::new());
        }
    }
    Ok(all)
}

async fn collect<K>(client: &Client, all: &mut BTreeMap<String, String>) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    for object in Api::<K>::namespaced(client.clone(), GOVERNED).list(&ListParams::default()).await? {
        let version = object.resource_version().unwrap_or_default();
        all.insert(
            format!("{} {}", K::kind(&()), object.name_any()),
            format!("{} {version}", object.uid().unwrap_or_default()),
        );
    }
    Ok(())
}

/// The operator finds the chart's policies to be the ones that it was built with.
async fn guarded(client: &Client) -> Result<()> {
    let domains: Api<TrustDomain> = Api::all(client.clone());
    wait::until(LIMIT, || async {
        let status = domains.get(DOMAIN).await?.status.unwrap_or_default();
        ensure!(condition::is_true(&status.conditions, condition::GUARDED), "{:?}", status.conditions);
        Ok(())
    })
    .await
}

/// The command of the release's test pod, with the rights of its ServiceAccount.
fn what_helm_test_runs_succeeds(installed: &Installation) -> Result<()> {
    let pods = objects(&rendered(&[])?)?;
    let pod = pods.iter().find(|object| object["kind"] == "Pod").context("the test's pod")?;
    let arguments = pod["spec"]["containers"][0]["args"].as_array().context("arguments")?;
    let mut command = std::process::Command::new(subrosa_e2e::operator::binary()?);
    command.args(arguments.iter().filter_map(Value::as_str)).env("KUBECONFIG", &installed.kubeconfig);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("voice"), "{output:?}");
    ensure!(!said.contains("Not shown"), "{said}");
    Ok(())
}

/// Without an operator, membership and deletion are still asked for.
async fn the_guards_still_ask(env: &Environment) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(env.admin()?);
    let said = namespaces.delete(GOVERNED, &DeleteParams::default()).await.unwrap_err().to_string();
    ensure!(said.contains("subrosa.dev/confirm-delete"), "{said}");
    let label = json!({"metadata": {"labels": {(subrosa_crds::TRUST_DOMAIN_LABEL): null}}});
    apply_object(
        &env.admin()?,
        &json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "namespaces"},
            "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "patch"]}],
        }),
    )
    .await?;
    apply_object(
        &env.admin()?,
        &json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "engineer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "namespaces"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "engineer"}],
        }),
    )
    .await?;
    let engineer: Api<Namespace> = Api::all(env.client_as("engineer", &["system:authenticated"])?);
    let refused = wait::until(LIMIT, || async {
        let patched = engineer.patch(GOVERNED, &PatchParams::default(), &Patch::Merge(&label)).await;
        match patched.map_err(|error| error.to_string()) {
            // Roles reach the authorizer a moment later.
            Err(said) if said.contains("govern") => Ok(Ok(())),
            Err(said) => Err(said),
            Ok(_) => Ok(Err("the label was taken away")),
        }
    });
    refused.await?.map_err(anyhow::Error::msg)
}
