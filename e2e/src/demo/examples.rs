//! The manifests of `examples/`, applied as they are, but for where this OpenBao is.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use serde_json::{Value, json};

use crate::{
    Environment,
    installation::{OPENBAO_CA, apply_object},
};

/// The kinds of Subrosa.
const KINDS: [&str; 4] = ["TrustDomain", "RetentionPolicy", "ExternalParty", "Channel"];

/// The objects of every YAML file in `directory`, by file name.
///
/// # Errors
/// When a file cannot be read, or there is none.
pub fn read(directory: &Path) -> Result<Vec<Value>> {
    let entries = fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut objects = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("{} is no YAML", file.display()))?;
        objects.extend(documents.into_iter().filter(|document| !document.is_null()));
    }
    ensure!(!objects.is_empty(), "{} holds no manifest", directory.display());
    Ok(objects)
}

/// Applies them in their order; says what was applied, and what was changed before.
///
/// # Errors
/// When the API server refuses one.
pub async fn apply(client: &Client, objects: Vec<Value>, env: &Environment) -> Result<Vec<String>> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    let mut changes = Vec::new();
    for mut object in objects {
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        if kind == "TrustDomain" {
            changes.push(point_at(&mut object, env.openbao().url())?);
        }
        apply_object(client, &object).await?;
        match counts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
    let all: usize = counts.iter().map(|(_, count)| count).sum();
    let ours = counts.iter().filter(|(kind, _)| KINDS.contains(&kind.as_str()));
    let ours: Vec<_> = ours.map(|(kind, count)| format!("{count} {kind}")).collect();
    changes.insert(0, format!("{all} objects, among them {}", ours.join(", ")));
    Ok(changes)
}

/// Makes a TrustDomain name this OpenBao and its CA; says so.
fn point_at(domain: &mut Value, address: &str) -> Result<String> {
    let vault = domain.pointer_mut("/spec/vault").and_then(Value::as_object_mut);
    let vault = vault.context("the TrustDomain of the examples has no spec.vault")?;
    let before = vault.insert("address".into(), address.into()).unwrap_or_default();
    vault.insert("caBundle".into(), json!({"configMap": OPENBAO_CA, "key": "ca.crt"}));
    Ok(format!(
        "changed for this machine: vault.address of the TrustDomain is {address}\n\
         instead of {}, and its caBundle is this OpenBao's",
        before.as_str().unwrap_or("nothing")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trust_domain_of_the_examples_is_pointed_at_this_openbao() {
        let directory = crate::tools::workspace().unwrap().join("examples/contact-center");
        let mut objects = read(&directory).unwrap();
        let domain = objects.iter_mut().find(|object| object["kind"] == "TrustDomain").unwrap();
        assert_eq!(domain["metadata"]["name"], super::super::DOMAIN);
        let before = domain["spec"]["vault"]["address"].as_str().unwrap().to_owned();
        let said = point_at(domain, "https://127.0.0.1:1").unwrap();
        assert!(said.contains(&before) && said.contains("https://127.0.0.1:1"), "{said}");
        assert_eq!(domain["spec"]["vault"]["address"], "https://127.0.0.1:1");
        assert_eq!(domain["spec"]["vault"]["caBundle"]["configMap"], OPENBAO_CA);
        assert!(point_at(&mut json!({"spec": {}}), "x").is_err());
    }

    #[test]
    fn a_directory_without_manifests_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("README.md"), "kind: no").unwrap();
        assert!(read(directory.path()).is_err());
    }
}
