//! Who can open what: a second Channel's worker nothing of the first, and a worker no sealed data.

use std::fs;

use serde_json::json;
use subrosa_worker::backup::{problem::BackupProblem, restore::WhichRun};

use crate::scene::{ID, OTHER, noise, shared};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_channels_worker_opens_nothing_of_the_first() {
    let scene = shared().await;
    let objects = scene.s3.bucket("confined").unwrap();
    fs::write(scene.volume("confined").join("file"), noise(1000, 1)).unwrap();
    let worker = scene.worker(ID, "confined").await;
    let report = worker.run("confined").await;
    assert_eq!(report.reason, None, "{report:?}");
    let window = report.window.unwrap();

    // With the settings of the first, and its own identity.
    let mut thief = scene.worker(OTHER, "confined").await;
    thief.settings.id = ID.parse().unwrap();
    let refused = thief.restore(&scene.at("confined/stolen"), WhichRun::Newest).await.unwrap_err();
    assert_eq!(refused.problem, BackupProblem::VaultRefused, "{refused}");
    // With the objects of the first under its own name.
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([objects.join(ID), objects.join(OTHER)])
        .status()
        .unwrap();
    assert!(copied.success());
    thief.settings.id = OTHER.parse().unwrap();
    let refused = thief.restore(&scene.at("confined/stolen"), WhichRun::Newest).await.unwrap_err();
    assert_eq!(refused.problem, BackupProblem::ManifestForged, "{refused}");
    assert!(!scene.at("confined/stolen").exists());
    // And the wrapped key itself.
    let wrapped = fs::read_to_string(objects.join(ID).join(&window).join("key.json")).unwrap();
    let wrapped: serde_json::Value = serde_json::from_str(&wrapped).unwrap();
    for (key, expected) in [(ID, 403), (OTHER, 400)] {
        let path = format!("transit/decrypt/{key}b.subrosa-backup.{window}");
        let (status, answer) =
            scene.raw(&thief.token, "POST", &path, json!({"ciphertext": wrapped["wrapped"]})).await;
        assert_eq!(status, expected, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_opens_no_sealed_data_and_makes_no_key() {
    let scene = shared().await;
    let worker = scene.worker(ID, "sealed").await;
    let sealed = format!("{ID}.call-recording.2026m12");
    let answer =
        scene.admin("POST", &format!("transit/encrypt/{sealed}"), json!({"plaintext": "YQ=="})).await;
    let ciphertext = &answer["data"]["ciphertext"];
    let key = format!("{ID}b.subrosa-backup.2020m01");
    for (method, path, body) in [
        ("POST", format!("transit/decrypt/{sealed}"), json!({"ciphertext": ciphertext})),
        ("POST", format!("transit/encrypt/{sealed}"), json!({"plaintext": "YQ=="})),
        ("POST", format!("transit/datakey/plaintext/{sealed}"), json!({})),
        ("POST", format!("transit/hmac/{sealed}"), json!({"input": "YQ=="})),
        ("POST", format!("transit/keys/{key}"), json!({})),
        ("POST", format!("transit/encrypt/{key}"), json!({"plaintext": "YQ=="})),
        ("DELETE", format!("transit/keys/{sealed}"), json!({})),
        ("GET", format!("transit/export/encryption-key/{sealed}"), json!({})),
        ("GET", "transit/keys?list=true".into(), json!({})),
    ] {
        let (status, answer) = scene.raw(&worker.token, method, &path, body).await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
    // The right is there, and the key is not.
    let path = format!("transit/datakey/plaintext/{key}");
    let (status, answer) = scene.raw(&worker.token, "POST", &path, json!({})).await;
    assert!(matches!(status, 400 | 403 | 404), "{status} {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_without_a_key_is_told() {
    let scene = shared().await;
    scene.s3.bucket("keyless").unwrap();
    fs::write(scene.volume("keyless").join("file"), noise(1000, 1)).unwrap();
    let id = "cccccccccccccccc";
    let worker = scene.worker(id, "keyless").await;
    let report = worker.run("keyless").await;
    assert_eq!(report.reason.as_deref(), Some("KeyMissing"), "{report:?}");
}
