//! Manifests against the schemas of the API server itself, as kubeconform reads them: strict, so that a
//! field nobody knows is an error and not dropped in silence.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use serde_json::{Map, Value, json};
use subrosa_e2e::helm::kubeconform;

/// Where the schemas of one API server are.
pub struct Schemas {
    directory: tempfile::TempDir,
    program: PathBuf,
}

impl Schemas {
    /// Takes the schemas of everything that the server offers now.
    pub async fn of(client: &Client) -> Result<Self> {
        let request = http::Request::get("/openapi/v2").body(Vec::new())?;
        let document: Value = client.request(request).await.context("the server's OpenAPI document")?;
        let directory = tempfile::tempdir()?;
        write(document["definitions"].as_object().context("definitions")?, directory.path())?;
        Ok(Self { directory, program: kubeconform()? })
    }

    /// Whether there is one of `kind`.
    pub fn knows(&self, group: &str, version: &str, kind: &str) -> bool {
        self.directory.path().join(file_name(group, version, kind)).exists()
    }

    /// Holds rendered text against them; a kind without a schema is an error too.
    pub fn judge(&self, text: &str) -> Result<()> {
        let manifests = self.directory.path().join("manifests.yaml");
        fs::write(&manifests, text)?;
        let location = format!(
            "{}/{{{{.Group}}}}_{{{{.ResourceAPIVersion}}}}_{{{{.ResourceKind}}}}.json",
            self.directory.path().display()
        );
        let output = Command::new(&self.program)
            .args(["-strict", "-summary", "-schema-location", &location])
            .arg(&manifests)
            .output()
            .context("run kubeconform")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        ensure!(said.contains("Skipped: 0"), "{said}");
        Ok(())
    }
}

/// As kubeconform asks for it: the group of a core kind is its version.
fn file_name(group: &str, version: &str, kind: &str) -> String {
    let group = if group.is_empty() { version } else { group };
    format!("{group}_{version}_{}.json", kind.to_lowercase())
}

/// A file a kind, each with all that it refers to.
fn write(definitions: &Map<String, Value>, directory: &Path) -> Result<()> {
    for (name, definition) in definitions {
        for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let text = |field: &str| kind[field].as_str().unwrap_or_default();
            let mut wanted = BTreeSet::new();
            reachable(name, definitions, &mut wanted);
            let parts: Map<String, Value> =
                wanted.into_iter().map(|name| (name.to_owned(), strict(&definitions[name], name))).collect();
            let schema = json!({"$ref": format!("#/definitions/{name}"), "definitions": parts});
            let file = directory.join(file_name(text("group"), text("version"), text("kind")));
            fs::write(file, serde_json::to_string(&schema)?)?;
        }
    }
    Ok(())
}

fn reachable<'a>(name: &'a str, definitions: &'a Map<String, Value>, seen: &mut BTreeSet<&'a str>) {
    if !seen.insert(name) {
        return;
    }
    let mut look = vec![&definitions[name]];
    while let Some(value) = look.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                    reachable(name.trim_start_matches("#/definitions/"), definitions, seen);
                }
                look.extend(fields.values());
            }
            Value::Array(items) => look.extend(items),
            _ => {}
        }
    }
}

/// What OpenAPI says of a definition as a JSON schema that takes no unknown field.
fn strict(schema: &Value, name: &str) -> Value {
    // Written as texts in the document, and numbers are taken too.
    if name.ends_with(".IntOrString") || name.ends_with(".Quantity") {
        return json!({"type": ["string", "number"]});
    }
    let mut schema = schema.clone();
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
        let keeps = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        if !keeps {
            fields.entry("additionalProperties").or_insert(Value::Bool(false));
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(inner) {
            close(inner);
        }
    }
}
