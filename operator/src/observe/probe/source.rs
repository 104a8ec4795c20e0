//! The labels of the operator's own pods, by which policies admit its probes.

use std::{collections::BTreeMap, str::FromStr};

use subrosa_plan::world::answers::Source;

/// Labels as `key=value,key=value`. Never empty, which would admit every pod of the operator's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodLabels(BTreeMap<String, String>);

/// The text is not a list of labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no list of labels: write those of the operator's pods, such as app.kubernetes.io/name=subrosa"
)]
pub struct NoLabels(String);

impl FromStr for PodLabels {
    type Err = NoLabels;

    fn from_str(text: &str) -> Result<Self, NoLabels> {
        let wrong = || NoLabels(text.to_owned());
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
            let (prefix, name) = key.rsplit_once('/').unwrap_or(("default", key));
            let is_prefix = prefix.split('.').all(is_name) && prefix.len() <= 253;
            let fine = is_prefix && is_name(name) && (value.is_empty() || is_name(value));
            fine.then(|| (key.to_owned(), value.to_owned())).ok_or_else(wrong)
        };
        text.split(',').map(|one| pair(one.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl PodLabels {
    /// The operator's pods, in its namespace.
    pub fn at(self, namespace: &str) -> Source {
        Source { namespace: namespace.to_owned(), labels: self.0 }
    }
}

/// The syntax of Kubernetes label names and values.
fn is_name(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= 63 && ends(text.bytes().next()) && ends(text.bytes().last()) && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_and_nothing_else_is() {
        let labels: PodLabels =
            "app.kubernetes.io/name=subrosa, app.kubernetes.io/component=operator".parse().unwrap();
        let labels = labels.at("subrosa-system").labels;
        assert_eq!(labels.len(), 2);
        assert_eq!(labels["app.kubernetes.io/component"], "operator");
        for wrong in ["", "a", "=b", "a=b,", "a=b=c", "a b=c", "/a=b", "a=-b", "a=b,,c=d"] {
            let error = wrong.parse::<PodLabels>().unwrap_err();
            assert!(error.to_string().contains("is no list of labels"), "{wrong}: {error}");
        }
    }
}
