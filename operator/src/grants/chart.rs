//! Generates the templates of the charts: roles and admission policies from the table, and the CRDs.
//!
//! The objects are generated for an installation with placeholder names, which are then replaced by template
//! expressions. So the chart grants what `deploy/` grants, under the release's names.

use std::error::Error;

use serde_json::Value;

use super::{
    Installation,
    admission::{APPROVAL, AUTHOR, GRANT, REVOCATION},
    destroyer::DESTROYER_ROLE,
    granter::GRANTER_ROLE,
    manifests::{self, GeneratedManifest, ManifestError},
};

/// Placeholders for names that a release chooses. They are DNS labels, as the real names are.
const NAMESPACE: &str = "placeholder-release-namespace";
const SERVICE_ACCOUNT: &str = "placeholder-service-account";
const TOKEN_SECRET: &str = "placeholder-token-secret";
const WORKER_IMAGE: &str = "placeholder-worker-image";
/// The placeholder for the labels of every object of a release.
const LABELS: &str = "placeholder-labels";

const NAMESPACE_EXPRESSION: &str = ".Release.Namespace";
const SERVICE_ACCOUNT_EXPRESSION: &str = r#"include "subrosa.serviceAccountName" ."#;
const WORKER_IMAGE_EXPRESSION: &str = r#"include "subrosa.image" ."#;
const TOKEN_SECRETS_VALUE: &str = ".Values.rbac.tokenSecrets";

/// The optional policies, each with the value that enables it. All others are mandatory: they confine the tokens of
/// the operator and the destroyer, or say who decides that data ends.
const OPTIONAL: [(&str, &str); 2] = [
    ("subrosa-membership", ".Values.admission.membershipGuard.enabled"),
    ("subrosa-deletion", ".Values.admission.deletionGuard.enabled"),
];

/// The policies about decisions on data and access. They are kept when the release is uninstalled, as LegalHolds and records
/// are.
const OF_DECISIONS: [&str; 7] =
    [AUTHOR, GRANT, REVOCATION, "subrosa-adoption", APPROVAL, "subrosa-destruction", "subrosa-legal-hold"];
/// The values that enable the destroyer and the granter, for the roles of each.
const OF_PROCESSES: [(&str, &str); 2] =
    [(DESTROYER_ROLE, ".Values.destroyer.enabled"), (GRANTER_ROLE, ".Values.granter.enabled")];

type Fault = Box<dyn Error + Send + Sync>;

/// The generated templates: path below `charts/`, and text. Deterministic for a build.
///
/// # Errors
/// When an object cannot be written as YAML.
pub fn files() -> Result<Vec<(String, String)>, Fault> {
    let installation = Installation::new(NAMESPACE, SERVICE_ACCOUNT)?
        .with_token_secrets(&[TOKEN_SECRET])?
        .with_worker_image(WORKER_IMAGE)?;
    let mut files = Vec::new();
    for part in manifests::parts(&installation)? {
        // Helm creates the namespace, and the ServiceAccount is a template of its own.
        if part.file == "namespace.yaml" {
            continue;
        }
        let mut text = format!(
            "{{{{- /* Generated from the operator's table of grants; do not edit. {} */ -}}}}\n",
            part.about
        );
        for manifest in part.manifests {
            text.push_str(&template(manifest)?);
        }
        files.push((format!("subrosa/templates/{}", part.file), text));
    }
    for (file, text) in subrosa_crds::yaml::files()? {
        files.push((format!("subrosa-crds/templates/{file}"), definition(&text)?));
    }
    Ok(files)
}

/// The template of one object.
fn template(mut manifest: GeneratedManifest) -> Result<String, ManifestError> {
    let name = text_at(&manifest.object, "/metadata/name").to_owned();
    let name = name.as_str();
    let is_policy = text_at(&manifest.object, "/apiVersion").starts_with("admissionregistration.");
    let optional = OPTIONAL.iter().find(|(policy, _)| is_policy && name == *policy).map(|(_, value)| *value);
    let stays = optional.is_some() || (is_policy && OF_DECISIONS.contains(&name));
    let process = OF_PROCESSES.iter().find(|(role, _)| !is_policy && name == *role).map(|(_, value)| *value);
    let only_if = process.or(optional);
    set(&mut manifest.object, "labels", LABELS, "");
    if stays {
        // Policies about decisions are kept with the objects that they protect.
        set(&mut manifest.object, "annotations", "helm.sh/resource-policy", "keep");
    }
    let text = manifest.yaml().map_err(|source| manifest.error(source))?;
    let text = with_expressions(&with_labels(&with_token_secrets(&escaped(&text))));
    Ok(match only_if {
        Some(value) => format!("{{{{- if {value} }}}}\n---\n{text}{{{{- end }}}}\n"),
        None => format!("---\n{text}"),
    })
}

/// The template of one CRD: kept on uninstallation, and labelled with its version.
fn definition(text: &str) -> Result<String, Fault> {
    let text = escaped(text);
    let (head, spec) = text.split_once("\nspec:\n").ok_or("a definition has no spec")?;
    Ok(format!(
        "{{{{- /* Generated from the types of the API; do not edit. */ -}}}}\n\
         {head}\n  \
         labels:\n    \
         {{{{- include \"subrosa-crds.labels\" . | nindent 4 }}}}\n  \
         {{{{- if .Values.keep }}}}\n  \
         annotations:\n    \
         helm.sh/resource-policy: keep\n  \
         {{{{- end }}}}\n\
         spec:\n{spec}"
    ))
}

