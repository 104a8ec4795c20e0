//! The two static policies.
//!
//! `+` matches exactly one path segment. `allowed_parameters` admits nothing it does not name, so a parameter
//! that a future Vault adds is refused until someone has looked at it.

use super::{MountPath, SetupParams};
use crate::vault::transit::KeyType;

/// The name of a policy. Policies name mounts, so trust domains with mounts of their own have policies of their own.
pub(super) fn name(policy: &str, kubernetes_mount: &MountPath) -> String {
    match kubernetes_mount.as_str() {
        "kubernetes" => policy.to_owned(),
        mount => format!("{policy}.{}", mount.replace('/', ".")),
    }
}

/// What the operator may do. `accessor` pins everything about identities to the one auth mount.
///
/// Not here, on purpose: encrypt, decrypt, datakey, rewrap, export, backup, restore, import, trim, delete of
/// keys; `deletion_allowed`, `exportable`, `allow_plaintext_backup` and the minimum versions; delete and
/// destroy of records; entities, groups, policies, roles, mounts, tokens.
pub(super) fn operator(params: &SetupParams, accessor: &str) -> String {
    let SetupParams { transit_mount: transit, kv_mount: kv, kubernetes_mount: kubernetes, .. } = params;
    let types = KeyType::ALL.map(|key_type| format!("\"{key_type}\"")).join(", ");
    format!(
        r#"# Keys: make, look at, rotate. No parameter that would let a key out or away.
path "{transit}/keys" {{
  capabilities = ["list"]
}}
path "{transit}/keys/+" {{
  capabilities = ["create", "read", "update"]
  allowed_parameters = {{
    "type" = [{types}]
    "auto_rotate_period" = []
  }}
}}
path "{transit}/keys/+/rotate" {{
  capabilities = ["update"]
}}
path "{transit}/keys/+/config" {{
  capabilities = ["update"]
  allowed_parameters = {{
    "auto_rotate_period" = []
  }}
  denied_parameters = {{
    "deletion_allowed" = []
    "exportable" = []
    "allow_plaintext_backup" = []
    "min_decryption_version" = []
    "min_encryption_version" = []
    "min_available_version" = []
  }}
}}
# Certificate authorities sign with keys that stay here.
path "{transit}/sign/+" {{
  capabilities = ["update"]
  allowed_parameters = {{
    "input" = []
    "key_version" = []
    "hash_algorithm" = ["sha2-256"]
    "marshaling_algorithm" = ["asn1"]
  }}
}}
# The records of the store, of Channels and of their keys: write and read, never delete or destroy.
path "{kv}/data/domain" {{
  capabilities = ["create", "read", "update"]
}}
path "{kv}/data/key-findings" {{
  capabilities = ["create", "read", "update"]
}}
path "{kv}/data/channels/+" {{
  capabilities = ["create", "read", "update"]
}}
path "{kv}/data/keys/+/+/+" {{
  capabilities = ["create", "read", "update"]
}}
path "{kv}/metadata/channels" {{
  capabilities = ["list"]
}}
path "{kv}/metadata/keys/*" {{
  capabilities = ["list"]
}}
# Access: aliases of this one auth mount, whose entity Vault chooses.
path "identity/entity-alias" {{
  capabilities = ["create", "update"]
  allowed_parameters = {{
    "name" = []
    "mount_accessor" = ["{accessor}"]
    "custom_metadata" = []
  }}
  denied_parameters = {{
    "canonical_id" = []
    "entity_id" = []
  }}
  required_parameters = ["name", "mount_accessor"]
}}
path "identity/entity-alias/id" {{
  capabilities = ["list"]
}}
path "identity/entity-alias/id/+" {{
  capabilities = ["read", "delete"]
}}
path "identity/lookup/entity" {{
  capabilities = ["update"]
  allowed_parameters = {{
    "alias_name" = []
    "alias_mount_accessor" = ["{accessor}"]
  }}
  required_parameters = ["alias_name", "alias_mount_accessor"]
}}
# Its own login (anyone may log in; named here so that the mount's accessor may be read) and its own token.
path "auth/{kubernetes}/login" {{
  capabilities = ["update"]
}}
path "auth/token/lookup-self" {{
  capabilities = ["read"]
}}
path "auth/token/renew-self" {{
  capabilities = ["update"]
}}
# The tokens of replicas that led before, by accessors that only their logins told. Listing stays forbidden.
path "auth/token/revoke-accessor" {{
  capabilities = ["update"]
  allowed_parameters = {{
    "accessor" = []
  }}
  required_parameters = ["accessor"]
}}
"#
    )
}

/// What a workload may do: seal with the keys its alias names, and open with those its alias says it may
/// open.
///
/// A key's name begins with the channel's id and a dot, and an id has none: no id is the beginning of
/// another's keys. Without the metadata a line matches nothing. No `create`: sealing under a key that is not
/// there makes none.
pub(super) fn workload(params: &SetupParams, accessor: &str) -> String {
    let transit = &params.transit_mount;
    let metadata = |key: &str| format!("{{{{identity.entity.aliases.{accessor}.custom_metadata.{key}}}}}");
    let (seal, open) = (metadata("subrosa"), metadata("subrosa_open"));
    format!(
        r#"# Seal with one's own keys.
path "{transit}/encrypt/{seal}.*" {{
  capabilities = ["update"]
}}
path "{transit}/datakey/plaintext/{seal}.*" {{
  capabilities = ["update"]
}}
# Open, only where it was granted.
path "{transit}/decrypt/{open}.*" {{
  capabilities = ["update"]
}}
# Its own token.
path "auth/token/lookup-self" {{
  capabilities = ["read"]
}}
path "auth/token/renew-self" {{
  capabilities = ["update"]
}}
"#
    )
}
