//! Entities, groups and aliases.

use serde_json::{Value, json};

use super::Root::{Permitted, Works};
use super::{Try, attempt};
use crate::confinement::Prey;

/// What would make somebody else of the holder, or give it to somebody else.
pub fn identities(prey: &Prey) -> Vec<Try> {
    let Prey { entity, alias, kubernetes, userpass, holder, holders_entity, holders_alias, .. } = prey;
    let admin = json!({"policies": ["admin"]});
    let with = |extra: Value| {
        let mut body = json!({
            "name": holder, "mount_accessor": kubernetes, "custom_metadata": {"subrosa": "a"},
        });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    vec![
        attempt(
            "make an entity with policies",
            "POST",
            "identity/entity",
            json!({"name": "evil", "policies": ["admin"]}),
            Works,
        ),
        attempt(
            "give its entity policies",
            "POST",
            format!("identity/entity/id/{holders_entity}"),
            admin.clone(),
            Works,
        ),
        attempt("give an entity policies by name", "POST", "identity/entity/name/evil", admin.clone(), Works),
        attempt("read an entity", "GET", format!("identity/entity/id/{entity}"), json!(null), Works),
        attempt("list entities", "LIST", "identity/entity/id", json!(null), Works),
        attempt(
            "make a group with policies and itself in it",
            "POST",
            "identity/group",
            json!({"name": "evil", "policies": ["admin"], "member_entity_ids": [holders_entity]}),
            Works,
        ),
        attempt("make a group by name", "POST", "identity/group/name/evil", admin, Works),
        attempt(
            "make a group alias",
            "POST",
            "identity/group-alias",
            json!({"name": "evil", "mount_accessor": userpass}),
            Permitted,
        ),
        attempt(
            "point its alias at an administrator's entity",
            "POST",
            "identity/entity-alias",
            with(json!({"canonical_id": entity})),
            Works,
        ),
        attempt(
            "the same under the old name",
            "POST",
            "identity/entity-alias",
            with(json!({"entity_id": entity})),
            Works,
        ),
        attempt(
            "the same through the alias id",
            "POST",
            format!("identity/entity-alias/id/{holders_alias}"),
            with(json!({"canonical_id": entity})),
            Works,
        ),
        attempt(
            "update by a foreign alias id",
            "POST",
            "identity/entity-alias",
            with(json!({"id": alias})),
            Permitted,
        ),
        attempt(
            "alias metadata on another mount",
            "POST",
            "identity/entity-alias",
            json!({"name": "alice", "mount_accessor": userpass, "custom_metadata": {"subrosa": "a"}}),
            Works,
        ),
        attempt(
            "alias of another mount's new name",
            "POST",
            "identity/entity-alias",
            json!({"name": "mallory", "mount_accessor": userpass}),
            Works,
        ),
        attempt(
            "an alias without a mount",
            "POST",
            "identity/entity-alias",
            json!({"name": "mallory"}),
            Permitted,
        ),
        attempt("a persona", "POST", "identity/persona", with(json!({"entity_id": entity})), Permitted),
        attempt(
            "look up an entity by name",
            "POST",
            "identity/lookup/entity",
            json!({"name": "admin"}),
            Works,
        ),
        attempt(
            "look up an alias of another mount",
            "POST",
            "identity/lookup/entity",
            json!({"alias_name": "alice", "alias_mount_accessor": userpass}),
            Works,
        ),
        attempt("look up a group", "POST", "identity/lookup/group", json!({"name": "evil"}), Works),
        attempt(
            "make an OIDC key",
            "POST",
            "identity/oidc/key/evil",
            json!({"allowed_client_ids": ["*"]}),
            Works,
        ),
        attempt("make an OIDC role", "POST", "identity/oidc/role/evil", json!({"key": "evil"}), Works),
        attempt("get an OIDC token", "GET", "identity/oidc/token/evil", json!(null), Permitted),
        attempt(
            "merge entities",
            "POST",
            "identity/entity/merge",
            json!({"from_entity_ids": [holders_entity], "to_entity_id": entity, "force": true}),
            Works,
        ),
        attempt("delete an entity", "DELETE", format!("identity/entity/id/{entity}"), json!(null), Works),
    ]
}
