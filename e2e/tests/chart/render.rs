//! What the charts render, without a cluster.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};
use subrosa::grants::{Installation, manifests};
use subrosa_e2e::helm::Helm;

use crate::support::{EVERYTHING, NAMESPACE, name, objects, path, read, released, rendered};

/// The labels and annotations that only a release has.
const OF_THE_RELEASE: [&str; 5] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
    "helm.sh/resource-policy",
];

#[test]
fn helm_finds_nothing_to_complain_about() -> Result<()> {
    let (operator, crds) = (path("subrosa"), path("subrosa-crds"));
    let helm = Helm::offline()?;
    helm.run(&["lint", "--strict", &operator, &crds])?;
    for value in EVERYTHING {
        helm.run(&["lint", "--strict", &operator, "--set", value])?;
    }
    Ok(())
}

/// The chart's roles and policies are `deploy/`, under the release's labels.
#[test]
fn the_chart_grants_exactly_what_the_table_says() -> Result<()> {
    let by_name = |objects: Vec<Value>| -> BTreeMap<String, Value> {
        objects.into_iter().map(|object| (name(&object), without_release(object))).collect()
    };
    // What is off unless it is asked for has its roles too.
    const ALL: &str = "granter.enabled=true";
    let chart = by_name(objects(&rendered(&[ALL])?)?);
    let own = [
        "Deployment subrosa",
        "Deployment subrosa-destroyer",
        "Deployment subrosa-granter",
        "Service subrosa-destroyer",
        "Service subrosa-granter",
        "Service subrosa-metrics",
        "PodDisruptionBudget subrosa",
        "Pod subrosa-test-status",
    ];
    for (installation, values) in [
        (released(Installation::default())?, vec![ALL]),
        (
            released(Installation::default().with_token_secrets(&["openbao-token"])?)?,
            vec!["rbac.tokenSecrets={openbao-token}", ALL],
        ),
        (released(Installation::new(NAMESPACE, "gardener")?)?, vec!["serviceAccount.name=gardener", ALL]),
    ] {
        let mut found = by_name(objects(&rendered(&values)?)?);
        found.retain(|name, _| !own.contains(&name.as_str()));
        let mut wanted = by_name(manifests(&installation)?);
        assert!(
            wanted.remove(&format!("Namespace {NAMESPACE}")).is_some(),
            "a release is given its namespace"
        );
        assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{values:?}");
        for (name, wanted) in &wanted {
            assert_eq!(&found[name], wanted, "{name} with {values:?}");
        }
    }
    assert!(own.iter().all(|name| chart.contains_key(*name)), "{:?}", chart.keys());
    Ok(())
}

#[test]
fn another_namespace_is_followed_everywhere() -> Result<()> {
    let chart = path("subrosa");
    // A name of digits alone would be a number in YAML.
    let text = Helm::offline()?.run(&[
        "template",
        "rosa",
        &chart,
        "--namespace",
        "12345",
        "--set",
        "granter.enabled=true",
    ])?;
    assert!(!text.contains(NAMESPACE), "the default namespace is written down somewhere");
    let mut found: BTreeMap<String, Value> =
        objects(&text)?.into_iter().map(|object| (name(&object), without_release(object))).collect();
    for wanted in manifests(&released(Installation::new("12345", "subrosa")?)?)? {
        if wanted["kind"] != "Namespace" {
            assert_eq!(found.remove(&name(&wanted)), Some(wanted));
        }
    }
    Ok(())
}

