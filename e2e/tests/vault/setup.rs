//! Applying the static setup: once, again, after changes by hand, and where it cannot be.

use serde_json::json;
use subrosa_crds::Reason;
use subrosa_records::vault::setup::apply::{StepOutcome, apply};
use subrosa_records::vault::setup::{SetupParams, VaultSetup};

use crate::support::Bao;

#[tokio::test]
async fn the_second_application_writes_nothing() {
    let bao = Bao::start().await;
    let report = bao.set_up().await;
    // The engines answer their configuration before anyone has written one.
    let outcomes: Vec<_> = report.iter().map(|step| (step.path.as_str(), step.outcome)).collect();
    for (path, outcome) in &outcomes {
        let configured = ["subrosa/config", "transit/config/keys"].contains(path);
        let expected = if configured { StepOutcome::Updated } else { StepOutcome::Created };
        assert_eq!(*outcome, expected, "{path}");
    }
    let mut params = bao.params();
    let root = bao.root();
    let second = apply(&root, &VaultSetup::new(&params).unwrap()).await.unwrap();
    for step in &second {
        // A JWT cannot be read back, so given again it is written again.
        let expected = if step.path == "auth/kubernetes/config" {
            StepOutcome::Refreshed
        } else {
            StepOutcome::Unchanged
        };
        assert_eq!(step.outcome, expected, "{step:?}");
    }
    params.kubernetes.reviewer_jwt = None;
    let third = apply(&root, &VaultSetup::new(&params).unwrap()).await.unwrap();
    assert!(third.iter().all(|step| step.outcome == StepOutcome::Unchanged), "{third:?}");
}

#[tokio::test]
async fn a_new_mount_that_is_not_ready_yet_is_waited_for() {
    let bao = Bao::start_on_disk().await;
    for round in 0..10 {
        let mut params = bao.params();
        params.kv_mount = crate::support::mount(&format!("record-{round}"));
        let report = apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap();
        let config = report.iter().find(|step| step.path == format!("record-{round}/config")).unwrap();
        assert_eq!(config.outcome, StepOutcome::Updated);
    }
}

#[tokio::test]
async fn what_was_changed_by_hand_is_put_right_and_named() {
    let bao = Bao::start().await;
    bao.set_up().await;
    bao.admin(
        "POST",
        "sys/policies/acl/subrosa-operator",
        json!({"policy": "path \"*\" { capabilities = [\"sudo\"] }"}),
    )
    .await;
    bao.admin(
        "POST",
        "auth/kubernetes/role/subrosa-workload",
        json!({"bound_service_account_namespaces": ["*"]}),
    )
    .await;
    bao.admin("POST", "subrosa/config", json!({"cas_required": false})).await;
    bao.admin("POST", "transit/config/keys", json!({"disable_upsert": false})).await;
    bao.admin(
        "POST",
        "sys/policies/acl/subrosa-destroyer",
        json!({"policy": "path \"transit/*\" { capabilities = [\"update\"] }"}),
    )
    .await;
    bao.admin("POST", "auth/kubernetes/role/subrosa-destroyer", json!({"token_policies": ["admin"]})).await;
    let mut params = bao.params();
    params.kubernetes.reviewer_jwt = None;
    let report = apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap();
    let updated: Vec<_> = report
        .iter()
        .filter(|step| step.outcome == StepOutcome::Updated)
        .map(|step| (step.path.as_str(), step.changed.join(",")))
        .collect();
    assert_eq!(
        updated,
        [
            ("transit/config/keys", "disable_upsert".to_owned()),
            ("subrosa/config", "cas_required".to_owned()),
            ("sys/policies/acl/subrosa-operator", "policy".to_owned()),
            ("sys/policies/acl/subrosa-destroyer", "policy".to_owned()),
            // Vault drops the selector when namespaces are written without it.
            (
                "auth/kubernetes/role/subrosa-workload",
                "bound_service_account_namespace_selector,bound_service_account_namespaces".to_owned(),
            ),
            ("auth/kubernetes/role/subrosa-destroyer", "token_policies".to_owned()),
        ]
    );
    let unchanged = report.iter().filter(|step| step.outcome == StepOutcome::Unchanged).count();
    assert_eq!(unchanged, report.len() - updated.len());
}

