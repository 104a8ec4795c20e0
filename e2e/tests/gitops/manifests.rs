//! The examples for Argo CD and Flux say the same as each other, as their sources and as the page.

use std::{collections::BTreeSet, fs, path::PathBuf};

use kube::CustomResourceExt as _;
use serde_json::Value;
use subrosa_crds::{Channel, ExternalParty, RetentionPolicy, TrustDomain};
use subrosa_e2e::tools::workspace;

use crate::fleet::read;

fn examples() -> PathBuf {
    workspace().unwrap().join("examples/gitops")
}

fn kinds() -> BTreeSet<String> {
    [Channel::crd(), ExternalParty::crd(), RetentionPolicy::crd(), TrustDomain::crd()]
        .map(|crd| crd.spec.names.kind)
        .into()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn named<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    documents.iter().filter(|one| one["kind"] == kind).collect()
}

#[test]
fn the_config_map_holds_the_scripts() {
    let file = fs::read_to_string(examples().join("argocd/argocd-cm.yaml")).unwrap();
    let config: Value = serde_saphyr::from_str(&file).unwrap();
    let mut scripts = BTreeSet::new();
    for group in fs::read_dir(examples().join("argocd/health")).unwrap() {
        let group = group.unwrap();
        for kind in fs::read_dir(group.path()).unwrap() {
            let kind = kind.unwrap();
            let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
            let key = format!("resource.customizations.health.{}_{}", name(&group), name(&kind));
            let script = fs::read_to_string(kind.path().join("health.lua")).unwrap();
            assert_eq!(text(&config["data"][&key]), script, "{key} of argocd-cm.yaml");
            scripts.insert(key);
        }
    }
    let held: BTreeSet<String> = config["data"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(held, scripts);
    for kind in kinds() {
        assert!(held.contains(&format!("resource.customizations.health.subrosa.dev_{kind}")), "{kind}");
    }
}

#[test]
fn flux_judges_every_kind_and_each_step_waits_for_the_one_before() {
    let flux = read(&examples().join("flux")).unwrap();
    let mut judged = BTreeSet::new();
    let mut before: Option<&str> = None;
    for step in named(&flux, "Kustomization") {
        let name = text(&step["metadata"]["name"]);
        let needs: Vec<_> = step["spec"]["dependsOn"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| text(&one["name"]))
            .collect();
        assert_eq!(needs, before.into_iter().collect::<Vec<_>>(), "{name}");
        assert_eq!(step["spec"]["wait"], true, "{name}");
        for check in step["spec"]["healthCheckExprs"].as_array().into_iter().flatten() {
            judged.insert(text(&check["kind"]).to_owned());
        }
        let source = text(&step["spec"]["sourceRef"]["name"]);
        let sources = named(&flux, "GitRepository");
        assert!(sources.iter().any(|one| one["metadata"]["name"] == source), "{name}: no source {source}");
        before = Some(name);
    }
    assert_eq!(judged, kinds());
}

/// Steps by name, with what they prune.
fn steps(documents: &[Value], kind: &str, prune: &str) -> Vec<(String, bool)> {
    let step = |one: &&Value| {
        (text(&one["metadata"]["name"]).to_owned(), one["spec"].pointer(prune) == Some(&Value::Bool(true)))
    };
    named(documents, kind).iter().map(step).collect()
}

#[test]
fn waves_are_the_order_of_the_page_and_what_takes_others_along_is_not_pruned() {
    let argo = read(&examples().join("argocd")).unwrap();
    let wave = |one: &Value| -> Option<i32> {
        text(&one["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]).parse().ok()
    };
    let mut waves: Vec<_> = named(&argo, "Application")
        .into_iter()
        .filter_map(|one| Some((wave(one)?, text(&one["metadata"]["name"]))))
        .collect();
    assert!(waves.is_sorted() && waves.len() == 5, "{waves:?}");
    waves.dedup_by_key(|(wave, _)| *wave);
    assert_eq!(waves.len(), 5, "two steps in one wave");

    let page = fs::read_to_string(workspace().unwrap().join("docs/gitops.md")).unwrap();
    let table = page.split("\n## The steps\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let places: Vec<_> =
        waves.iter().map(|(wave, name)| table.find(&format!("| `{name}`, {wave} |")).unwrap()).collect();
    assert!(places.is_sorted(), "the page has another order");
    for one in argo.iter().chain(&read(&examples().join("flux")).unwrap()) {
        let path = text(&one["spec"]["path"]).trim_start_matches("./");
        let path = if path.is_empty() { text(&one["spec"]["source"]["path"]) } else { path };
        assert!(page.contains(path), "{path} of {} is not on the page", one["metadata"]["name"]);
    }

    let mut all = steps(&argo, "Application", "/syncPolicy/automated/prune");
    all.extend(steps(&read(&examples().join("flux")).unwrap(), "Kustomization", "/prune"));
    for (name, prunes) in all {
        let takes_along = ["subrosa-crds", "subrosa-namespaces", "subrosa-platform"].contains(&name.as_str());
        assert_eq!(prunes, !takes_along, "{name}");
    }
}

/// The charts that the examples install have the values that they set.
#[test]
fn the_charts_are_installed_by_both() {
    let flux = read(&examples().join("flux/operator")).unwrap();
    let charts: BTreeSet<_> =
        named(&flux, "HelmRelease").iter().map(|one| text(&one["spec"]["chart"]["spec"]["chart"])).collect();
    let argo = read(&examples().join("argocd")).unwrap();
    let installed: BTreeSet<_> = named(&argo, "Application")
        .iter()
        .map(|one| text(&one["spec"]["source"]["path"]))
        .filter(|path| path.starts_with("charts/"))
        .collect();
    assert_eq!(charts, installed);
    for chart in charts {
        assert!(workspace().unwrap().join(chart).join("Chart.yaml").exists(), "{chart}");
    }
    let values = fs::read_to_string(workspace().unwrap().join("charts/subrosa/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&values).unwrap();
    let operator =
        named(&argo, "Application").into_iter().find(|one| one["metadata"]["name"] == "subrosa").unwrap();
    for value in operator["spec"]["source"]["helm"]["valuesObject"].as_object().unwrap().keys() {
        assert!(schema["properties"][value].is_object(), "the chart has no value {value}");
    }
}
