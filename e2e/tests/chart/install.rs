//! Installing, upgrading and uninstalling on a real API server. There is no node, so nothing waits
//! for pods.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::json;
use subrosa::grants::{
    Installation,
    admission::{self, AdmissionObjects},
    manifests,
};
use subrosa_e2e::{Environment, helm::Helm, installation::apply_object, wait};

use crate::{
    conform::Schemas,
    support::{EVERYTHING, NAMESPACE, beside, path, released},
};

const LIMIT: Duration = Duration::from_secs(60);
const ADMISSION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_lives_through_everything_that_is_done_to_one() -> Result<()> {
    let env = Environment::builder().local().start().await?;
    let client = env.admin()?;
    let cluster = Cluster { helm: Helm::with_cluster(&env.admin_kubeconfig()?)?, client };

    cluster.misses_its_api()?;
    cluster.is_installed_as_it_was_first().await?;
    cluster.needs_the_api_of_its_version()?;
    cluster.is_upgraded_in_place().await?;
    cluster.is_the_only_one()?;
    cluster.takes_everything_that_is_optional().await?;
    cluster.restores_a_policy_that_was_loosened().await?;
    cluster.keeps_a_guard_that_is_turned_off().await?;
    cluster.is_uninstalled_and_leaves_what_protects().await?;
    cluster.comes_back().await
}

/// What was applied from `deploy/` is Helm's when it is told so, and nothing of it is made anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_installation_without_helm_is_taken_over() -> Result<()> {
    let env = Environment::builder().local().start().await?;
    let client = env.admin()?;
    for definition in subrosa_crds::all() {
        apply_object(&client, &serde_json::to_value(definition)?).await?;
    }
    for manifest in manifests(&Installation::default())? {
        apply_object(&client, &manifest).await?;
    }
    let cluster = Cluster { helm: Helm::with_cluster(&env.admin_kubeconfig()?)?, client };
    cluster.served().await?;
    let before = cluster.everything().await?;
    let crds = path("subrosa-crds");
    for arguments in
        [vec!["install", "subrosa-crds", &crds, "--namespace", NAMESPACE], cluster.operator("install", &[])]
    {
        let said = cluster.helm.refused(&arguments)?;
        ensure!(said.contains("invalid ownership metadata"), "{said}");
        cluster.helm.run(&[&arguments[..], &["--take-ownership", "--force-conflicts"]].concat())?;
    }
    let after = cluster.everything().await?;
    ensure!(before.iter().all(|(name, uid)| after.get(name) == Some(uid)), "{before:?} {after:?}");
    cluster.guarded().await
}

struct Cluster {
    helm: Helm,
    client: Client,
}

impl Cluster {
    fn misses_its_api(&self) -> Result<()> {
        let said = self.helm.refused(&self.operator("install", &[]))?;
        ensure!(said.contains("The API of Subrosa is not installed"), "{said}");
        ensure!(
            said.contains("helm upgrade --install subrosa-crds") && said.contains("crds.check"),
            "{said}"
        );
        // Where somebody else brings the definitions, it may be said so.
        let mut unchecked = self.operator("install", &["crds.check=false"]);
        unchecked.push("--dry-run=server");
        self.helm.run(&unchecked).map(drop)
    }

    /// The first chart there was. Whatever comes later is an upgrade from it.
    async fn is_installed_as_it_was_first(&self) -> Result<()> {
        let (crds, operator) = (first("subrosa-crds"), first("subrosa"));
        self.helm.run(&["install", "subrosa-crds", &crds, "--namespace", NAMESPACE, "--create-namespace"])?;
        self.served().await?;
        self.helm.run(&["install", "subrosa", &operator, "--namespace", NAMESPACE])?;
        Ok(())
    }

    fn needs_the_api_of_its_version(&self) -> Result<()> {
        let said = self.helm.refused(&self.operator("upgrade", &[]))?;
        ensure!(said.contains("The API of Subrosa is older than this chart"), "{said}");
        ensure!(
            said.contains("0.1.0-alpha.1") && said.contains("helm upgrade --install subrosa-crds"),
            "{said}"
        );
        Ok(())
    }

