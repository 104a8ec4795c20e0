//! Applies the setup: reads first, writes only differences, reports each step.

use std::fmt;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::accounts::{self, ACCOUNTS_ACCESSOR};
use super::people::{GLASS_ACCESSOR, GROUP_IDS, PEOPLE_ACCESSOR};
use super::{ACCESSOR, SetupStep, StepKind, VaultSetup, resolved, shared};
use crate::vault::answer::{Reply, parse};
use crate::vault::client::Vault;
use crate::vault::endpoint::{Call, Capability, Op};
use crate::vault::error::VaultError;
use crate::vault::identity::auth_accessor;
use crate::vault::name::MountPath;

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// Nothing to change; nothing was written.
    Unchanged,
    /// It did not exist.
    Created,
    /// It differed.
    Updated,
    /// Written again, because it holds a secret that cannot be read back and compared.
    Refreshed,
}

impl fmt::Display for StepOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unchanged => "unchanged",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Refreshed => "refreshed",
        })
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// The step's path.
    pub path: String,
    /// The result.
    pub outcome: StepOutcome,
    /// The fields that differed.
    pub changed: Vec<String>,
}

/// How long a new mount may take to become usable.
const MOUNT_PATIENCE: Duration = Duration::from_secs(30);

pub(super) const ADMIN: &[Capability] =
    &[Capability::Create, Capability::Read, Capability::Update, Capability::Sudo];

/// Brings Vault to the described setup with an administrator's token. A second run writes nothing, except for a
/// reviewer's JWT that is given again. Writes nothing where a role or the records belong to somebody else, or where
/// others have keys on the transit mount, or policies that can create some there, and the setup does not say that this
/// is intended.
pub async fn apply(vault: &Vault, setup: &VaultSetup) -> Result<Vec<StepReport>, VaultError> {
    for owner in &setup.owners {
        let op = Op::new("setup.read", owner.path.as_str(), ADMIN);
        // A missing mount has no roles, and what the token may not read it may not write either.
        if let Ok(Some(present)) = read(vault, &op, &owner.path).await {
            owner.check(&present)?;
        }
    }
    shared::check(vault, setup).await?;
    shared::check_policies(vault, setup).await?;
    shared::check_store(vault, setup).await?;
    let mut report = Vec::new();
    let mut known = Vec::new();
    for step in setup.steps() {
        let body = match step.kind {
            StepKind::Policy => {
                // The mounts and groups to look up exist by now: their steps precede the policies that name them.
                for placeholder in [ACCESSOR, PEOPLE_ACCESSOR, GLASS_ACCESSOR, ACCOUNTS_ACCESSOR, GROUP_IDS] {
                    let is_needed = step.body.to_string().contains(placeholder);
                    if is_needed && !known.iter().any(|(found, _)| *found == placeholder) {
                        known.push((placeholder, look_up(vault, setup, placeholder).await?));
                    }
                }
                resolved(&step.body, &known)
            }
            StepKind::Mount { .. } | StepKind::Object => step.body.clone(),
        };
        report.push(apply_patiently(vault, step, &body).await?);
    }
    Ok(report)
}

/// The value of a placeholder.
async fn look_up(vault: &Vault, setup: &VaultSetup, placeholder: &str) -> Result<String, VaultError> {
    let accessor = async |mount: &MountPath| {
        let absent = || VaultError::NotFound { path: format!("auth/{mount}") };
        Ok(auth_accessor(vault, mount).await?.ok_or_else(absent)?.to_string())
    };
    match (&setup.people, placeholder) {
        (Some(people), PEOPLE_ACCESSOR) => accessor(&people.mount()?).await,
        (Some(people), GLASS_ACCESSOR) => match people.break_glass_mount()? {
            Some(mount) => accessor(&mount).await,
            None => Err(VaultError::NotFound { path: format!("auth/{}", people.mount()?) }),
        },
        (Some(people), ACCOUNTS_ACCESSOR) => match accounts::mount(people)? {
            Some(mount) => accessor(&mount).await,
            None => Err(VaultError::NotFound { path: format!("auth/{}", people.mount()?) }),
        },
        (Some(_), GROUP_IDS) => {
            let mut ids = Vec::new();
            for step in setup.steps().iter().filter(|step| step.body.get("type") == Some(&"external".into()))
            {
                let op = Op::new("setup.read", step.path.as_str(), ADMIN);
                let group = read(vault, &op, &step.path).await?;
                let id = group.as_ref().and_then(|group| group.get("id")?.as_str());
                let absent = || VaultError::NotFound { path: step.path.clone() };
                ids.push(id.ok_or_else(absent)?.to_owned());
            }
            Ok(ids.join("\", \""))
        }
        _ => accessor(&setup.kubernetes_mount).await,
    }
}