#[test]
fn the_definitions_are_those_of_the_api() -> Result<()> {
    let chart = path("subrosa-crds");
    let helm = Helm::offline()?;
    let kept = objects(&helm.run(&["template", "subrosa-crds", &chart])?)?;
    assert_eq!(kept.len(), subrosa_crds::all().len());
    for object in &kept {
        assert_eq!(object["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{}", name(object));
    }
    let free = objects(&helm.run(&["template", "subrosa-crds", &chart, "--set", "keep=false"])?)?;
    for (_, wanted) in subrosa_crds::yaml::files()? {
        let wanted: Value = serde_saphyr::from_str(&wanted)?;
        let found = free.iter().find(|object| name(object) == name(&wanted)).unwrap();
        assert_eq!(found["spec"], wanted["spec"], "{}", name(&wanted));
        assert_eq!(found["metadata"].get("annotations"), None, "{}", name(&wanted));
    }
    Ok(())
}

/// The generated templates are compared with their source above; here is what is written by hand.
#[test]
fn what_is_written_by_hand_looks_as_it_should() -> Result<()> {
    let by_hand = |text: &str| {
        let parts = text.split("\n---\n").filter(|part| {
            !["/rbac.yaml\n", "/admission.yaml\n", "/prometheusrule.yaml\n", "/dashboard.yaml\n"]
                .iter()
                .any(|file| part.contains(file))
        });
        parts.map(str::trim_end).collect::<Vec<_>>().join("\n---\n")
    };
    insta::assert_snapshot!("default", by_hand(&rendered(&[])?));
    insta::assert_snapshot!("everything", by_hand(&rendered(&EVERYTHING)?));
    insta::assert_snapshot!(
        "one_replica",
        by_hand(&rendered(&[
            "replicaCount=1",
            "spread=None",
            "serviceAccount.create=false",
            "tests.enabled=false",
            "destroyer.enabled=false"
        ])?)
    );
    let values = subrosa_e2e::tools::workspace()?.join("e2e/tests/chart/values.large.yaml");
    let chart = path("subrosa");
    let large =
        ["template", "subrosa", &chart, "--namespace", NAMESPACE, "--values", values.to_str().unwrap()];
    insta::assert_snapshot!("large", by_hand(&Helm::offline()?.run(&large)?));
    Ok(())
}

#[test]
fn the_guards_of_decisions_can_be_left_out_and_no_other_policy() -> Result<()> {
    let policies = |values: &[&str]| -> Result<Vec<String>> {
        let mut names: Vec<_> = objects(&rendered(values)?)?
            .iter()
            .map(name)
            .filter_map(|name| name.strip_prefix("ValidatingAdmissionPolicyBinding ").map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    };
    let confined = [
        "subrosa-access-author",
        "subrosa-access-binding",
        "subrosa-access-grant",
        "subrosa-access-revocation",
        "subrosa-access-role",
        "subrosa-adoption",
        "subrosa-approval",
        "subrosa-backup-account",
        "subrosa-backup-form",
        "subrosa-backup-identity",
        "subrosa-config-map",
        "subrosa-destroyer",
        "subrosa-destruction",
        "subrosa-legal-hold",
        "subrosa-network-policy",
        "subrosa-role-binding",
        "subrosa-secret",
        "subrosa-trust-domain",
        "subrosa-workload",
    ];
    let without =
        policies(&["admission.membershipGuard.enabled=false", "admission.deletionGuard.enabled=false"])?;
    assert_eq!(without, confined);
    assert_eq!(policies(&[])?.len(), confined.len() + 2);
    Ok(())
}

/// What it could do is not granted then; who decides is asked all the same.
#[test]
fn without_a_destroyer_only_its_policy_is_left() -> Result<()> {
    let named = |values: &[&str]| -> Result<Vec<String>> {
        let mut names: Vec<_> = objects(&rendered(values)?)?.iter().map(name).collect();
        names.retain(|name| name.ends_with(" subrosa-destroyer"));
        names.sort();
        Ok(names)
    };
    let policy =
        ["ValidatingAdmissionPolicy subrosa-destroyer", "ValidatingAdmissionPolicyBinding subrosa-destroyer"];
    let off = "destroyer.enabled=false";
    assert_eq!(named(&[&EVERYTHING[..], &[off]].concat())?, policy);
    assert_eq!(named(&EVERYTHING)?.len(), 11);
    Ok(())
}

/// It reads its token for Vault where it looks for it, and is the ServiceAccount that Vault's role is bound to.
#[test]
fn the_destroyer_is_set_up_as_it_reads_its_settings() -> Result<()> {
    let objects = objects(&rendered(&["serviceAccount.name=gardener", "destroyer.vaultAudience=bao"])?)?;
    let deployment = objects.iter().find(|object| name(object) == "Deployment subrosa-destroyer").unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], subrosa::grants::DESTROYER_ACCOUNT);
    let container = &pod["containers"][0];
    let value = |key: &str| {
        let env = container["env"].as_array().unwrap();
        env.iter().find(|one| one["name"] == key).map(|one| one["value"].as_str().unwrap().to_owned())
    };
    assert_eq!(value("SUBROSA_OPERATOR_SERVICE_ACCOUNT").as_deref(), Some("gardener"));
    let mount = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let token = &pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    let file = format!("{mount}/{}", token["path"].as_str().unwrap());
    assert_eq!(value("SUBROSA_VAULT_TOKEN_FILE"), Some(file));
    assert_eq!(token["audience"], "bao");
    // Two at once would only lose to each other.
    assert_eq!(
        (&deployment["spec"]["replicas"], &deployment["spec"]["strategy"]["type"]),
        (&json!(1), &json!("Recreate"))
    );
    Ok(())
}

#[test]
fn a_digest_wins_over_a_tag() -> Result<()> {
    let digest = format!("sha256:{}", "0".repeat(64));
    let image = |values: &[&str]| -> Result<Value> {
        let objects = objects(&rendered(values)?)?;
        let deployment = objects.iter().find(|object| name(object) == "Deployment subrosa").unwrap();
        Ok(deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone())
    };
    let version = env!("CARGO_PKG_VERSION");
    let repository = "image.repository=registry.example:5000/team/subrosa";
    assert_eq!(image(&[])?, format!("subrosa:{version}"));
    assert_eq!(image(&[repository])?, format!("registry.example:5000/team/subrosa:{version}"));
    let pinned = image(&[repository, "image.tag=9.9.9", &format!("image.digest={digest}")])?;
    assert_eq!(pinned, format!("registry.example:5000/team/subrosa@{digest}"));
    Ok(())
}

#[test]
fn the_charts_are_of_this_version() {
    for chart in ["subrosa", "subrosa-crds"] {
        let about: Value = serde_saphyr::from_str(&read(&format!("charts/{chart}/Chart.yaml"))).unwrap();
        assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"), "{chart}");
        assert_eq!(about["name"], chart);
    }
}

/// Without what a release adds, and without what that leaves empty.
fn without_release(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["labels", "annotations"] {
        if let Some(entries) = metadata.get_mut(field).and_then(Value::as_object_mut) {
            entries.retain(|key, _| !OF_THE_RELEASE.contains(&key.as_str()));
            if entries.is_empty() {
                metadata.remove(field);
            }
        }
    }
    object
}
