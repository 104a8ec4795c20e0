//! Writes the CustomResourceDefinitions to files.

use std::error::Error;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use serde_json::Value;

/// Why a definition could not be written. It does not depend on any input, so a test sees it first.
#[derive(Debug, thiserror::Error)]
#[error("the CustomResourceDefinition {name} does not render as YAML: {source}")]
pub struct RenderError {
    name: String,
    source: Box<dyn Error + Send + Sync>,
}

/// A file a kind: its name, such as `subrosa.dev_channels.yaml`, and its text.
///
/// The same build gives the same bytes.
///
/// # Errors
/// When a definition cannot be written as YAML.
pub fn files() -> Result<Vec<(String, String)>, RenderError> {
    crate::all()
        .into_iter()
        .map(|crd| {
            let file = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
            let text = render(&crd).map_err(|source| RenderError { name: crd.name_any(), source })?;
            Ok((file, text))
        })
        .collect()
}

fn render(crd: &CustomResourceDefinition) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut value = serde_json::to_value(crd)?;
    whole_numbers(&mut value);
    Ok(serde_saphyr::to_string(&value)?)
}

// `minimum` and `maximum` are floating-point in the Kubernetes API, but `1` reads better than `1.0`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) =
                number.to_string().strip_suffix(".0").and_then(|text| text.parse::<i64>().ok())
            {
                *value = whole.into();
            }
        }
        _ => {}
    }
}
