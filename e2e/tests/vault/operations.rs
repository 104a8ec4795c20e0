//! Every operation the operator has, with no more rights than the operator's policy gives.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use subrosa_crds::Reason;
use subrosa_records::vault::identity::{Aliases, auth_accessor};
use subrosa_records::vault::kv::{Kv, Versioned};
use subrosa_records::vault::transit::{Transit, TransitKeyType};
use subrosa_records::vault::{AliasName, Folder, RecordPath, TransitKeyName, Vault};

use crate::support::{Bao, metadata, mount};

const DAY: Duration = Duration::from_secs(86400);

fn key(name: &str) -> TransitKeyName {
    TransitKeyName::new(name).unwrap()
}

fn transit(vault: Vault) -> Transit {
    Transit::new(vault, mount("transit"))
}

#[tokio::test]
async fn keys_are_made_read_rotated_and_listed() {
    let bao = Bao::start().await;
    let transit = transit(bao.operator().await);
    assert!(transit.list_keys().await.unwrap().is_empty());
    let name = key("abcdefgh.call-recording.2026w47");
    assert_eq!(transit.read_key(&name).await.unwrap(), None);

    let made = transit.create_key(&name, TransitKeyType::Aes256Gcm96, Some(DAY)).await.unwrap();
    assert!(
        made.is(TransitKeyType::Aes256Gcm96) && made.latest_version == 1 && made.auto_rotate_period == DAY
    );
    assert!(!made.exportable && !made.allow_plaintext_backup && !made.deletion_allowed && !made.soft_deleted);
    assert_eq!(transit.read_key(&name).await.unwrap(), Some(made.clone()));
    let age = jiff::Timestamp::now().duration_since(made.versions[&1].created);
    assert!(age.abs() < jiff::SignedDuration::from_secs(60), "{age}");

    // Made again, with other wishes: nothing changes.
    let again = transit.create_key(&name, TransitKeyType::Chacha20Poly1305, None).await.unwrap();
    assert_eq!(again, made);

    let rotated = transit.rotate(&name, 1).await.unwrap();
    assert_eq!((rotated.latest_version, rotated.versions.len()), (2, 2));
    transit.set_auto_rotate(&name, None).await.unwrap();
    let closed = transit.read_key(&name).await.unwrap().unwrap();
    assert_eq!(closed.auto_rotate_period, Duration::ZERO);

    let other = key("abcdefgh.ca");
    let made = transit.create_key(&other, TransitKeyType::EcdsaP256, None).await.unwrap();
    assert!(made.versions[&1].public_key_pem.as_deref().is_some_and(|pem| pem.contains("PUBLIC KEY")));
    let chacha =
        transit.create_key(&key("abcdefgh.chat.2026"), TransitKeyType::Chacha20Poly1305, None).await.unwrap();
    assert!(chacha.is(TransitKeyType::Chacha20Poly1305));
    bao.admin("POST", "transit/keys/Foreign_Key", json!({"type": "xchacha20-poly1305"})).await;
    assert_eq!(transit.list_keys().await.unwrap(), [other, name, key("abcdefgh.chat.2026")]);

    let absent = key("abcdefgh.absent");
    for error in [
        transit.rotate(&absent, 0).await.unwrap_err(),
        transit.set_auto_rotate(&absent, None).await.unwrap_err(),
    ] {
        assert!(!error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn each_version_of_an_authority_signs() {
    let bao = Bao::start().await;
    let transit = transit(bao.operator().await);
    let name = key("abcdefgh.ca");
    transit.create_key(&name, TransitKeyType::EcdsaP256, None).await.unwrap();
    transit.rotate(&name, 1).await.unwrap();
    let message = b"to be signed";
    for version in [1, 2] {
        let signature = transit.sign(&name, version, message).await.unwrap();
        assert_eq!(signature.first(), Some(&0x30), "DER begins with a SEQUENCE");
        let verify = |version: u32| {
            json!({
                "input": STANDARD.encode(message), "hash_algorithm": "sha2-256",
                "signature": format!("vault:v{version}:{}", STANDARD.encode(&signature)),
            })
        };
        let answer = bao.admin("POST", "transit/verify/abcdefgh.ca", verify(version)).await;
        assert_eq!(answer["data"]["valid"], true);
        let answer = bao.admin("POST", "transit/verify/abcdefgh.ca", verify(3 - version)).await;
        assert_eq!(answer["data"]["valid"], false, "by the other version");
    }
    assert!(transit.sign(&name, 3, message).await.is_err());
}

#[tokio::test]
async fn concurrent_rotations_beyond_a_version_all_succeed() {
    let bao = Bao::start().await;
    let transit = transit(bao.operator().await);
    let name = key("abcdefgh.data.2026");
    transit.create_key(&name, TransitKeyType::Aes256Gcm96, None).await.unwrap();
    let rotations = (0..32).map(|_| transit.rotate(&name, 1));
    for rotated in futures::future::join_all(rotations).await {
        assert!(rotated.unwrap().latest_version >= 2);
    }
    assert!(transit.read_key(&name).await.unwrap().unwrap().latest_version <= 33);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    generations: Vec<String>,
}

#[tokio::test]
async fn the_record_is_compare_and_set() {
    let bao = Bao::start().await;
    let kv = Kv::new(bao.operator().await, mount("subrosa"));
    let path = RecordPath::channel(&"abcdefgh234567ab".parse().unwrap());
    assert_eq!(kv.read::<Entry>(&path).await.unwrap(), None);
    assert!(kv.list(&Folder::Channels).await.unwrap().is_empty());

    let mut entry = Entry { generations: vec!["first".into()] };
    assert_eq!(kv.write(&path, &entry, 0).await.unwrap(), 1);
    assert_eq!(kv.write(&path, &entry, 0).await.unwrap_err().reason(), Reason::VaultConflict);
    entry.generations.push("second".into());
    assert_eq!(kv.write(&path, &entry, 1).await.unwrap(), 2);
    assert_eq!(kv.write(&path, &entry, 1).await.unwrap_err().reason(), Reason::VaultConflict);
    let read = kv.read::<Entry>(&path).await.unwrap();
    assert_eq!(read, Some(Versioned { value: entry, version: 2 }));
    assert_eq!(kv.list(&Folder::Channels).await.unwrap(), ["abcdefgh234567ab"]);

    let unreadable = kv.read::<u32>(&path).await.unwrap_err();
    assert_eq!(unreadable.reason(), Reason::VaultAnswerUnexpected);

    bao.admin("DELETE", "subrosa/data/channels/abcdefgh234567ab", json!(null)).await;
    let deleted = kv.read::<Entry>(&path).await.unwrap_err();
    assert_eq!(deleted.reason(), Reason::VaultEntryDeleted);
    assert!(deleted.next_step().contains("-versions=2"), "{}", deleted.next_step());
}

#[tokio::test]
async fn aliases_are_granted_found_listed_and_withdrawn() {
    let bao = Bao::start().await;
    let vault = bao.operator().await;
    let accessor = auth_accessor(&vault, &mount("kubernetes")).await.unwrap().unwrap();
    assert!(accessor.as_str().starts_with("auth_kubernetes_"), "{accessor}");
    let aliases = Aliases::new(vault.clone(), accessor.clone());
    assert!(aliases.list().await.unwrap().is_empty());

    let name = AliasName::new("6f1f2b1e-5a0b-4f57-9d9a-0c8c5a3d2f10").unwrap();
    assert_eq!(aliases.find(&name).await.unwrap(), None);
    let id = aliases.grant(&name, &metadata(&[("subrosa", "a"), ("subrosa_open", "a")])).await.unwrap();
    assert_eq!(aliases.grant(&name, &metadata(&[("subrosa", "a")])).await.unwrap(), id);
    let found = aliases.find(&name).await.unwrap().unwrap();
    assert_eq!((&found.id, &found.name), (&id, &name));
    assert_eq!(found.custom_metadata, metadata(&[("subrosa", "a")]), "what is no longer granted is gone");
    assert!(aliases.list().await.unwrap().contains(&found));

    aliases.withdraw(&id).await.unwrap();
    aliases.withdraw(&id).await.unwrap();
    assert_eq!(aliases.find(&name).await.unwrap(), None);

    let absent = auth_accessor(&vault, &mount("nowhere")).await;
    assert!(
        absent.as_ref().is_ok_and(Option::is_none)
            || absent.is_err_and(|e| e.reason() == Reason::VaultPermissionDenied)
    );
}