/// Others keep keys on the mount: nothing is written, until somebody says that this is meant.
#[tokio::test]
async fn a_transit_mount_with_keys_of_others_is_not_taken() {
    const FOREIGN: &str = "payments";
    let bao = Bao::start().await;
    bao.admin("POST", "sys/mounts/transit", json!({"type": "transit"})).await;
    bao.admin("POST", &format!("transit/keys/{FOREIGN}"), json!({})).await;
    bao.admin("POST", "transit/keys/abcdefghijklmnop.chat.2026", json!({})).await;
    let mut params = bao.params();
    let error = apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::VaultPathOccupied);
    assert!(error.to_string().contains("(1, such as payments)"), "{error}");
    assert!(error.next_step().contains("--shared-transit"), "{}", error.next_step());
    // Nor on the mount for authorities: no flag says that this is meant.
    bao.admin("POST", "sys/mounts/transit-ca", json!({"type": "transit"})).await;
    bao.admin("POST", "transit-ca/keys/abcdefghijklmnop", json!({"type": "ecdsa-p256"})).await;
    bao.admin("POST", "transit-ca/keys/abcdefghijklmnop.ca", json!({"type": "ecdsa-p256"})).await;
    params.shared_transit = true;
    let error = apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("(1, such as abcdefghijklmnop.ca)"), "{error}");
    assert!(error.next_step().contains("spec.vault.mounts.authorities"), "{}", error.next_step());
    bao.admin("POST", "transit-ca/keys/abcdefghijklmnop.ca/config", json!({"deletion_allowed": true})).await;
    bao.admin("DELETE", "transit-ca/keys/abcdefghijklmnop.ca", json!(null)).await;
    let status = async |path: &str| bao.raw(bao.root_token(), "GET", path, json!(null)).await.0;
    for path in ["sys/policies/acl/subrosa-operator", "subrosa/config", "auth/kubernetes/config"] {
        assert!(status(path).await >= 400, "{path} was written");
    }

    let report = apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap();
    assert!(report.iter().all(|step| step.path != "transit/config/keys"), "others may rely on it");
    // The destroyer reads there and nothing else: neither their keys nor ours can be destroyed.
    let wanted = json!({"policies": ["subrosa-destroyer"], "no_default_policy": true});
    let answer = bao.admin("POST", "auth/token/create", wanted).await;
    let token = answer["auth"]["client_token"].as_str().unwrap();
    for key in [FOREIGN, "abcdefghijklmnop.chat.2026"] {
        let path = format!("transit/keys/{key}");
        assert_eq!(bao.raw(token, "GET", &path, json!(null)).await.0, 200);
        for (method, path, body) in [
            ("DELETE", path.clone(), json!(null)),
            ("DELETE", format!("{path}/soft-delete"), json!(null)),
            ("POST", format!("{path}/soft-delete-restore"), json!({})),
            ("POST", format!("{path}/config"), json!({"deletion_allowed": true})),
            ("POST", format!("transit/encrypt/{key}"), json!({"plaintext": "YQ=="})),
        ] {
            let (status, answer) = bao.raw(token, method, &path, body).await;
            assert_eq!(status, 403, "{method} {path}: {answer}");
        }
    }

    // With only our keys left it is a mount of our own.
    bao.admin("POST", &format!("transit/keys/{FOREIGN}/config"), json!({"deletion_allowed": true})).await;
    bao.admin("DELETE", &format!("transit/keys/{FOREIGN}"), json!(null)).await;
    bao.admin("GET", "transit/wrapping_key", json!(null)).await;
    params.shared_transit = false;
    apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap();
    let config = bao.admin("GET", "transit/config/keys", json!(null)).await;
    assert_eq!(config["data"]["disable_upsert"], json!(true));
}