    /// Nothing is made anew: what is deleted, if only for a moment, takes what hangs on it along.
    async fn is_upgraded_in_place(&self) -> Result<()> {
        let before = self.everything().await?;
        self.helm.run(&["upgrade", "subrosa-crds", &path("subrosa-crds"), "--namespace", NAMESPACE])?;
        self.helm.run(&self.operator("upgrade", &[]))?;
        let after = self.everything().await?;
        for (name, uid) in &before {
            ensure!(after.get(name) == Some(uid), "{name} was made anew or is gone");
        }
        self.guarded().await?;
        let deployment = self.get("apps", "v1", "Deployment", "subrosa").await?.context("the Deployment")?;
        ensure!(deployment.data["spec"]["replicas"] == 2, "{deployment:?}");
        let labels = deployment.metadata.labels.context("labels")?;
        ensure!(labels["app.kubernetes.io/version"] == env!("CARGO_PKG_VERSION"), "{labels:?}");
        Ok(())
    }

    fn is_the_only_one(&self) -> Result<()> {
        let chart = path("subrosa");
        for (name, namespace) in [("other", "elsewhere"), ("other", NAMESPACE), ("subrosa", "elsewhere")] {
            let said = self.helm.refused(&[
                "install",
                name,
                &chart,
                "--namespace",
                namespace,
                "--create-namespace",
            ])?;
            ensure!(said.contains("already installed in this cluster") && said.contains(NAMESPACE), "{said}");
        }
        Ok(())
    }

    async fn takes_everything_that_is_optional(&self) -> Result<()> {
        let monitoring = monitoring_definitions()?;
        for kind in ["servicemonitors", "prometheusrules"] {
            let file = monitoring.join(format!("monitoring.coreos.com_{kind}.yaml"));
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let definition = serde_saphyr::from_str(&text)?;
            apply_object(&self.client, &definition).await?;
        }
        let schemas = self.schemas().await?;
        self.helm.run(&self.operator("upgrade", &EVERYTHING))?;
        for kind in ["ServiceMonitor", "PrometheusRule"] {
            self.get("monitoring.coreos.com", "v1", kind, "subrosa").await?.context(kind)?;
        }
        let large = beside("values.large.yaml");
        let chart = path("subrosa");
        let all =
            ["template", "subrosa", &chart, "--namespace", NAMESPACE, "--values", large.to_str().unwrap()];
        let crds = path("subrosa-crds");
        schemas.judge(&self.helm.run(&["template", "subrosa-crds", &crds])?)?;
        schemas.judge(&self.helm.run(&all)?)?;
        let defaults: &[&str] = &[];
        for values in [defaults, &EVERYTHING, &["replicaCount=1", "spread=None"]] {
            let text = self.helm.run(&self.operator("template", values))?;
            schemas.judge(&text)?;
            // That a wrong field would have been seen.
            let wrong = text.replace("replicas:", "replicaz:");
            ensure!(schemas.judge(&wrong).is_err(), "a field that nobody knows was taken");
        }
        Ok(())
    }

