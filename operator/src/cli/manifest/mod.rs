//! Manifests in files, with the line of every field.

mod files;
mod node;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use subrosa_crds::names::ChannelRef;

pub use files::{Sources, read};
use node::Node;

use super::finding::{Finding, Place, Severity};

/// One object in a file.
#[derive(Clone, Debug)]
pub struct Manifest {
    file: Arc<str>,
    order: usize,
    node: Node,
    /// The object.
    pub value: Value,
    /// Its API version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace, where it names one.
    pub namespace: Option<String>,
}

impl Manifest {
    /// Parses the object as its own type.
    ///
    /// # Errors
    /// When it is of another type or incomplete, with the place.
    pub fn read<K: DeserializeOwned>(&self) -> Result<K> {
        serde_json::from_value(self.value.clone())
            .with_context(|| format!("{}: {} cannot be read", self.place("spec"), self.title()))
    }

    /// The place of `field`.
    pub fn place(&self, field: &str) -> Place {
        Place { order: self.order, line: self.node.line_of(field), file: Arc::clone(&self.file) }
    }

    /// The name in findings, such as `Channel cc-front/voice`.
    pub fn title(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }

    /// An error about `field`.
    pub fn error(&self, field: &str, message: impl Into<String>) -> Finding {
        self.finding(Severity::Error, field, message)
    }

    /// An error about the value of `field`, which is quoted.
    pub fn error_at(&self, field: &str, message: impl Into<String>) -> Finding {
        Finding { value: self.node.find(field).and_then(quoted), ..self.error(field, message) }
    }

    /// A note about `field`.
    pub fn note(&self, field: &str, message: impl Into<String>) -> Finding {
        self.finding(Severity::Note, field, message)
    }

    fn finding(&self, severity: Severity, field: &str, message: impl Into<String>) -> Finding {
        Finding {
            place: self.place(field),
            severity,
            object: self.title(),
            field: field.to_owned(),
            value: None,
            message: message.into(),
        }
    }

    /// Sets the namespace of an object without one, as `kubectl apply` does.
    pub fn settle(&mut self, namespace: &str) {
        self.namespace = Some(namespace.to_owned());
        if let Some(metadata) = self.value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
    }

    /// Whether it belongs to this API's group.
    pub fn is_ours(&self) -> bool {
        self.api_version.split_once('/').is_some_and(|(group, _)| group == subrosa_crds::GROUP)
    }

    /// The namespaced name, with `default` for objects without a namespace.
    pub fn name_in(&self, default: &str) -> ChannelRef {
        ChannelRef::new(self.namespace.as_deref().unwrap_or(default), &self.name)
    }

    /// The text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer)?.as_str()
    }
}

/// A scalar or a short list, in the notation of one line.
fn quoted(node: &Node) -> Option<String> {
    const LIMIT: usize = 64;
    let value = node.value();
    let short = match &value {
        Value::Object(_) | Value::Null => false,
        Value::Array(items) => !items.iter().any(|item| item.is_object() || item.is_array()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    };
    Some(value.to_string()).filter(|text| short && text.chars().count() <= LIMIT)
}

/// The manifests in one file's text, and YAML errors.
fn parse(file: &Arc<str>, order: usize, text: &str) -> (Vec<Manifest>, Vec<Finding>) {
    let place = |line| Place { order, line, file: Arc::clone(file) };
    let error = |line, message: String| Finding {
        place: place(line),
        severity: Severity::Error,
        object: String::new(),
        field: String::new(),
        value: None,
        message,
    };
    // Without snippet, because a line of a Secret must not be repeated.
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Vec<Node> = match serde_saphyr::from_multiple_with_options(text, options) {
        Ok(documents) => documents,
        Err(problem) => {
            let line = problem.location().map_or(1, |location| location.line().max(1));
            return (Vec::new(), vec![error(line, format!("no YAML: {problem}"))]);
        }
    };
    let (mut manifests, mut findings) = (Vec::new(), Vec::new());
    for node in documents.into_iter().filter(|node| !node.is_null()) {
        collect(node, file, order, &mut manifests, &mut |line, message| findings.push(error(line, message)));
    }
    (manifests, findings)
}

fn collect(
    node: Node,
    file: &Arc<str>,
    order: usize,
    manifests: &mut Vec<Manifest>,
    wrong: &mut dyn FnMut(u64, String),
) {
    let value = node.value();
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let (Some(api_version), Some(kind)) = (text("/apiVersion"), text("/kind")) else {
        return wrong(node.line(), "no manifest: write apiVersion and kind".into());
    };
    if api_version == "v1" && kind.ends_with("List") && value.get("items").is_some_and(Value::is_array) {
        for item in node.take("items").map(Node::items).unwrap_or_default() {
            collect(item, file, order, manifests, wrong);
        }
        return;
    }
    let Some(name) = text("/metadata/name") else {
        return wrong(node.line_of("metadata"), format!("{kind}: metadata.name: required: how it is called"));
    };
    let namespace = text("/metadata/namespace");
    manifests.push(Manifest {
        file: Arc::clone(file),
        order,
        node,
        api_version,
        kind,
        name,
        namespace,
        value,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<String>, Vec<String>) {
        let (manifests, findings) = parse(&Arc::from("x.yaml"), 0, text);
        let titles = manifests.iter().map(|one| format!("{} {}", one.place("").line, one.title())).collect();
        let said = findings.iter().map(|one| one.text(crate::cli::output::Paint(false))).collect();
        (titles, said)
    }

    #[test]
    fn streams_and_lists_are_taken_apart() {
        let text = "\
---
# nothing
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: a}
- apiVersion: v1
  kind: Service
  metadata: {name: s, namespace: a}
---
apiVersion: v1
kind: Pod
metadata: {generateName: p-}
---
just: text
";
        let (titles, said) = parsed(text);
        assert_eq!(titles, ["7 Namespace a", "10 Service a/s"]);
        assert_eq!(
            said,
            [
                "x.yaml:16: error: Pod: metadata.name: required: how it is called",
                "x.yaml:18: error: no manifest: write apiVersion and kind"
            ]
        );
    }

    #[test]
    fn a_broken_file_is_told_by_its_line_and_never_by_its_text() {
        let (titles, said) = parsed("kind: Secret\ndata:\n  password: [hunter2\nmore: x\n");
        assert!(titles.is_empty());
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("x.yaml:") && said[0].contains("no YAML") && !said[0].contains("hunter2"),
            "{said:?}"
        );
    }

    #[test]
    fn the_same_key_twice_is_refused() {
        let (_, said) = parsed("apiVersion: v1\nkind: Pod\nkind: Service\n");
        assert!(said[0].starts_with("x.yaml:3:"), "{said:?}");
    }
}
