//! The static policies of processes and workloads; those of people are in [`people`](super::people).
//!
//! `+` matches exactly one path segment. `allowed_parameters` forbids every parameter that it does not name, so
//! parameters of future Vault versions are rejected until somebody has reviewed them.

use subrosa_plan::access::alias;

use super::{MountPath, SetupParams, people};
use crate::vault::canary;
use crate::vault::transit::TransitKeyType;

/// The name of a policy. It contains the mount, because trust domains with their own mounts need their own policies.
pub(super) fn name(policy: &str, kubernetes_mount: &MountPath) -> String {
    match kubernetes_mount.as_str() {
        "kubernetes" => policy.to_owned(),
        mount => format!("{policy}.{}", mount.replace('/', ".")),
    }
}

/// The operator's policy. `accessor` limits everything about identities to the one auth mount.
///
/// Left out on purpose: encrypt, decrypt, datakey, rewrap, export, backup, restore, import, trim, delete and
/// soft-delete of keys; writing decisions; `deletion_allowed`, `exportable`, `allow_plaintext_backup` and the minimum
/// versions; delete and destroy of records; entities, groups, policies, roles, mounts, tokens.
pub(super) fn operator(params: &SetupParams, accessor: &str) -> String {
    let SetupParams {
        transit_mount: transit,
        authorities_mount: authorities,
        kv_mount: kv,
        kubernetes_mount: kubernetes,
        ..
    } = params;
    let people = people::operator(params);
    let authority = TransitKeyType::EcdsaP256;
    let (signs_there, signs_here) = (signing(authorities), signing(transit));
    let types = TransitKeyType::ALL.map(|key_type| format!("\"{key_type}\"")).join(", ");
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
# Certificate authorities sign with keys that stay in Vault.
path "{authorities}/keys" {{
  capabilities = ["list"]
}}
path "{authorities}/keys/+" {{
  capabilities = ["create", "read", "update"]
  allowed_parameters = {{
    "type" = ["{authority}"]
    "auto_rotate_period" = ["0"]
  }}
}}
path "{authorities}/keys/+/rotate" {{
  capabilities = ["update"]
}}
{signs_there}# Those of earlier releases sign here until they are retired.
{signs_here}# The records of the store, of Channels and of their keys: write and read, never delete or destroy.
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
# What the destroyer decided: to show it.
path "{kv}/data/decisions/+/+/+" {{
  capabilities = ["read"]
}}
path "{kv}/metadata/decisions/*" {{
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
{people}# Its own login (anyone may log in; named here so that the mount's accessor may be read) and its own token.
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

/// The right to sign certificates with the keys of `mount`.
fn signing(mount: &MountPath) -> String {
    format!(
        r#"path "{mount}/sign/+" {{
  capabilities = ["update"]
  allowed_parameters = {{
    "input" = []
    "key_version" = []
    "hash_algorithm" = ["sha2-256"]
    "marshaling_algorithm" = ["asn1"]
  }}
}}
"#
    )
}

/// A workload's policy: seal with the keys that its alias names, and open with those that its alias may open. A backup
/// worker has it too, since its login is the same; its alias names the keys of backups alone.
///
/// A key's name begins with the Channel's id and a dot. An id has no dot, so no id is a prefix of another Channel's
/// keys. Without the metadata a line matches nothing. There is no `create`, so sealing under a missing key does not
/// make one.
pub(super) fn workload(params: &SetupParams, accessor: &str) -> String {
    let transit = &params.transit_mount;
    let metadata = |key: &str| format!("{{{{identity.entity.aliases.{accessor}.custom_metadata.{key}}}}}");
    let (seal, open, backup) = (metadata(alias::SEAL), metadata(alias::OPEN), metadata(alias::BACKUP));
    let adopted: String = alias::ADOPTED
        .iter()
        .map(|key| {
            let id = metadata(key);
            format!("path \"{transit}/decrypt/{id}.*\" {{\n  capabilities = [\"update\"]\n}}\n")
        })
        .collect();
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
# What earlier Channels of its name sealed, where people approved that it adopts their keys.
{adopted}# Back up and restore: keys of repositories, and the seals of what was backed up. No right to data keys.
path "{transit}/datakey/plaintext/{backup}b.*" {{
  capabilities = ["update"]
}}
path "{transit}/decrypt/{backup}b.*" {{
  capabilities = ["update"]
}}
path "{transit}/hmac/{backup}b.*" {{
  capabilities = ["update"]
}}
path "{transit}/verify/{backup}b.*" {{
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

/// The destroyer's policy. To prove that a key is gone it must seal and open canaries, so it may do that, but only
/// with the canary's associated data, which no item of data has, and never in batches.
///
/// Left out on purpose: making or rotating a key, any other setting of it, datakey, rewrap, export, backup, restore,
/// import, trim, sign; writing others' records, delete and destroy of records; everything about identities, policies,
/// roles, mounts, tokens of others.
pub(super) fn destroyer(params: &SetupParams) -> String {
    let SetupParams { transit_mount: transit, kv_mount: kv, kubernetes_mount: kubernetes, .. } = params;
    let may_destroy = if params.shared_transit { String::new() } else { destroying(transit) };
    let look = if params.shared_transit { r#""read""# } else { r#""read", "delete""# };
    format!(
        r#"# Keys.
path "{transit}/keys" {{
  capabilities = ["list"]
}}
path "{transit}/keys/+" {{
  capabilities = [{look}]
}}
{may_destroy}# What others recorded: only read.
path "{kv}/data/domain" {{
  capabilities = ["read"]
}}
path "{kv}/data/channels/+" {{
  capabilities = ["read"]
}}
path "{kv}/data/keys/+/+/+" {{
  capabilities = ["read"]
}}
path "{kv}/metadata/channels" {{
  capabilities = ["list"]
}}
path "{kv}/metadata/keys/*" {{
  capabilities = ["list"]
}}
# What it decides and remembers: nobody else may write it. Never delete or destroy.
path "{kv}/data/decisions/+/+/+" {{
  capabilities = ["create", "read", "update"]
}}
path "{kv}/data/destroyer" {{
  capabilities = ["create", "read", "update"]
}}
path "{kv}/metadata/decisions/*" {{
  capabilities = ["list"]
}}
# Its own login and its own token.
path "auth/{kubernetes}/login" {{
  capabilities = ["update"]
}}
path "auth/token/lookup-self" {{
  capabilities = ["read"]
}}
path "auth/token/renew-self" {{
  capabilities = ["update"]
}}
"#
    )
}

/// The part of the destroyer's policy that destroys.
fn destroying(transit: &MountPath) -> String {
    let (plaintext, associated_data) = (canary::plaintext(), canary::associated_data());
    format!(
        r#"# Out of use and back; then, in this order, deletion is allowed and done. No other setting of a key.
path "{transit}/keys/+/soft-delete" {{
  capabilities = ["delete"]
}}
path "{transit}/keys/+/soft-delete-restore" {{
  capabilities = ["update"]
}}
path "{transit}/keys/+/config" {{
  capabilities = ["update"]
  allowed_parameters = {{
    "deletion_allowed" = [true]
  }}
  required_parameters = ["deletion_allowed"]
}}
# The canary, and nothing else.
path "{transit}/encrypt/+" {{
  capabilities = ["update"]
  allowed_parameters = {{
    "plaintext" = ["{plaintext}"]
    "associated_data" = ["{associated_data}"]
  }}
  required_parameters = ["plaintext", "associated_data"]
}}
path "{transit}/decrypt/+" {{
  capabilities = ["update"]
  allowed_parameters = {{
    "ciphertext" = []
    "associated_data" = ["{associated_data}"]
  }}
  required_parameters = ["ciphertext", "associated_data"]
}}
"#
    )
}
