mod limits;

use serde_json::json;
use subrosa_crds::{
    names::{ChannelId, ChannelRef},
    trust_domain::Direction,
};
use subrosa_plan::record::connection::{ConnectionKey, Other};

use subrosa_crds::Reason;

use super::*;
use crate::vault::{MountPath, Vault, VaultAddress, VaultConfig};

fn path() -> RecordPath {
    RecordPath::channel(&ChannelId::mint("uid", "voice"))
}

fn record() -> ChannelRecord {
    ChannelRecord::new(ChannelRef::new("cc-front", "voice"), "uid", "oosterlinde")
}

#[test]
fn a_record_of_a_later_release_is_not_written() {
    let before = json!({"schema": 2, "channel": {"namespace": "cc-front", "name": "voice"}});
    let error = merged(&path(), &record(), Some(&before)).unwrap_err();
    assert_eq!(error.reason(), Reason::RecordNewer);
    assert!(error.to_string().contains("schema 2"), "{error}");
}

#[test]
fn what_a_later_release_of_the_same_schema_added_is_kept() {
    let mut before = serde_json::to_value(record()).unwrap();
    before["schema"] = 1.into();
    before["escrow"] = json!({"agent": "notary"});
    let mut changed = record();
    changed.namespace_uid = "other".into();
    let written = merged(&path(), &changed, Some(&before)).unwrap();
    assert_eq!(written["escrow"]["agent"], "notary");
    assert_eq!((&written["schema"], &written["namespaceUid"]), (&json!(1), &json!("other")));
}

#[test]
fn no_request_comes_near_the_limit_of_strings() {
    let mut large = record();
    for number in 0..256 {
        let name = format!("peer-{number}");
        let other = Other::Channel(ChannelRef::new("cc-data", &name));
        large.open.insert(ConnectionKey { direction: Direction::Egress, name, other });
    }
    let written = merged(&path(), &large, None).unwrap();
    assert!(strings(&serde_json::to_value(&large).unwrap()) > 1000 && strings(&written) < 10, "as one text");
    assert_eq!(understood::<ChannelRecord>(&written).unwrap(), large);
    assert_eq!(
        merged(&path(), &record(), Some(&written)).unwrap()["channel"]["name"],
        "voice",
        "small again"
    );
    // What a later release added is kept inside the text too.
    let mut text: Value = serde_json::from_str(written["text"].as_str().unwrap()).unwrap();
    text["escrow"] = "notary".into();
    let before = json!({"schema": 1, "text": text.to_string()});
    let again = merged(&path(), &large, Some(&before)).unwrap();
    assert!(again["text"].as_str().unwrap().contains("notary"));
}

#[test]
fn a_record_without_a_schema_gets_one() {
    let before = serde_json::to_value(record()).unwrap();
    assert_eq!(merged(&path(), &record(), Some(&before)).unwrap()["schema"], 1);
    assert_eq!(merged(&path(), &record(), None).unwrap()["schema"], 1);
}

/// Before a Vault that does not answer.
fn store() -> Store<ChannelRecord> {
    let address = VaultAddress::parse("http://127.0.0.1:9", true).unwrap();
    let vault = Vault::new(VaultConfig::new(address)).unwrap();
    Store::new(Kv::new(vault, MountPath::new("subrosa").unwrap()))
}

/// Somebody else reads the same record and forgets it between the read and the write of a transaction.
#[tokio::test]
async fn what_was_forgotten_since_it_was_read_is_read_again_and_not_overwritten() {
    let store = store();
    store.remember(&path(), Some(&json!({"schema": 2, "escrow": {"agent": "notary"}})), 3);
    let newer = store.put(&path(), record(), 3).await.unwrap_err();
    assert!(matches!(newer, VaultError::NewerRecord { .. }), "{newer}");
    store.forget(&path());
    let conflict = store.put(&path(), record(), 3).await.unwrap_err();
    assert!(matches!(conflict, VaultError::CasConflict { .. }), "{conflict}");
    store.remember(&path(), Some(&json!({"schema": 1})), 4);
    let conflict = store.put(&path(), record(), 3).await.unwrap_err();
    assert!(matches!(conflict, VaultError::CasConflict { .. }), "another version: {conflict}");
}
