//! What the destroyer does with a key, with no more rights than its policy gives.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use subrosa_crds::Reason;
use subrosa_crds::names::DataKeyName;
use subrosa_records::vault::canary::{ASSOCIATED_DATA, CanaryAnswer};
use subrosa_records::vault::destroy::DestroyableKeys;
use subrosa_records::vault::kv::Kv;
use subrosa_records::vault::transit::{Transit, TransitKeyType};
use subrosa_records::vault::{ClassName, Folder, RecordPath, TransitKeyName};

use crate::support::{Bao, mount};

const KEY: &str = "abcdefghijklmnop.call-recording.2026w47";

fn name() -> DataKeyName {
    KEY.parse().unwrap()
}

/// A server with one key, made by the operator, and the destroyer's view of it.
async fn with_a_key() -> (Bao, DestroyableKeys) {
    let bao = Bao::start().await;
    let operator = Transit::new(bao.operator().await, mount("transit"));
    operator.create_key(&TransitKeyName::new(KEY).unwrap(), TransitKeyType::Aes256Gcm96, None).await.unwrap();
    let keys = DestroyableKeys::new(bao.destroyer().await, mount("transit"));
    (bao, keys)
}

#[tokio::test]
async fn a_key_goes_out_of_use_comes_back_and_is_deleted_for_good() {
    let (bao, keys) = with_a_key().await;
    let name = name();
    let first = keys.read_key(&name).await.unwrap().unwrap();
    assert!(!first.soft_deleted && !first.deletion_allowed);

    let canary = keys.seal_canary(&name).await.unwrap();
    assert_eq!(keys.open_canary(&name, &canary).await.unwrap(), CanaryAnswer::Opened);
    let in_use = keys.delete(&name).await.unwrap_err();
    assert_eq!(in_use.reason(), Reason::VaultRequestRefused);
    assert!(in_use.to_string().contains("not soft-deleted"), "{in_use}");

    let asleep = keys.soft_delete(&name).await.unwrap();
    assert!(asleep.soft_deleted && asleep.versions == first.versions);
    assert_eq!(keys.soft_delete(&name).await.unwrap(), asleep, "twice is once");
    assert_eq!(keys.open_canary(&name, &canary).await.unwrap(), CanaryAnswer::SoftDeleted);
    assert!(keys.seal_canary(&name).await.unwrap_err().to_string().contains("soft-deleted"));
    let not_yet = keys.delete(&name).await.unwrap_err();
    assert!(not_yet.to_string().contains("deletion is not allowed"), "{not_yet}");

    assert_eq!(keys.restore(&name).await.unwrap(), first);
    assert_eq!(keys.restore(&name).await.unwrap(), first, "twice is once");
    assert_eq!(keys.open_canary(&name, &canary).await.unwrap(), CanaryAnswer::Opened);

    keys.soft_delete(&name).await.unwrap();
    let last = keys.allow_deletion(&name).await.unwrap();
    assert!(last.deletion_allowed && last.soft_deleted && last.versions == first.versions);
    keys.delete(&name).await.unwrap();
    assert_eq!(keys.read_key(&name).await.unwrap(), None);
    assert_eq!(keys.open_canary(&name, &canary).await.unwrap(), CanaryAnswer::KeyNotFound);
    assert_eq!(bao.raw(bao.root_token(), "GET", &format!("transit/keys/{KEY}"), json!(null)).await.0, 404);

    // Another key of the same name is not taken for it.
    bao.admin("POST", &format!("transit/keys/{KEY}"), json!({})).await;
    assert_eq!(keys.open_canary(&name, &canary).await.unwrap(), CanaryAnswer::DoesNotFit);
    let later = canary.replacen("vault:v1:", "vault:v2:", 1);
    assert_eq!(keys.open_canary(&name, &later).await.unwrap(), CanaryAnswer::DoesNotFit);
}

#[tokio::test]
async fn of_a_key_that_is_not_there_nothing_is_said_to_be_done() {
    let (bao, keys) = with_a_key().await;
    let absent: DataKeyName = "abcdefghijklmnop.call-recording.2027w01".parse().unwrap();
    assert_eq!(keys.read_key(&absent).await.unwrap(), None);
    for (what, error) in [
        ("soft_delete", keys.soft_delete(&absent).await.unwrap_err()),
        ("restore", keys.restore(&absent).await.unwrap_err()),
        ("allow_deletion", keys.allow_deletion(&absent).await.unwrap_err()),
        ("delete", keys.delete(&absent).await.unwrap_err()),
        ("seal_canary", keys.seal_canary(&absent).await.unwrap_err()),
    ] {
        assert_eq!(error.reason(), Reason::VaultNotFound, "{what}: {error}");
    }
    let canary = keys.seal_canary(&name()).await.unwrap();
    assert_eq!(keys.open_canary(&absent, &canary).await.unwrap(), CanaryAnswer::KeyNotFound);
    let listed = bao.admin("LIST", "transit/keys", json!(null)).await;
    assert_eq!(listed["data"]["keys"], json!([KEY]), "nothing was made");
}