fn text_at<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Adds an entry to the labels or annotations of an object.
fn set(object: &mut Value, field: &str, key: &str, value: &str) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let entries = metadata.entry(field).or_insert_with(|| Value::Object(Default::default()));
        if let Some(entries) = entries.as_object_mut() {
            entries.insert(key.to_owned(), value.into());
        }
    }
}

/// Escapes text that looks like a template expression.
fn escaped(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

fn with_labels(text: &str) -> String {
    let line = format!("    {LABELS}: \"\"\n");
    text.replace(&line, "    {{- include \"subrosa.releaseLabels\" . | nindent 4 }}\n")
}

/// The rule for named Secrets is conditional: without names it would apply to every Secret.
fn with_token_secrets(text: &str) -> String {
    let Some(name) = text.find(TOKEN_SECRET) else { return text.to_owned() };
    let (before, after) = text.split_at(name);
    // From the comment with the rule's reason to the next such comment or the end.
    let begin = before.rfind("\n# ").map_or(0, |at| at + 1);
    let end = after.find("\n# ").map_or(text.len(), |at| name + at + 1);
    let (head, rest) = text.split_at(begin);
    let (rule, tail) = rest.split_at(end - begin);
    let names = format!("  - {TOKEN_SECRET}\n");
    let rule = rule.replace(&names, "  {{- toYaml . | nindent 2 }}\n");
    format!("{head}{{{{- with {TOKEN_SECRETS_VALUE} }}}}\n{rule}{{{{- end }}}}\n{tail}")
}

/// Replaces placeholders by expressions. Quotes a value that is nothing but a name, because a name of digits would be
/// read as a number.
fn with_expressions(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for line in text.lines() {
        let mut line = line.to_owned();
        for (placeholder, expression) in [
            (NAMESPACE, NAMESPACE_EXPRESSION),
            (SERVICE_ACCOUNT, SERVICE_ACCOUNT_EXPRESSION),
            (WORKER_IMAGE, WORKER_IMAGE_EXPRESSION),
        ] {
            let alone = [": ", "- "].iter().any(|before| line.ends_with(&format!("{before}{placeholder}")));
            let within = if alone { format!("{expression} | quote") } else { expression.to_owned() };
            line = line.replace(placeholder, &format!("{{{{ {within} }}}}"));
        }
        written.push_str(&line);
        written.push('\n');
    }
    written
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn generated(path: &str) -> String {
        files().unwrap().into_iter().find(|(file, _)| file == path).unwrap().1
    }

    #[test]
    fn the_templates_are_what_the_table_and_the_types_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts");
        let files = files().unwrap();
        if std::env::var_os("SUBROSA_UPDATE").is_some() {
            for (path, text) in &files {
                let path = folder.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        for (path, text) in &files {
            let written = fs::read_to_string(folder.join(path)).unwrap_or_default();
            assert!(
                written == *text,
                "charts/{path} is not what the table or the types say: regenerate with `SUBROSA_UPDATE=1 cargo test -p \
                 subrosa --lib grants` and review the difference"
            );
        }
        // A definition of a kind that was removed would be installed for ever.
        for entry in fs::read_dir(folder.join("subrosa-crds/templates")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let known = files.iter().any(|(path, _)| path.ends_with(&name)) || name.starts_with('_');
            assert!(known || name == "NOTES.txt", "charts/subrosa-crds/templates/{name} is of no kind");
        }
    }

    #[test]
    fn no_placeholder_and_no_default_name_is_left() {
        for (path, text) in files().unwrap() {
            assert!(!text.contains("placeholder-"), "{path}");
            assert!(!text.contains("subrosa-system"), "{path}");
        }
        let text = generated("subrosa/templates/admission.yaml");
        assert!(text.contains(
            "'system:serviceaccount:{{ .Release.Namespace }}:{{ include \"subrosa.serviceAccountName\" . }}'"
        ));
    }

    #[test]
    fn a_name_that_stands_alone_is_quoted() {
        let text =
            with_expressions(&format!("namespace: {NAMESPACE}\n- {SERVICE_ACCOUNT}\n'a:{NAMESPACE}'\n"));
        let wanted = "namespace: {{ .Release.Namespace | quote }}\n\
                      - {{ include \"subrosa.serviceAccountName\" . | quote }}\n\
                      'a:{{ .Release.Namespace }}'\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn only_the_guards_of_decisions_can_be_left_out_and_stay() {
        let text = generated("subrosa/templates/admission.yaml");
        assert_eq!(text.matches("{{- if ").count(), 2 * OPTIONAL.len(), "a policy and its binding each");
        let kept = OPTIONAL.len() + OF_DECISIONS.len();
        assert_eq!(text.matches("helm.sh/resource-policy: keep").count(), 2 * kept);
        for (policy, value) in OPTIONAL {
            assert!(text.contains(&format!("  name: {policy}\n")) && text.contains(value), "{policy}");
        }
    }

    #[test]
    fn the_rule_for_named_secrets_needs_names() {
        let text = generated("subrosa/templates/rbac.yaml");
        let (_, after) = text.split_once("{{- with .Values.rbac.tokenSecrets }}\n# ").unwrap();
        let (rule, _) = after.split_once("{{- end }}\n").unwrap();
        assert!(
            rule.contains("  resourceNames:\n  {{- toYaml . | nindent 2 }}\n  resources:\n  - secrets\n")
        );
        assert_eq!(rule.matches("apiGroups").count(), 1, "{rule}");
    }

    #[test]
    fn what_only_looks_like_an_expression_is_written_as_it_is() {
        assert_eq!(escaped("a {{ b }}"), "a {{ \"{{\" }} b }}");
    }
}
