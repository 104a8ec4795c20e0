//! What the granter and the operator cannot do, each with a token as it gets one.

use serde_json::{Value, json};
use subrosa_e2e::installation::AUDIENCE;

use super::world::{RECORDING, World};

pub async fn neither_writer_can_do_the_other_ones_part_nor_more(world: &World) {
    let (key, ciphertext) = world.sealed("voice", RECORDING).await;
    let bao = world.env.openbao();
    let token = async |account: &str, vault_role: &str| {
        let namespace = world.installed.names.namespace();
        let jwt = world.env.service_account_token(namespace, account, AUDIENCE).await.unwrap();
        bao.kubernetes_login("kubernetes", vault_role, &jwt).await.unwrap()
    };
    let (granter, operator) =
        (token("subrosa-granter", "subrosa-granter").await, token("subrosa", "subrosa").await);

    // A group of others, with rights.
    bao.request(
        "POST",
        "sys/policies/acl/of-others",
        Some(json!({"policy": "path \"sys/*\" { capabilities = [\"read\"] }"})),
    )
    .await
    .unwrap();
    let others = json!({"type": "external", "policies": ["of-others"]});
    let others = bao.request("POST", "identity/group/name/of-others", Some(others)).await.unwrap();
    let others = others["data"]["id"].as_str().unwrap().to_owned();
    let slot =
        bao.request("GET", "identity/group/name/subrosa_oosterlinde_open_strong_000", None).await.unwrap();
    let slot_id = slot["data"]["id"].as_str().unwrap().to_owned();
    let accessor = bao.request("GET", "sys/auth", None).await.unwrap();
    let of = |mount: &str| accessor["data"][format!("{mount}/")]["accessor"].as_str().unwrap().to_owned();
    let (people, kubernetes) = (of("subrosa-people"), of("kubernetes"));
    let anna = world.login("strong", "anna", json!({"amr": ["mfa"], "groups": []})).await.unwrap();
    let anna = bao.request_as(&anna, "GET", "auth/token/lookup-self", None).await.unwrap().1;
    let aliases = bao.request("LIST", "identity/entity-alias/id", None).await.unwrap();
    let alias_id = aliases["data"]["keys"][0].as_str().unwrap().to_owned();
    let anna = anna["data"]["entity_id"].as_str().unwrap().to_owned();

    let name = |slot: &str| format!("identity/group/name/{slot}");
    let strong = name("subrosa_oosterlinde_open_strong_000");
    let seals = name("subrosa_oosterlinde_seal_clerk_000");
    let alias = "identity/group-alias".to_owned();
    let tries: Vec<(&str, String, Value)> = vec![
        // What a slot opens is the operator's part, and a person is put in by nobody.
        ("POST", strong.clone(), json!({"metadata": {"open": key}})),
        ("POST", strong.clone(), json!({"member_entity_ids": [anna]})),
        ("POST", strong.clone(), json!({"policies": ["of-others"]})),
        ("POST", strong.clone(), json!({"name": "of-others"})),
        ("POST", strong.clone(), json!({"type": "external"})),
        ("DELETE", strong.clone(), Value::Null),
        ("POST", seals.clone(), json!({"metadata": {"seal": key}})),
        ("POST", seals.clone(), json!({"member_entity_ids": [anna]})),
        ("POST", seals.clone(), json!({"policies": ["of-others"]})),
        ("DELETE", seals.clone(), Value::Null),
        ("POST", name("of-others"), json!({"member_group_ids": []})),
        ("POST", name("subrosa_oosterlinde_group_000"), json!({"policies": ["of-others"]})),
        ("POST", name("subrosa_oosterlinde_group_000"), json!({"member_group_ids": []})),
        ("POST", "identity/group".into(), json!({"name": "mine", "policies": ["of-others"]})),
        ("POST", "identity/group".into(), json!({"id": others, "member_entity_ids": [anna]})),
        ("POST", format!("identity/group/id/{others}"), json!({"member_entity_ids": [anna]})),
        ("POST", format!("identity/group/id/{slot_id}"), json!({"metadata": {"open": key}})),
        ("GET", "identity/group/id".into(), Value::Null),
        // An alias of another group gives people that group's rights; one of another mount, other people.
        ("POST", alias.clone(), json!({"name": "all", "mount_accessor": people, "canonical_id": others})),
        ("POST", alias.clone(), json!({"name": "all", "mount_accessor": people, "canonical_id": slot_id})),
        ("POST", alias.clone(), json!({"name": "all", "mount_accessor": people})),
        ("POST", alias.clone(), json!({"name": "all", "mount_accessor": kubernetes, "canonical_id": others})),
        ("GET", "identity/group-alias/id".into(), Value::Null),
        // People, logins and policies.
        ("POST", "identity/entity".into(), json!({"id": anna, "policies": ["of-others"]})),
        ("POST", format!("identity/entity/id/{anna}"), json!({"policies": ["of-others"]})),
        (
            "POST",
            "identity/entity-alias".into(),
            json!({"name": "x", "mount_accessor": people, "canonical_id": anna}),
        ),
        (
            "POST",
            "identity/entity-alias".into(),
            json!({"name": "x", "mount_accessor": people, "custom_metadata": {}}),
        ),
        ("DELETE", format!("identity/entity-alias/id/{alias_id}"), Value::Null),
        ("POST", format!("identity/entity-alias/id/{alias_id}"), json!({"name": "x"})),
        ("POST", "auth/subrosa-people-break-glass/role/break-glass".into(), json!({"bound_claims": {}})),
        ("GET", "auth/subrosa-people-break-glass/role/break-glass".into(), Value::Null),
        ("POST", "sys/policies/acl/subrosa-login.oosterlinde.break-glass".into(), json!({"policy": ""})),
        ("POST", "subrosa/delete/break-glass".into(), json!({"versions": [1]})),
        ("DELETE", "subrosa/metadata/break-glass".into(), Value::Null),
        ("POST", "identity/entity/merge".into(), json!({"from_entity_ids": [anna], "to_entity_id": anna})),
        ("GET", format!("identity/entity/id/{anna}"), Value::Null),
        // Of an entity it may change whether it is disabled, and nothing beside that in the same request.
        ("POST", format!("identity/entity/id/{anna}"), json!({"disabled": false, "policies": ["of-others"]})),
        ("POST", format!("identity/entity/id/{anna}"), json!({"disabled": false, "metadata": {"a": "b"}})),
        ("POST", format!("identity/entity/id/{anna}"), json!({"disabled": false, "name": "mine"})),
        ("POST", format!("identity/entity/id/{anna}"), json!({"disabled": false, "id": others})),
        ("POST", format!("identity/entity/id/{anna}"), json!({})),
        ("DELETE", format!("identity/entity/id/{anna}"), Value::Null),
        ("POST", "identity/entity".into(), json!({"name": "mine", "disabled": false})),
        ("POST", "identity/entity".into(), json!({"id": anna, "disabled": true})),
        ("POST", "identity/entity/name/mine".into(), json!({"disabled": false})),
        ("POST", "identity/entity/batch-delete".into(), json!({"entity_ids": [anna]})),
        ("GET", "identity/entity/id".into(), Value::Null),
        ("GET", "identity/entity/name".into(), Value::Null),
        ("GET", "identity/entity-alias/id".into(), Value::Null),
        ("POST", "identity/lookup/entity".into(), json!({"id": anna})),
        ("POST", "identity/lookup/entity".into(), json!({"name": "admin"})),
        ("POST", "identity/lookup/entity".into(), json!({"alias_name": "anna"})),
        (
            "POST",
            "identity/lookup/entity".into(),
            json!({"alias_name": "a.jansen", "alias_mount_accessor": of("ldap")}),
        ),
        ("POST", "subrosa/data/revocations-of-others".into(), json!({"data": {}, "options": {"cas": 0}})),
        ("POST", "auth/subrosa-people/role/strong".into(), json!({"bound_claims": {}})),
        ("POST", "auth/subrosa-people/role/mine".into(), json!({"user_claim": "sub"})),
        ("GET", "auth/subrosa-people/role/strong".into(), Value::Null),
        ("POST", "auth/subrosa-people/config".into(), json!({"jwt_validation_pubkeys": []})),
        ("POST", "auth/kubernetes/role/subrosa-granter".into(), json!({"token_policies": ["of-others"]})),
        ("POST", "sys/policies/acl/subrosa-granter".into(), json!({"policy": ""})),
        ("POST", "sys/policies/acl/subrosa-login.oosterlinde.strong".into(), json!({"policy": ""})),
        ("GET", "sys/policies/acl/subrosa-login.oosterlinde.strong".into(), Value::Null),
        ("POST", "auth/token/create".into(), json!({"policies": ["subrosa-login.oosterlinde.strong"]})),
        ("POST", "sys/auth/mine".into(), json!({"type": "jwt"})),
        // Keys, data and records.
        ("POST", format!("transit/decrypt/{key}"), json!({"ciphertext": ciphertext})),
        ("POST", format!("transit/encrypt/{key}"), json!({"plaintext": ""})),
        ("POST", format!("transit/datakey/plaintext/{key}"), json!({})),
        ("GET", format!("transit/keys/{key}"), Value::Null),
        ("GET", format!("transit/export/encryption-key/{key}"), Value::Null),
        ("DELETE", format!("transit/keys/{key}"), Value::Null),
        ("GET", "subrosa/metadata/channels".into(), Value::Null),
        ("POST", "subrosa/data/domain".into(), json!({"data": {}, "options": {"cas": 1}})),
        ("POST", "subrosa/data/decisions/a/b/c".into(), json!({"data": {}, "options": {"cas": 0}})),
    ];
    let of_granter = tries.len();
    for (method, path, body) in tries {
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = bao.request_as(&granter, method, &path, body.clone()).await.unwrap();
        assert_eq!(status, 403, "the granter: {method} {path} {body:?}: {answer}");
    }
    let (status, _) = bao.request_as(&operator, "GET", "subrosa/data/break-glass", None).await.unwrap();
    assert_eq!(status, 403, "who used break-glass is the granter's to know");
    // What it may, so that the refusals mean something.
    let (status, _) = bao.request_as(&granter, "GET", &strong, None).await.unwrap();
    assert_eq!(status, 200);
    let enabled = Some(json!({"disabled": false}));
    let path = format!("identity/entity/id/{anna}");
    let (status, answer) = bao.request_as(&granter, "POST", &path, enabled.clone()).await.unwrap();
    assert!([200, 204].contains(&status), "{status} {answer}");
    // An id that nobody has makes no entity.
    let path = "identity/entity/id/0a1b2c3d-0000-4000-8000-aabbccddeeff";
    let (status, answer) = bao.request_as(&granter, "POST", path, enabled.clone()).await.unwrap();
    assert!(status >= 400, "{status} {answer}");

    // The operator says what a slot opens, and not for whom.
    let record = || json!({"data": {}, "options": {"cas": 0}});
    let glass = name("subrosa_oosterlinde_open_break-glass_000");
    let tries: Vec<(&str, String, Value)> = vec![
        ("POST", strong.clone(), json!({"member_group_ids": [others]})),
        ("POST", strong.clone(), json!({"member_entity_ids": [anna]})),
        ("POST", strong.clone(), json!({"policies": ["of-others"]})),
        ("DELETE", strong.clone(), Value::Null),
        ("POST", seals.clone(), json!({"member_group_ids": [others]})),
        ("POST", seals.clone(), json!({"member_entity_ids": [anna]})),
        ("POST", seals.clone(), json!({"policies": ["of-others"]})),
        ("DELETE", seals.clone(), Value::Null),
        ("POST", name("subrosa_oosterlinde_group_000"), json!({"metadata": {"open": key}})),
        ("POST", alias, json!({"name": "all", "mount_accessor": people, "canonical_id": others})),
        ("POST", format!("identity/entity/id/{anna}"), json!({"disabled": false})),
        ("POST", strong.clone(), json!({"name": "of-others"})),
        ("POST", strong.clone(), json!({"type": "external"})),
        ("POST", strong.clone(), json!({"metadata": {"open": key}, "member_group_ids": [others]})),
        ("POST", glass.clone(), json!({"member_group_ids": [others]})),
        ("POST", glass, json!({"member_entity_ids": [anna]})),
        ("POST", name("of-others"), json!({"metadata": {"open": key}})),
        ("GET", name("of-others"), Value::Null),
        ("GET", name("subrosa_oosterlinde_group_000"), Value::Null),
        ("POST", format!("identity/group/id/{slot_id}"), json!({"member_group_ids": [others]})),
        ("POST", format!("identity/group/id/{slot_id}"), json!({"metadata": {"open": key}})),
        ("POST", "identity/group".into(), json!({"id": slot_id, "member_entity_ids": [anna]})),
        ("GET", "identity/group/id".into(), Value::Null),
        ("GET", "identity/group-alias/id".into(), Value::Null),
        ("POST", "identity/entity".into(), json!({"id": anna, "policies": ["of-others"]})),
        ("POST", format!("identity/entity/id/{anna}"), json!({"disabled": true})),
        ("GET", format!("identity/entity/id/{anna}"), Value::Null),
        ("DELETE", format!("identity/entity/id/{anna}"), Value::Null),
        (
            "POST",
            "identity/entity-alias".into(),
            json!({"name": "x", "mount_accessor": people, "custom_metadata": {"open": key}}),
        ),
        (
            "POST",
            "identity/lookup/entity".into(),
            json!({"alias_name": "anna", "alias_mount_accessor": people}),
        ),
        ("POST", "identity/entity/merge".into(), json!({"from_entity_ids": [anna], "to_entity_id": anna})),
        ("POST", "subrosa/data/revocations".into(), record()),
        ("POST", "subrosa/data/reviews".into(), record()),
        ("POST", "subrosa/data/break-glass".into(), record()),
        ("DELETE", "subrosa/metadata/break-glass".into(), Value::Null),
        ("DELETE", "subrosa/metadata/revocations".into(), Value::Null),
        ("POST", "auth/subrosa-people/role/strong".into(), json!({"bound_claims": {}})),
        ("POST", "auth/subrosa-people/role/mine".into(), json!({"user_claim": "sub"})),
        ("GET", "auth/subrosa-people/role".into(), Value::Null),
        ("GET", "auth/subrosa-people/role/strong".into(), Value::Null),
        ("POST", "auth/subrosa-people/config".into(), json!({"jwt_validation_pubkeys": []})),
        ("POST", "auth/subrosa-people-break-glass/role/break-glass".into(), json!({"bound_claims": {}})),
        (
            "POST",
            "auth/kubernetes/role/subrosa-granter".into(),
            json!({"bound_service_account_names": ["subrosa"]}),
        ),
        ("POST", "sys/policies/acl/subrosa-granter".into(), json!({"policy": ""})),
        ("POST", "sys/policies/acl/subrosa-login.oosterlinde.strong".into(), json!({"policy": ""})),
        ("POST", "sys/policies/acl/subrosa-login.oosterlinde.break-glass".into(), json!({"policy": ""})),
        ("POST", "auth/token/create".into(), json!({"policies": ["subrosa-login.oosterlinde.strong"]})),
        ("POST", format!("transit/decrypt/{key}"), json!({"ciphertext": ciphertext})),
        ("POST", format!("transit/rewrap/{key}"), json!({"ciphertext": ciphertext})),
        ("POST", format!("transit/encrypt/{key}"), json!({"plaintext": ""})),
        ("POST", format!("transit/datakey/plaintext/{key}"), json!({})),
        ("GET", format!("transit/export/encryption-key/{key}"), Value::Null),
    ];
    println!("refused in Vault: {of_granter} requests of the granter, {} of the operator", tries.len());
    assert!(of_granter >= 40 && tries.len() >= 40, "{of_granter} {}", tries.len());
    for (method, path, body) in tries {
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = bao.request_as(&operator, method, &path, body.clone()).await.unwrap();
        assert_eq!(status, 403, "the operator: {method} {path} {body:?}: {answer}");
    }
}
