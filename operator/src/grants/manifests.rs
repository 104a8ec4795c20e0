//! Everything that an installation needs before its Deployment: as objects, and as the files of `deploy/`.

use std::error::Error;

use k8s_openapi::Resource;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Installation, admission, people,
    rbac::{self, Process},
    table::{Grant, GrantScope},
};

/// A manifest cannot be written. This depends on no input, so tests would find it.
#[derive(Debug, thiserror::Error)]
#[error("{kind} {name} cannot be written: {source}; please report it, it is a fault of Subrosa")]
pub struct ManifestError {
    kind: String,
    name: String,
    source: Box<dyn Error + Send + Sync>,
}

/// The objects, in an order in which they can be applied.
///
/// # Errors
/// When an object cannot be written as JSON.
pub fn manifests(installation: &Installation) -> Result<Vec<Value>, ManifestError> {
    let parts = parts(installation)?;
    Ok(parts.into_iter().flat_map(|part| part.manifests).map(|manifest| manifest.object).collect())
}

/// The files: name, such as `rbac.yaml`, and text. Deterministic for a build.
///
/// # Errors
/// When an object cannot be written as YAML.
pub fn files(installation: &Installation) -> Result<Vec<(String, String)>, ManifestError> {
    let text = |part: Part| {
        let mut text =
            format!("# Generated from the operator's table of grants; do not edit. {}\n", part.about);
        for manifest in &part.manifests {
            text.push_str("---\n");
            text.push_str(&manifest.yaml().map_err(|source| manifest.error(source))?);
        }
        Ok((part.file.to_owned(), text))
    };
    parts(installation)?.into_iter().map(text).collect()
}

pub(super) struct Part {
    pub(super) file: &'static str,
    pub(super) about: &'static str,
    pub(super) manifests: Vec<GeneratedManifest>,
}

pub(super) struct GeneratedManifest {
    pub(super) object: Value,
    /// The reason of each rule of a role.
    reasons: Vec<&'static str>,
}

pub(super) fn parts(installation: &Installation) -> Result<Vec<Part>, ManifestError> {
    let mut home = vec![plain(&rbac::namespace(installation))?];
    let mut roles = Vec::new();
    for process in [Process::Operator, Process::Destroyer, Process::Granter] {
        home.push(plain(&process.service_account(installation))?);
        let [cluster, own, governed] =
            [GrantScope::Cluster, GrantScope::OperatorNamespace, GrantScope::GovernedNamespace]
                .map(|scope| process.of_scope(installation, scope));
        roles.push(role(&process.cluster_wide(&cluster), &cluster)?);
        roles.push(plain(&process.cluster_wide_binding(installation))?);
        roles.push(role(&process.own_namespace(installation, &own), &own)?);
        roles.push(plain(&process.own_namespace_binding(installation))?);
        if !governed.is_empty() {
            roles.push(role(&rbac::governed_namespace(&governed), &governed)?);
        }
    }
    for people in people::roles() {
        roles.push(role(&people.cluster_role(), &people.grants)?);
    }

    let mut policies = Vec::new();
    for guard in admission::policies(installation) {
        policies.push(plain(&guard.policy)?);
        policies.push(plain(&guard.binding)?);
    }
    Ok(vec![
        Part {
            file: "namespace.yaml",
            about: "Where the operator, the destroyer and the granter live.",
            manifests: home,
        },
        Part { file: "rbac.yaml", about: "Who may do what.", manifests: roles },
        Part { file: "admission.yaml", about: "What RBAC cannot say.", manifests: policies },
    ])
}

fn plain<K: Resource + Serialize>(object: &K) -> Result<GeneratedManifest, ManifestError> {
    let object = serde_json::to_value(object).map_err(|source| ManifestError {
        kind: K::KIND.to_owned(),
        name: String::new(),
        source: source.into(),
    })?;
    Ok(GeneratedManifest { object, reasons: Vec::new() })
}

fn role<K: Resource + Serialize>(object: &K, grants: &[Grant]) -> Result<GeneratedManifest, ManifestError> {
    let manifest = plain(object)?;
    Ok(GeneratedManifest { reasons: grants.iter().map(|grant| grant.why).collect(), ..manifest })
}

impl GeneratedManifest {
    /// YAML with its reason above each rule.
    pub(super) fn yaml(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        let mut object = self.object.clone();
        let rules = object.as_object_mut().and_then(|fields| fields.remove("rules"));
        let mut text = serde_saphyr::to_string(&object)?;
        let rules = rules.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if !rules.is_empty() {
            text.push_str("rules:\n");
        }
        for (rule, why) in rules.iter().zip(&self.reasons) {
            text.push_str(&format!("# {why}\n{}", serde_saphyr::to_string(&json!([rule]))?));
        }
        Ok(text)
    }

    pub(super) fn error(&self, source: Box<dyn Error + Send + Sync>) -> ManifestError {
        let text = |pointer: &str| {
            self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        ManifestError { kind: text("/kind"), name: text("/metadata/name"), source }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    const REGENERATE: &str = "regenerate with `SUBROSA_UPDATE=1 cargo test -p subrosa --lib grants` and review the \
                              difference";

    #[test]
    fn the_files_are_what_the_table_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        let files = files(&Installation::default()).unwrap();
        if std::env::var_os("SUBROSA_UPDATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            for (name, text) in &files {
                fs::write(folder.join(name), text).unwrap();
            }
        }
        for (name, text) in &files {
            let written = fs::read_to_string(folder.join(name)).unwrap_or_default();
            assert!(written == *text, "deploy/{name} is not what the table says: {REGENERATE}");
        }
    }

    /// The text is put together from pieces, so it is read back.
    #[test]
    fn the_text_says_what_the_objects_say() {
        let installation = Installation::default();
        let mut read: Vec<Value> = Vec::new();
        for (_, text) in files(&installation).unwrap() {
            assert!(text.lines().all(|line| line.trim_end() == line));
            for document in text.split("---\n").skip(1) {
                read.push(serde_saphyr::from_str(document).unwrap());
            }
        }
        assert_eq!(read, manifests(&installation).unwrap());
    }

    #[test]
    fn no_rule_holds_a_wildcard() {
        for object in manifests(&Installation::default()).unwrap() {
            for rule in object["rules"].as_array().into_iter().flatten() {
                assert!(!rule.to_string().contains('*'), "{rule}");
            }
        }
    }

    #[test]
    fn no_object_is_written_twice_and_all_follow_the_installation() {
        let installation = Installation::new("rosa", "gardener").unwrap();
        let objects = manifests(&installation).unwrap();
        let names: BTreeSet<String> = objects
            .iter()
            .map(|object| {
                let metadata = &object["metadata"];
                format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"])
            })
            .collect();
        assert_eq!(names.len(), objects.len());
        let text = serde_json::to_string(&objects).unwrap();
        assert!(!text.contains("subrosa-system"), "a name of the default installation is written down");
    }
}
