//! Prints the setup as YAML for somebody else to apply, without any secret.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::accounts::{self, ACCOUNTS_ACCESSOR};
use super::people::{GLASS_ACCESSOR, GROUP_IDS, PEOPLE_ACCESSOR};
use super::{ACCESSOR, VaultSetup, resolved};
use crate::vault::error::VaultError;
use crate::vault::name::MountAccessor;

/// One document; the fields are in reading order.
#[derive(Serialize)]
struct Request<'a> {
    method: &'static str,
    path: &'a str,
    body: Value,
}

pub(super) fn print(setup: &VaultSetup, accessor: Option<&MountAccessor>) -> Result<String, VaultError> {
    let mut text = String::from(
        "# The static setup of Vault for Subrosa: these requests in this order, as an administrator.\n",
    );
    if accessor.is_none() {
        let read = format!("read it at sys/auth once auth/{} is mounted", setup.kubernetes_mount);
        write_line(&mut text, format_args!("# Replace {ACCESSOR}: {read}."));
    }
    if let Some(people) = &setup.people {
        let mount = people.mount()?;
        write_line(
            &mut text,
            format_args!("# Replace {PEOPLE_ACCESSOR}: read it at sys/auth once auth/{mount} is mounted."),
        );
        if let Some(mount) = people.break_glass_mount()? {
            write_line(
                &mut text,
                format_args!("# Replace {GLASS_ACCESSOR}: read it at sys/auth once auth/{mount} is mounted."),
            );
        }
        if let Some(mount) = accounts::mount(people)? {
            write_line(
                &mut text,
                format_args!(
                    "# Replace {ACCOUNTS_ACCESSOR}: read it at sys/auth once auth/{mount} is mounted."
                ),
            );
        }
        write_line(
            &mut text,
            format_args!(
                "# Replace {GROUP_IDS}: the ids of the external groups below, with \", \" between them."
            ),
        );
    }
    for step in setup.steps() {
        let known: Vec<_> = accessor.map(|accessor| (ACCESSOR, accessor.to_string())).into_iter().collect();
        let mut body = resolved(step.body(), &known);
        if let (Value::Object(fields), Some(secret)) = (&mut body, step.secret_field()) {
            fields.insert(secret.to_owned(), Value::String("<not shown>".to_owned()));
        }
        let request = Request { method: step.method(), path: step.path(), body };
        let yaml = serde_saphyr::to_string(&request).map_err(|error| VaultError::Unexpected {
            path: step.path().to_owned(),
            problem: format!("it cannot be written as YAML: {error}"),
        })?;
        write_line(&mut text, format_args!("---\n# {}\n{}", step.why(), yaml.trim_end()));
    }
    Ok(text)
}

fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