#[tokio::test]
async fn only_a_canary_opens_for_the_destroyer() {
    let (bao, keys) = with_a_key().await;
    let name = name();
    let sealed = async |associated_data: &str, plaintext: &str| {
        let body = json!({"plaintext": STANDARD.encode(plaintext), "associated_data": STANDARD.encode(associated_data)});
        let answer = bao.admin("POST", &format!("transit/encrypt/{KEY}"), body).await;
        answer["data"]["ciphertext"].as_str().unwrap().to_owned()
    };
    let item = sealed("subrosa/v1 item 4711", "a recording's key").await;
    assert_eq!(keys.open_canary(&name, &item).await.unwrap(), CanaryAnswer::DoesNotFit);
    let other = sealed(ASSOCIATED_DATA, "something else").await;
    let CanaryAnswer::Otherwise { problem } = keys.open_canary(&name, &other).await.unwrap() else {
        panic!("another text is no canary")
    };
    assert!(
        !problem.contains("something else") && !problem.contains(&STANDARD.encode("something else")),
        "{problem}"
    );
    for nonsense in ["", "vault:v1:", "vault:v1:YQ==", "no ciphertext"] {
        let answer = keys.open_canary(&name, nonsense).await.unwrap();
        assert!(
            matches!(answer, CanaryAnswer::Otherwise { .. } | CanaryAnswer::DoesNotFit),
            "{nonsense}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_answer_about_the_key_proves_nothing() {
    let (bao, keys) = with_a_key().await;
    let name = name();
    let canary = keys.seal_canary(&name).await.unwrap();

    let operator = DestroyableKeys::new(bao.operator().await, mount("transit"));
    let answer = operator.open_canary(&name, &canary).await.unwrap();
    let CanaryAnswer::NoRight { line } = answer else { panic!("{answer:?}") };
    assert!(line.contains("transit/decrypt/+"), "{line}");
    // The right is judged before a key is looked for: a right that was lost is never taken for a lost key.
    let absent: DataKeyName = "abcdefghijklmnop.call-recording.2027w01".parse().unwrap();
    let answer = operator.open_canary(&absent, &canary).await.unwrap();
    assert!(matches!(answer, CanaryAnswer::NoRight { .. }), "{answer:?}");
    assert_eq!(keys.open_canary(&absent, &canary).await.unwrap(), CanaryAnswer::KeyNotFound);
    let elsewhere = DestroyableKeys::new(bao.root(), mount("nowhere"));
    let answer = elsewhere.open_canary(&name, &canary).await.unwrap();
    assert!(matches!(answer, CanaryAnswer::Otherwise { .. }), "{answer:?}");
    let stranger = DestroyableKeys::new(bao.with_token("s.aaaaaaaaaaaaaaaaaaaaaaaa"), mount("transit"));
    let error = stranger.open_canary(&name, &canary).await.unwrap_err();
    assert_eq!(error.reason(), Reason::VaultTokenRejected);
    bao.server().seal().await.unwrap();
    assert_eq!(keys.open_canary(&name, &canary).await.unwrap_err().reason(), Reason::VaultSealed);
}

#[tokio::test]
async fn decisions_are_the_destroyers_and_everybody_else_only_reads_them() {
    let bao = Bao::start().await;
    let (operator, destroyer) = (bao.operator().await, bao.destroyer().await);
    let (operator, destroyer) = (Kv::new(operator, mount("subrosa")), Kv::new(destroyer, mount("subrosa")));
    let id = "abcdefghijklmnop".parse().unwrap();
    let class = ClassName::new("call-recording").unwrap();
    let path = RecordPath::decision(&id, &class, "open-2026w47".parse().unwrap());
    assert!(destroyer.list(&Folder::Decisions).await.unwrap().is_empty());
    assert_eq!(destroyer.write(&path, &json!({"a": 1}), 0).await.unwrap(), 1);
    assert_eq!(
        destroyer.write(&path, &json!({"a": 2}), 0).await.unwrap_err().reason(),
        Reason::VaultConflict
    );
    assert_eq!(destroyer.write(&path, &json!({"a": 2}), 1).await.unwrap(), 2);
    assert_eq!(destroyer.write(&RecordPath::destroyer(), &json!({"a": 1}), 0).await.unwrap(), 1);
    for kv in [&operator, &destroyer] {
        let read = kv.read::<serde_json::Value>(&path).await.unwrap().unwrap();
        assert_eq!((read.value, read.version), (json!({"a": 2}), 2));
        assert_eq!(kv.list(&Folder::Decisions).await.unwrap(), [id.as_str()]);
        assert_eq!(kv.list(&Folder::DecisionClasses(id.clone())).await.unwrap(), [class.as_str()]);
        let cohorts = Folder::DecisionCohorts(id.clone(), class.clone());
        assert_eq!(kv.list(&cohorts).await.unwrap(), ["open-2026w47"]);
    }
    let refused = operator.write(&path, &json!({"a": 3}), 2).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::VaultPermissionDenied);

    let (channel, domain) = (RecordPath::channel(&id), RecordPath::domain());
    operator.write(&channel, &json!({"a": 1}), 0).await.unwrap();
    operator.write(&domain, &json!({"a": 1}), 0).await.unwrap();
    for path in [&channel, &domain] {
        assert!(destroyer.read::<serde_json::Value>(path).await.unwrap().is_some());
        let refused = destroyer.write(path, &json!({"a": 2}), 1).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::VaultPermissionDenied, "{path}");
    }
    assert_eq!(destroyer.list(&Folder::Channels).await.unwrap(), [id.as_str()]);
    assert!(destroyer.list(&Folder::Keys).await.unwrap().is_empty());
}