    /// What somebody added stays when the chart is applied over it, so it is deleted first, as
    /// docs/install.md says.
    async fn restores_a_policy_that_was_loosened(&self) -> Result<()> {
        let policies: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &resource(ADMISSION, "v1", "ValidatingAdmissionPolicy"));
        let nobody = json!({"spec": {"matchConditions": [{"name": "nobody", "expression": "false"}]}});
        policies.patch("subrosa-secret", &PatchParams::default(), &Patch::Merge(&nobody)).await?;
        ensure!(self.guarded().await.is_err(), "the policy was not loosened");
        policies.delete("subrosa-secret", &DeleteParams::default()).await?;
        let mut again = self.operator("upgrade", &[]);
        again.push("--force-conflicts");
        self.helm.run(&again)?;
        self.guarded().await
    }

    async fn keeps_a_guard_that_is_turned_off(&self) -> Result<()> {
        let said = self.helm.run(&self.operator("upgrade", &["admission.deletionGuard.enabled=false"]))?;
        self.guarded().await?;
        let lift =
            "kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy subrosa-deletion";
        ensure!(said.contains("the policy is still in force") && said.contains(lift), "{said}");
        let mut back = self.operator("upgrade", &[]);
        back.push("--reset-values");
        self.helm.run(&back)?;
        self.guarded().await
    }

    async fn is_uninstalled_and_leaves_what_protects(&self) -> Result<()> {
        let before = self.everything().await?;
        self.helm.run(&["uninstall", "subrosa", "--namespace", NAMESPACE])?;
        self.helm.run(&["uninstall", "subrosa-crds", "--namespace", NAMESPACE])?;
        let left = self.everything().await?;
        let names: Vec<_> = left.keys().map(String::as_str).collect();
        insta::assert_yaml_snapshot!("left_after_uninstall", names);
        for (name, uid) in &left {
            ensure!(before.get(name) == Some(uid), "{name} was made anew");
        }
        Ok(())
    }

    /// Under the same name, the release takes up what it left.
    async fn comes_back(&self) -> Result<()> {
        let before = self.everything().await?;
        self.helm.run(&["install", "subrosa-crds", &path("subrosa-crds"), "--namespace", NAMESPACE])?;
        self.helm.run(&self.operator("install", &[]))?;
        let after = self.everything().await?;
        ensure!(before.iter().all(|(name, uid)| after.get(name) == Some(uid)), "{before:?} {after:?}");
        self.guarded().await
    }

    /// Arguments of a command about the release.
    fn operator<'a>(&self, command: &'a str, values: &[&'a str]) -> Vec<&'a str> {
        let chart: &'static str = path("subrosa").leak();
        let mut arguments = vec![command, "subrosa", chart, "--namespace", NAMESPACE];
        arguments.extend(values.iter().flat_map(|value| ["--set", *value]));
        arguments
    }

    /// The admission policies are those that the operator looks for.
    async fn guarded(&self) -> Result<()> {
        let wanted = admission::policies(&released(Installation::default())?);
        let all = async |kind| {
            let api: Api<DynamicObject> =
                Api::all_with(self.client.clone(), &resource(ADMISSION, "v1", kind));
            anyhow::Ok(api.list(&ListParams::default()).await?.items)
        };
        let found = AdmissionObjects {
            policies: all("ValidatingAdmissionPolicy").await?,
            bindings: all("ValidatingAdmissionPolicyBinding").await?,
        };
        let gaps = admission::gaps(&wanted, &found);
        ensure!(gaps.is_empty(), "{gaps:?}");
        Ok(())
    }

    /// The kinds that releases have, by kind and name, with their UIDs.
    async fn everything(&self) -> Result<BTreeMap<String, String>> {
        let kinds = [
            ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            (RBAC, "v1", "ClusterRole"),
            (RBAC, "v1", "ClusterRoleBinding"),
            (RBAC, "v1", "Role"),
            (RBAC, "v1", "RoleBinding"),
            (ADMISSION, "v1", "ValidatingAdmissionPolicy"),
            (ADMISSION, "v1", "ValidatingAdmissionPolicyBinding"),
            ("apps", "v1", "Deployment"),
            ("", "v1", "Service"),
            ("", "v1", "ServiceAccount"),
            ("", "v1", "ConfigMap"),
            ("policy", "v1", "PodDisruptionBudget"),
            ("networking.k8s.io", "v1", "NetworkPolicy"),
        ];
        let mut all = BTreeMap::new();
        for (group, version, kind) in kinds {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource(group, version, kind));
            for object in api.list(&ListParams::default()).await?.items {
                let name = object.metadata.name.unwrap_or_default();
                let part_of = object.metadata.labels.unwrap_or_default().remove("app.kubernetes.io/part-of");
                if part_of.as_deref() == Some("subrosa") {
                    all.insert(format!("{kind} {name}"), object.metadata.uid.unwrap_or_default());
                }
            }
        }
        Ok(all)
    }

    async fn get(&self, group: &str, version: &str, kind: &str, name: &str) -> Result<Option<DynamicObject>> {
        let resource = resource(group, version, kind);
        Ok(Api::namespaced_with(self.client.clone(), NAMESPACE, &resource).get_opt(name).await?)
    }

    async fn served(&self) -> Result<()> {
        let resource = resource(subrosa_crds::GROUP, subrosa_crds::VERSION, "Channel");
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        wait::until(LIMIT, || async { api.list(&ListParams::default()).await.map(drop) }).await
    }

    /// A definition that was just installed is described a moment later.
    async fn schemas(&self) -> Result<Schemas> {
        wait::until(LIMIT, || async {
            let schemas = Schemas::of(&self.client).await?;
            for kind in ["ServiceMonitor", "PrometheusRule"] {
                ensure!(schemas.knows("monitoring.coreos.com", "v1", kind), "{kind} is not described yet");
            }
            Ok(schemas)
        })
        .await
    }
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    let plural = match kind {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_owned(),
        _ => format!("{}s", kind.to_lowercase()),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
}

/// A chart as it was packaged first.
fn first(chart: &str) -> String {
    beside(&format!("fixtures/{chart}-0.1.0-alpha.1.tgz")).to_str().unwrap().to_owned()
}

/// The Prometheus operator's definitions, of its own module.
fn monitoring_definitions() -> Result<std::path::PathBuf> {
    let module = subrosa_e2e::tools::workspace()?.join("e2e/tools/prometheus-operator");
    let sources =
        subrosa_e2e::helm::module_sources(&module, "github.com/prometheus-operator/prometheus-operator")?;
    Ok(Path::new(&sources).join("example/prometheus-operator-crd"))
}