/// Others may make keys there, though they have made none yet: nothing is written until their policy is narrower.
#[tokio::test]
async fn a_transit_mount_on_which_others_may_make_keys_is_not_taken() {
    let bao = Bao::start().await;
    let write = async |policy: &str, text: &str| {
        let body = json!({"policy": text});
        bao.admin("POST", &format!("sys/policies/acl/{policy}"), body).await;
    };
    write("of-administrators", r#"path "*" { capabilities = ["create", "read", "update", "sudo"] }"#).await;
    write("of-a-team", r#"path "transit/encrypt/team" { capabilities = ["create", "update"] }"#).await;
    let mut params = bao.params();
    let refused = async |params: &SetupParams| {
        let error = apply(&bao.root(), &VaultSetup::new(params).unwrap()).await.unwrap_err();
        assert_eq!(error.reason(), Reason::VaultPathOccupied);
        for path in ["sys/mounts/transit", "sys/policies/acl/subrosa-operator", "auth/kubernetes/config"] {
            let status = bao.raw(bao.root_token(), "GET", path, json!(null)).await.0;
            assert!(status >= 400, "{path} was written");
        }
        format!("{error}; {}", error.next_step())
    };
    for (policy, rule) in [
        ("team", r#"path "transit/keys/team-*" { capabilities = ["update"] }"#),
        ("team", r#"{"path": {"+/restore/*": {"capabilities": ["update"]}}}"#),
        ("default", r#"path "transit/*" { capabilities = ["create", "read"] }"#),
    ] {
        let before = bao.raw(bao.root_token(), "GET", "sys/policies/acl/default", json!(null)).await.1;
        write(policy, rule).await;
        let told = refused(&params).await;
        let path = rule.split('"').find(|part| part.contains('/')).unwrap();
        assert!(told.contains(&format!("policy {policy} in Vault gives")) && told.contains(path), "{told}");
        assert!(told.contains("--shared-transit"), "{told}");
        write("default", before["data"]["policy"].as_str().unwrap()).await;
        write("team", "# nothing").await;
    }
    write("team", r#"path "transit-ca/encrypt/*" { capabilities = ["create", "update"] }"#).await;
    params.shared_transit = true;
    let told = refused(&params).await;
    assert!(told.contains("transit mount transit-ca") && !told.contains("--shared"), "{told}");

    write("team", r#"path "transit/*" { capabilities = ["create", "update"] }"#).await;
    apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap();
    params.shared_transit = false;
    apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap_err();
    let narrowed = r#"
        path "transit/*" { capabilities = ["create", "update"] }
        path "transit/keys/*" { capabilities = ["deny"] }
        path "transit/restore*" { capabilities = ["deny"] }
    "#;
    write("team", narrowed).await;
    apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap();
    // What the matcher takes for no right is none.
    let wanted = json!({"policies": ["team"], "no_default_policy": true});
    let answer = bao.admin("POST", "auth/token/create", wanted).await;
    let token = answer["auth"]["client_token"].as_str().unwrap();
    for path in ["transit/keys/team", "transit/keys/team/import", "transit/restore", "transit/restore/team"] {
        assert_eq!(bao.raw(token, "POST", path, json!({})).await.0, 403, "{path}");
    }
}

/// An administrator's own request, which may make keys, makes none by sealing.
#[tokio::test]
async fn nobody_makes_a_key_by_sealing_with_it() {
    let bao = Bao::start().await;
    bao.set_up().await;
    let body = json!({"plaintext": "YQ=="});
    let sealed = bao.raw(bao.root_token(), "POST", "transit/encrypt/abcdefghijklmnop.chat.2026", body).await;
    assert_eq!(sealed.0, 400, "{}", sealed.1);
    assert_eq!(bao.raw(bao.root_token(), "LIST", "transit/keys", json!(null)).await.0, 404);
}

#[tokio::test]
async fn the_destroyers_role_is_not_taken_from_another_installation() {
    let bao = Bao::start().await;
    bao.set_up().await;
    let mut params = bao.params();
    params.destroyer_service_account = "another".into();
    let error = apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::VaultRoleTaken);
    assert!(error.to_string().contains("subrosa-destroyer"), "{error}");
}

/// With an auth mount of its own a second trust domain has roles of its own; its records would be the first one's.
#[tokio::test]
async fn the_records_of_another_trust_domain_are_not_taken() {
    let bao = Bao::start().await;
    bao.set_up().await;
    let mut params = bao.params();
    let record = json!({"schema": 1, "storeId": "beef", "trustDomain": params.trust_domain, "cluster": "c"});
    bao.admin("POST", "subrosa/data/domain", json!({"options": {"cas": 0}, "data": record})).await;
    apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap();
    params.trust_domain = "westerlicht".into();
    params.kubernetes_mount = crate::support::mount("kubernetes-west");
    params.transit_mount = crate::support::mount("transit-west");
    params.authorities_mount = crate::support::mount("transit-west-ca");
    let error = apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::StoreOfAnotherDomain);
    assert!(error.next_step().contains("spec.vault.mounts.kv"), "{}", error.next_step());
    for mount in ["sys/auth/kubernetes-west", "sys/mounts/transit-west"] {
        let status = bao.raw(bao.root_token(), "GET", mount, json!(null)).await.0;
        assert!(status >= 400, "{mount} was made");
    }
    params.kv_mount = crate::support::mount("record-west");
    apply(&bao.root(), &VaultSetup::new(&params).unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_mount_of_another_kind_is_not_taken_over() {
    let bao = Bao::start().await;
    bao.admin("POST", "sys/mounts/subrosa", json!({"type": "kv", "options": {"version": "1"}})).await;
    let error = apply(&bao.root(), &VaultSetup::new(&bao.params()).unwrap()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::VaultPathOccupied);
    assert!(error.to_string().contains("kv version 1"), "{error}");
}

#[tokio::test]
async fn an_administrator_without_rights_is_told_the_line() {
    let bao = Bao::start().await;
    let answer = bao.admin("POST", "auth/token/create", json!({"policies": ["default"]})).await;
    let vault = bao.with_token(answer["auth"]["client_token"].as_str().unwrap());
    let error = apply(&vault, &VaultSetup::new(&bao.params()).unwrap()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::VaultPermissionDenied);
    assert!(error.next_step().contains("path \"sys/mounts"), "{}", error.next_step());
}
