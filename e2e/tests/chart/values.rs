//! What may be written into the values, and what is said of the rest.

use anyhow::Result;
use serde_json::Value;
use subrosa_e2e::helm::Helm;

use crate::support::{name, objects, path, read, rendered};

fn schema(chart: &str) -> Value {
    serde_json::from_str(&read(&format!("charts/{chart}/values.schema.json"))).unwrap()
}

fn defaults(chart: &str) -> Value {
    serde_saphyr::from_str(&read(&format!("charts/{chart}/values.yaml"))).unwrap()
}

#[test]
fn every_value_is_described_and_nothing_else_is_taken() {
    for chart in ["subrosa", "subrosa-crds"] {
        let schema = schema(chart);
        closed(&schema, chart);
        for (name, definition) in schema["definitions"].as_object().into_iter().flatten() {
            closed(definition, &format!("{chart}: definition {name}"));
        }
    }
}

/// An object that names its fields takes no other, and each of them says what it is.
fn closed(schema: &Value, at: &str) {
    if let Some(properties) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], false, "{at} takes anything");
        for (name, property) in properties {
            let at = format!("{at}.{name}");
            let described = property.get("$ref").is_some() || property["description"].is_string();
            assert!(described, "{at} says not what it is");
            closed(property, &at);
        }
    } else if schema["type"] == "object" {
        // Maps of texts, and what only the API server can judge.
        let text = schema["description"].as_str().unwrap_or_default();
        let open = text.ends_with("As in Kubernetes.") || at.ends_with(".global");
        assert!(schema["additionalProperties"].is_object() || open, "{at} takes anything");
    }
    if schema["items"].is_object() {
        closed(&schema["items"], &format!("{at}[]"));
    }
}

#[test]
fn what_can_be_chosen_has_a_default_to_read() {
    for chart in ["subrosa", "subrosa-crds"] {
        alike(&schema(chart), &defaults(chart), chart);
    }
}

fn alike(schema: &Value, value: &Value, at: &str) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let given = value.as_object().unwrap_or_else(|| panic!("{at} has no defaults"));
    // What is empty unless chosen has no inner defaults.
    if given.is_empty() {
        return;
    }
    for (name, property) in properties.iter().filter(|(name, _)| *name != "global") {
        let value = given.get(name).unwrap_or_else(|| panic!("{at}.{name} is not in values.yaml"));
        alike(property, value, &format!("{at}.{name}"));
    }
}

#[test]
fn wrong_values_are_refused_with_their_place() -> Result<()> {
    let chart = path("subrosa");
    let helm = Helm::offline()?;
    for (value, place) in [
        ("replicas=3", "additional properties 'replicas' not allowed"),
        ("replicaCount=many", "'/replicaCount'"),
        ("image.repo=registry.example/subrosa", "'/image'"),
        ("image.repository=registry.example/subrosa:1", "'/image/repository'"),
        ("image.tag=a/b", "'/image/tag'"),
        ("image.digest=sha256:1", "'/image/digest'"),
        ("log.level=loud", "'/log/level'"),
        ("spread=Sometimes", "'/spread'"),
        ("serviceAccount.name=A_b", "'/serviceAccount/name'"),
        ("serviceAccount.name=a' || true || '", "'/serviceAccount/name'"),
        ("serviceAccount.name=subrosa-destroyer", "'/serviceAccount/name'"),
        ("destroyer.interval=0", "'/destroyer/interval'"),
        ("destroyer.mostPercent=101", "'/destroyer/mostPercent'"),
        ("destroyer.breakerPercent=0", "'/destroyer/breakerPercent'"),
        ("destroyer.replicas=2", "'/destroyer'"),
        ("admission.approvalGuard.enabled=false", "'/admission'"),
        ("rbac.tokenSecrets={a/b}", "'/rbac/tokenSecrets/0'"),
        ("admission.secretGuard.enabled=false", "'/admission'"),
        ("networkPolicy.vault.ports=8200", "'/networkPolicy/vault/ports'"),
        ("networkPolicy.apiServer.ports={70000}", "'/networkPolicy/apiServer/ports/0'"),
        ("serviceMonitor.interval=often", "'/serviceMonitor/interval'"),
    ] {
        let said = helm.refused(&["template", "subrosa", &chart, "--set", value])?;
        assert!(said.contains(place), "{value}: {said}");
    }
    let said = helm.refused(&["template", "subrosa-crds", &path("subrosa-crds"), "--set", "keep=perhaps"])?;
    assert!(said.contains("'/keep'"), "{said}");
    Ok(())
}

#[test]
fn a_guard_that_is_switched_off_is_told_to_the_operator() -> Result<()> {
    let off = |values: &[&str]| -> Result<Option<String>> {
        let objects = objects(&rendered(values)?)?;
        let deployment = objects.iter().find(|one| name(one) == "Deployment subrosa").unwrap();
        let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
        let set = env.iter().find(|one| one["name"] == "SUBROSA_GUARDS_OFF");
        Ok(set.map(|one| one["value"].as_str().unwrap().to_owned()))
    };
    assert_eq!(off(&[])?, None);
    let (membership, deletion) =
        ("admission.membershipGuard.enabled=false", "admission.deletionGuard.enabled=false");
    assert_eq!(off(&[deletion])?.as_deref(), Some("deletion"));
    assert_eq!(off(&[membership, deletion])?.as_deref(), Some("membership,deletion"));
    Ok(())
}
