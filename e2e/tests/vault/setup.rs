//! Applying the static setup: once, again, after changes by hand, and where it cannot be.

use serde_json::json;
use subrosa_crds::Reason;
use subrosa_records::vault::setup::VaultSetup;
use subrosa_records::vault::setup::apply::{StepOutcome, apply};

use crate::support::Bao;

#[tokio::test]
async fn the_second_application_writes_nothing() {
    let bao = Bao::start().await;
    let report = bao.set_up().await;
    // The key-value engine answers its configuration before anyone has written one.
    let outcomes: Vec<_> = report.iter().map(|step| (step.path.as_str(), step.outcome)).collect();
    for (path, outcome) in &outcomes {
        let expected = if *path == "subrosa/config" { StepOutcome::Updated } else { StepOutcome::Created };
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
            ("subrosa/config", "cas_required".to_owned()),
            ("sys/policies/acl/subrosa-operator", "policy".to_owned()),
            // Vault drops the selector when namespaces are written without it.
            (
                "auth/kubernetes/role/subrosa-workload",
                "bound_service_account_namespace_selector,bound_service_account_namespaces".to_owned(),
            ),
        ]
    );
    assert_eq!(report.iter().filter(|step| step.outcome == StepOutcome::Unchanged).count(), report.len() - 3);
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
