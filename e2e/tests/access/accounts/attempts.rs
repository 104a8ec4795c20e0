//! What the login of ServiceAccounts adds to the rights of granter and operator, tried with a token of each.

use serde_json::{Value, json};
use subrosa_e2e::installation::AUDIENCE;

use super::MOUNT;
use crate::world::{RECORDING, World};

/// Each with a token as it gets one: what the login adds to the rights of the granter, and that the operator gets nothing by it.
pub async fn neither_process_gets_more_by_it(world: &World, session: &str) {
    let bao = world.env.openbao();
    let token = async |account: &str, vault_role: &str| {
        let namespace = world.installed.names.namespace();
        let jwt = world.env.service_account_token(namespace, account, AUDIENCE).await.unwrap();
        bao.kubernetes_login("kubernetes", vault_role, &jwt).await.unwrap()
    };
    let granter = token("subrosa-granter", "subrosa-granter").await;
    let operator = token("subrosa", "subrosa").await;
    let mounts = bao.request("GET", "sys/auth", None).await.unwrap();
    let accessor = |mount: &str| mounts["data"][format!("{mount}/")]["accessor"].as_str().unwrap().to_owned();
    let (own, people, workloads) = (accessor(MOUNT), accessor("subrosa-people"), accessor("kubernetes"));
    let looked_up = bao.request_as(session, "GET", "auth/token/lookup-self", None).await.unwrap().1;
    let entity = looked_up["data"]["entity_id"].as_str().unwrap().to_owned();
    let found = bao.request("GET", &format!("identity/entity/id/{entity}"), None).await.unwrap();
    let alias_id = found["data"]["aliases"][0]["id"].as_str().unwrap().to_owned();
    let (key, _) = world.sealed("voice", RECORDING).await;
    let others = json!({"type": "internal"});
    let others = bao.request("POST", "identity/group/name/of-others", Some(others)).await.unwrap();
    let others = others["data"]["id"].as_str().unwrap().to_owned();
    let name = |slot: &str| format!("identity/group/name/subrosa_oosterlinde_{slot}");
    let (slot, seals) = (name("open_service-accounts_000"), name("seal_service-accounts_000"));
    let alias = "identity/entity-alias".to_owned();
    let of_both = |tries: &mut Vec<(&'static str, String, Value)>| {
        tries.extend([
            ("POST", slot.clone(), json!({"policies": ["root"]})),
            ("POST", slot.clone(), json!({"name": "mine"})),
            ("POST", slot.clone(), json!({"type": "external"})),
            ("POST", slot.clone(), json!({"member_group_ids": [others]})),
            ("DELETE", slot.clone(), Value::Null),
            ("POST", seals.clone(), json!({"policies": ["root"]})),
            ("POST", seals.clone(), json!({"member_group_ids": [others]})),
            ("DELETE", seals.clone(), Value::Null),
            ("POST", alias.clone(), json!({"name": "x", "mount_accessor": people})),
            ("POST", alias.clone(), json!({"name": "x", "mount_accessor": own, "canonical_id": entity})),
            ("POST", alias.clone(), json!({"name": "x", "mount_accessor": own, "entity_id": entity})),
            ("POST", alias.clone(), json!({"name": "x", "mount_accessor": own, "id": alias_id})),
            (
                "POST",
                alias.clone(),
                json!({"name": "x", "mount_accessor": own, "custom_metadata": {"open": key}}),
            ),
            ("POST", alias.clone(), json!({"name": "x"})),
            (
                "POST",
                format!("identity/entity-alias/id/{alias_id}"),
                json!({"name": "y", "mount_accessor": own}),
            ),
            ("POST", format!("auth/{MOUNT}/role/service-accounts"), json!({"token_policies": ["root"]})),
            ("POST", format!("auth/{MOUNT}/role/mine"), json!({"bound_service_account_names": ["*"]})),
            ("GET", format!("auth/{MOUNT}/role/service-accounts"), Value::Null),
            ("DELETE", format!("auth/{MOUNT}/role/service-accounts"), Value::Null),
            ("POST", format!("auth/{MOUNT}/config"), json!({"kubernetes_host": "https://mine.example"})),
            ("GET", format!("auth/{MOUNT}/config"), Value::Null),
            ("POST", format!("sys/auth/{MOUNT}/tune"), json!({"token_type": "service"})),
            (
                "POST",
                "sys/policies/acl/subrosa-login.oosterlinde.service-accounts".into(),
                json!({"policy": ""}),
            ),
            ("GET", "sys/policies/acl/subrosa-login.oosterlinde.service-accounts".into(), Value::Null),
        ]);
    };
    let mut of_granter = vec![
        // What a slot of theirs opens is the operator's part; a single entity is a member of no other slot.
        ("POST", slot.clone(), json!({"metadata": {"open": key}})),
        ("POST", seals.clone(), json!({"metadata": {"seal": key}})),
        ("POST", slot.clone(), json!({"metadata": {"open": key}, "member_entity_ids": [entity]})),
        ("POST", name("open_strong_000"), json!({"member_entity_ids": [entity]})),
        ("POST", name("seal_clerk_000"), json!({"member_entity_ids": [entity]})),
        ("POST", name("open_break-glass_000"), json!({"member_entity_ids": [entity]})),
        ("POST", name("open_Service-Accounts_000"), json!({"member_entity_ids": [entity]})),
        ("POST", name("group_000"), json!({"member_entity_ids": [entity]})),
        // The operator alone writes the aliases of workloads.
        ("POST", alias.clone(), json!({"name": "x", "mount_accessor": workloads})),
        (
            "POST",
            "identity/group-alias".into(),
            json!({"name": "x", "mount_accessor": own, "canonical_id": others}),
        ),
    ];
    of_both(&mut of_granter);
    let mut of_operator = vec![
        ("POST", slot.clone(), json!({"member_entity_ids": [entity]})),
        ("POST", slot.clone(), json!({"metadata": {"open": key}, "member_entity_ids": [entity]})),
        ("POST", seals.clone(), json!({"member_entity_ids": [entity]})),
        ("POST", alias.clone(), json!({"name": "x", "mount_accessor": own})),
        ("POST", "identity/lookup/entity".into(), json!({"alias_name": "x", "alias_mount_accessor": own})),
        ("GET", format!("auth/{MOUNT}/role"), Value::Null),
    ];
    of_both(&mut of_operator);
    println!("refused in Vault: {} of the granter, {} of the operator", of_granter.len(), of_operator.len());
    for (who, token, tries) in
        [("the granter", &granter, of_granter), ("the operator", &operator, of_operator)]
    {
        for (method, path, body) in tries {
            let body = (!body.is_null()).then_some(body);
            let (status, answer) = bao.request_as(token, method, &path, body.clone()).await.unwrap();
            assert_eq!(status, 403, "{who}: {method} {path} {body:?}: {answer}");
        }
    }
    // What it may, so that the refusals mean something: a member, and an alias with an entity of its own.
    let members = Some(json!({"member_entity_ids": [], "member_group_ids": []}));
    let free = name("open_service-accounts_007");
    let (status, answer) = bao.request_as(&granter, "POST", &free, members).await.unwrap();
    assert!([200, 204].contains(&status), "{status} {answer}");
    let made = Some(json!({"name": "no-uid", "mount_accessor": own}));
    let (status, answer) = bao.request_as(&granter, "POST", &alias, made).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_ne!(answer["data"]["canonical_id"], json!(entity));
}