/// Retries, because a new key-value mount is unavailable for a moment.
async fn apply_patiently(vault: &Vault, step: &SetupStep, body: &Value) -> Result<StepReport, VaultError> {
    let deadline = Instant::now() + MOUNT_PATIENCE;
    loop {
        match apply_step(vault, step, body).await {
            Err(VaultError::NotReady { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            result => return result,
        }
    }
}

async fn apply_step(vault: &Vault, step: &SetupStep, body: &Value) -> Result<StepReport, VaultError> {
    let present = present(vault, step).await?;
    let changed = present.as_ref().map(|present| differences(body, present)).unwrap_or_default();
    let outcome = match (&present, step.kind) {
        (None, _) => StepOutcome::Created,
        (Some(present), StepKind::Mount { .. }) => {
            check_mount(step, body, present)?;
            StepOutcome::Unchanged
        }
        (Some(_), _) if !changed.is_empty() => StepOutcome::Updated,
        (Some(_), _) if step.secret.is_some() => StepOutcome::Refreshed,
        (Some(_), _) => StepOutcome::Unchanged,
    };
    if outcome != StepOutcome::Unchanged {
        write(vault, step, body).await?;
    }
    let changed = if outcome == StepOutcome::Updated { changed } else { Vec::new() };
    Ok(StepReport { path: step.path.clone(), outcome, changed })
}

/// The current object at the step's path.
async fn present(vault: &Vault, step: &SetupStep) -> Result<Option<Map<String, Value>>, VaultError> {
    let op = Op::new("setup.read", step.path.as_str(), ADMIN);
    let StepKind::Mount { index } = step.kind else {
        return read(vault, &op, &step.path).await;
    };
    // Reading an absent mount is an error that only its text identifies, so read the list of mounts instead.
    let name = step.path.strip_prefix(index).unwrap_or_default().trim_start_matches('/');
    let mut mounts = read(vault, &op, index).await?.unwrap_or_default();
    Ok(match mounts.remove(&format!("{name}/")) {
        Some(Value::Object(mount)) => Some(mount),
        _ => None,
    })
}

pub(super) async fn read(
    vault: &Vault,
    op: &Op,
    path: &str,
) -> Result<Option<Map<String, Value>>, VaultError> {
    let call = Call::<(), Map<String, Value>>::get(path);
    Ok(vault.exec(op, &call).await?.and_then(|envelope| envelope.data))
}

async fn write(vault: &Vault, step: &SetupStep, body: &Value) -> Result<(), VaultError> {
    let op = Op::new("setup.write", step.path.as_str(), ADMIN);
    let mut body = body.clone();
    if let (Value::Object(fields), Some((name, secret))) = (&mut body, &step.secret) {
        fields.insert((*name).to_owned(), Value::String(secret.expose_secret().to_owned()));
    }
    let secret = step.secret.as_ref().map(|(_, secret)| secret);
    let call = Call::<_, Value>::post(step.path.as_str(), body);
    match vault.send(&op, &call, secret).await? {
        Reply::Success(body) => parse::<Value>(&step.path, &body).map(|_| ()),
        Reply::Absent(_) => Err(VaultError::NotFound { path: step.path.clone() }),
    }
}

/// An existing mount is used if its type is right; its description and tuning belong to the administrator.
fn check_mount(step: &SetupStep, wanted: &Value, present: &Map<String, Value>) -> Result<(), VaultError> {
    let kind = |mount: &dyn Fn(&str) -> Option<Value>| {
        let options = mount("options").and_then(|options| options.get("version").cloned());
        let version =
            options.and_then(|version| version.as_str().map(|version| format!(" version {version}")));
        let kind = mount("type").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
        format!("{kind}{}", version.unwrap_or_default())
    };
    let expected = kind(&|field| wanted.get(field).cloned());
    let found = kind(&|field| present.get(field).cloned());
    if expected == found {
        return Ok(());
    }
    Err(VaultError::Occupied {
        path: step.path.clone(),
        found: format!("a mount of type {found}"),
        expected: format!("type {expected}"),
    })
}

/// The fields of `wanted` that differ in `present`. Vault returns an empty list as null or not at all.
fn differences(wanted: &Value, present: &Map<String, Value>) -> Vec<String> {
    let Value::Object(wanted) = wanted else { return Vec::new() };
    let differs =
        |name: &String, value: &Value| normal(value) != present.get(name).map_or(Value::Null, normal);
    wanted.iter().filter(|(name, value)| differs(name, value)).map(|(name, _)| name.clone()).collect()
}

/// Normalizes values that mean the same.
fn normal(value: &Value) -> Value {
    match value {
        Value::String(text) if text.trim().is_empty() => Value::Null,
        Value::String(text) => Value::String(text.trim().to_owned()),
        Value::Array(values) if values.is_empty() => Value::Null,
        Value::Object(fields) if fields.is_empty() => Value::Null,
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_fields_that_are_wanted_and_different_count() {
        let present = json!({"a": 1, "b": null, "c": "text\n", "d": ["x"], "e": null, "extra": true});
        let Value::Object(present) = present else { panic!("no object") };
        let wanted = json!({"a": 1, "b": [], "c": "text", "d": ["x"], "e": {}, "absent": ""});
        assert!(differences(&wanted, &present).is_empty());
        let wanted = json!({"a": 2, "b": ["y"], "c": "other", "d": []});
        assert_eq!(differences(&wanted, &present), ["a", "b", "c", "d"]);
    }
}
