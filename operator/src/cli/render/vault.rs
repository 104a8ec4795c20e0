//! The writes to Vault, as documents of the kind `VaultChange`.

use serde_json::{Value, json};
use subrosa_crds::{
    GROUP, RetentionPolicy, VERSION,
    names::{BACKUP_CLASS, ChannelId, ChannelRef, data_key_name},
};
use subrosa_plan::{
    access::alias,
    backup::{self, WantedBackup},
    keys::WantedKey,
    world::domain,
};

use super::{channels::Planned, world::Imagined};
use crate::cli::words;

/// A Channel's writes to Vault, in order.
pub fn changes(planned: &Planned, imagined: &Imagined) -> Vec<Value> {
    let change = Change { planned, id: identity(&planned.name, imagined) };
    let mut changes = vec![change.record(), change.authority()];
    let retention = planned.plan.validated.as_ref().and_then(|validated| validated.retention.as_deref());
    if let Some(policy) = retention {
        let known = policy.metadata.name.as_ref().is_none_or(|name| !imagined.policies.contains(name));
        if known {
            let of_data = planned.plan.keys.iter().filter(|key| key.class != BACKUP_CLASS);
            changes.extend(of_data.map(|key| change.key(key, policy)));
        } else {
            changes.extend(change.keys_of_unknown_cohorts());
        }
    }
    let of_backups = planned.plan.keys.iter().filter(|key| key.class == BACKUP_CLASS);
    changes.extend(of_backups.map(|key| change.backup_key(key)));
    changes.extend(change.access());
    changes.extend(change.worker());
    changes
}

/// The identity of a Channel, or a placeholder where the namespace's UID is unknown.
pub fn identity(channel: &ChannelRef, imagined: &Imagined) -> String {
    let uid = imagined.world.namespaces.get(&channel.namespace).map(|facts| facts.uid.as_str());
    match uid.unwrap_or_default() {
        "" => format!("<id:{channel}>"),
        uid => ChannelId::mint(uid, &channel.name).to_string(),
    }
}

/// A write to Vault for the object `of`.
pub fn document(
    of: &ChannelRef,
    domain: &str,
    operation: &str,
    path: String,
    body: Value,
    why: &str,
) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "VaultChange",
        "metadata": {"name": of.name, "namespace": of.namespace},
        "trustDomain": domain,
        "operation": operation,
        "path": path,
        "body": body,
        "why": why,
    })
}

struct Change<'a> {
    planned: &'a Planned,
    id: String,
}

impl Change<'_> {
    fn document(&self, operation: &str, path: String, body: Value, why: &str) -> Value {
        let domain = self.planned.plan.domain.metadata.name.as_deref().unwrap_or_default();
        document(&self.planned.name, domain, operation, path, body, why)
    }

    fn record(&self) -> Value {
        let mount = domain::kv_mount(&self.planned.plan.domain);
        let path = format!("{mount}/data/channels/{}", self.id);
        self.document(
            "WriteRecord",
            path,
            json!({"options": {"cas": 0}}),
            "what must be remembered of this Channel",
        )
    }

    fn authority(&self) -> Value {
        let mount = domain::authorities_mount(&self.planned.plan.domain);
        let why = "signs this Channel's certificates; never leaves Vault";
        self.create(format!("{mount}/keys/{}", self.id), "ecdsa-p256", "0", why)
    }

    fn key(&self, key: &WantedKey, policy: &RetentionPolicy) -> Value {
        let keep =
            policy.spec.classes.iter().find(|class| class.name == key.class).map(|class| class.keep.clone());
        let due =
            keep.and_then(|keep| key.cohort.due(keep.parse().ok()?).ok()).filter(|_| !key.cohort.is_open());
        let ends = match due {
            Some(due) => format!("due for destruction on {due}"),
            None => "waits for its anchor date".to_owned(),
        };
        let rotation = key.rotate_every.map_or_else(|| "0".to_owned(), words::duration);
        let why = format!("seals {} of cohort {}: {ends}", key.class, key.cohort);
        self.create(
            self.data_key(&key.class, &key.cohort.to_string()),
            key.key_type.as_str(),
            &rotation,
            &why,
        )
    }

    // The cohorts depend on the retention policy, which is unknown.
    fn keys_of_unknown_cohorts(&self) -> Vec<Value> {
        let mut keys = self.planned.plan.keys.iter().filter(|key| key.class != BACKUP_CLASS);
        let Some(first) = keys.next() else { return Vec::new() };
        let rotation = first.rotate_every.map_or_else(|| "0".to_owned(), words::duration);
        let classes = self.planned.declared.object.data_classes();
        let key = |class: &String| {
            let why = format!("seals {class} of one cohort; its retention policy is not known");
            self.create(self.data_key(class, "<cohort>"), first.key_type.as_str(), &rotation, &why)
        };
        classes.iter().map(key).collect()
    }

    fn backup_key(&self, key: &WantedKey) -> Value {
        let path = self.data_key(&key.class, &key.cohort.to_string());
        let rotation = key.rotate_every.map_or_else(|| "0".to_owned(), words::duration);
        let why = format!("encrypts the backups of window {}", key.cohort);
        self.create(path, key.key_type.as_str(), &rotation, &why)
    }

    /// What the backup worker may; its ServiceAccount is made with it.
    fn worker(&self) -> Option<Value> {
        if !matches!(self.planned.plan.backup, WantedBackup::Wanted(_)) {
            return None;
        }
        let name = &self.planned.name;
        let account = backup::name(&name.name);
        let body = json!({
            "name": format!("<uid of ServiceAccount {}/{account}>", name.namespace),
            "mount_accessor": format!("<accessor of auth/{}>", domain::auth_mount(&self.planned.plan.domain)),
            "custom_metadata": {alias::BACKUP: self.id},
        });
        let why = "the pods that make backups use the keys of backups, and no other";
        Some(self.document("GrantAccess", "identity/entity-alias".to_owned(), body, why))
    }

    fn data_key(&self, class: &str, cohort: &str) -> String {
        let mount = domain::transit_mount(&self.planned.plan.domain);
        format!("{mount}/keys/{}", data_key_name(&self.id, class, cohort))
    }

    fn create(&self, path: String, kind: &str, rotation: &str, why: &str) -> Value {
        let body = json!({"type": kind, "auto_rotate_period": rotation});
        self.document("CreateKey", path, body, why)
    }

    fn access(&self) -> Option<Value> {
        let access = self.planned.plan.access.as_ref()?;
        let mut metadata = json!({"subrosa": self.id});
        let mut may = "may seal with this Channel's keys";
        if access.may_open
            && let Some(metadata) = metadata.as_object_mut()
        {
            metadata.insert("subrosa_open".to_owned(), json!(self.id));
            may = "may seal and open with this Channel's keys";
        }
        let body = json!({
            "name": access.service_account_uid,
            "mount_accessor": format!("<accessor of auth/{}>", domain::auth_mount(&self.planned.plan.domain)),
            "custom_metadata": metadata,
        });
        Some(self.document("GrantAccess", "identity/entity-alias".to_owned(), body, may))
    }
}
