//! Writes drafts as YAML, for review before they are applied.

use anyhow::Result;
use serde_json::{Value, json};
use subrosa_crds::{GROUP, VERSION};
use subrosa_plan::discover::{Draft, Drafts};

use crate::cli::harmless;

/// The longest line of a comment.
const WIDTH: usize = 110;

/// The stream: a comment for all of it, then one document per Channel.
///
/// # Errors
/// When a Channel cannot be written as YAML.
pub fn stream(namespaces: &[String], drafts: &Drafts) -> Result<String> {
    let mut text = String::new();
    let from = format!(
        "Drafted from what runs in {}; nothing was changed. Read it, decide what is marked, look at it with \
         subrosa render, and apply it.",
        namespaces.join(", ")
    );
    comment(&mut text, "", &from);
    for remark in &drafts.remarks {
        comment(&mut text, "- ", remark);
    }
    for draft in &drafts.channels {
        text.push_str("---\n");
        document(&mut text, draft)?;
    }
    Ok(text)
}

fn document(text: &mut String, draft: &Draft) -> Result<()> {
    comment(text, "", &draft.workload);
    for line in &draft.guessed {
        comment(text, "guessed: ", line);
    }
    for line in &draft.decide {
        comment(text, "DECIDE: ", line);
    }
    let channel = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "Channel",
        "metadata": {"name": draft.name.name, "namespace": draft.name.namespace},
        "spec": draft.spec,
    });
    let stream = crate::cli::stream(&[without_nothing(channel)])?;
    text.push_str(stream.strip_prefix("---\n").unwrap_or(&stream));
    Ok(())
}

/// Removes empty fields, which the API server would not store either.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nothing(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nothing).collect(),
        other => other,
    }
}

/// Writes a comment, wrapped at words. Text from others cannot end it.
fn comment(text: &mut String, mark: &str, line: &str) {
    let mut current = format!("# {mark}");
    let start = current.len();
    let mut empty = true;
    for word in harmless(line).split(' ') {
        if !empty && current.chars().count() + word.chars().count() + 1 > WIDTH {
            text.push_str(current.trim_end());
            text.push('\n');
            current = format!("#{}", " ".repeat(start - 1));
            empty = true;
        }
        if !empty {
            current.push(' ');
        }
        current.push_str(word);
        empty = false;
    }
    text.push_str(current.trim_end());
    text.push('\n');
}
