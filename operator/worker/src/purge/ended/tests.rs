use serde_json::json;

use super::*;

const ID: &str = "abcdefghijklmnop";

/// A record of these keys, of which the first was destroyed, with changes to what is said of that one.
fn record(cohorts: &[&str], change: serde_json::Value) -> Destruction {
    let keys: Vec<_> = cohorts
        .iter()
        .map(|cohort| {
            json!({"channel": {"namespace": "cc-front", "name": "voice"}, "id": ID, "dataClass": "chat", "cohort": cohort})
        })
        .collect();
    let mut outcome = json!({
        "id": ID, "dataClass": "chat", "cohort": cohorts[0], "state": "Destroyed", "createdAt": "2020-01-05T08:00:00Z",
        "setAsideAt": "2026-02-01T08:00:00Z", "destroyedAt": "2026-02-15T08:00:00Z", "canary": "vault:v1:AAEC",
    });
    for (name, value) in change.as_object().unwrap() {
        outcome[name] = value.clone();
    }
    let held = json!({"id": ID, "dataClass": "chat", "cohort": "20200107", "state": "Held"});
    let mut made: Destruction = serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Destruction", "metadata": {"name": "x"},
        "spec": {
            "trustDomain": "oosterlinde", "retentionPolicy": {"name": "contactcenter", "uid": "u", "digest": "sha256:ab"},
            "due": "2020-01-07", "nonce": "0123456789abcdef", "keys": keys, "digest": "",
        },
        "status": {"state": "Destroyed", "keys": [outcome, held], "effectiveAt": change.get("effectiveAt")},
    }))
    .unwrap();
    made.spec.digest = made.spec.computed_digest();
    made.metadata.name = Some(destruction::name("contactcenter", "2020-01-07", &made.spec.digest));
    made
}

fn voice() -> ChannelRef {
    ChannelRef::new("cc-front", "voice")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn key(cohort: &str) -> DataKeyName {
    format!("{ID}.chat.{cohort}").parse().unwrap()
}

fn days(days: i64) -> Option<SignedDuration> {
    Some(SignedDuration::from_hours(24 * days))
}

fn taken(records: &[Destruction], kept: Option<SignedDuration>) -> DestroyedKeys {
    let mut keys = DestroyedKeys::of(ID.parse().unwrap(), voice());
    for record in records {
        keys.take(record, kept).unwrap();
    }
    keys
}

#[test]
fn a_key_is_destroyed_when_the_record_has_its_proof_and_others_of_the_list_are_not() {
    let keys = taken(&[record(&["20200105", "20200107"], json!({}))], days(30));
    let gone = keys.get(&key("20200105")).unwrap();
    assert_eq!((gone.destroyed, gone.is_back), (at("2026-02-15T08:00:00Z"), false));
    assert_eq!(gone.effective, Some(at("2026-03-17T08:00:00Z")));
    assert_eq!(keys.get(&key("20200107")), None);
    assert_eq!(keys.len(), 1);
    let of = |name: &str| {
        let mut other =
            DestroyedKeys::of("ponmlkjihgfedcba".parse().unwrap(), ChannelRef::new("cc-front", name));
        other.take(&record(&["20200105"], json!({})), None).unwrap();
        other.len()
    };
    assert_eq!(of("chat"), 0, "of another Channel");
    assert_eq!(of("voice"), 1, "of an earlier one of its name");
}

#[test]
fn when_it_is_effective_is_the_later_of_what_is_declared_and_what_is_written() {
    let written = json!({"effectiveAt": "2026-05-01T00:00:00Z"});
    let effective = |change: &serde_json::Value, kept| {
        taken(&[record(&["20200105"], change.clone())], kept).get(&key("20200105")).unwrap().effective
    };
    assert_eq!(effective(&json!({}), None), None);
    assert_eq!(effective(&written, None), Some(at("2026-05-01T00:00:00Z")));
    assert_eq!(effective(&written, days(1)), Some(at("2026-05-01T00:00:00Z")));
    assert_eq!(effective(&written, days(365)), Some(at("2027-02-15T08:00:00Z")));
}

#[test]
fn a_key_that_is_back_is_not_gone_and_one_that_is_gone_again_is_since_then() {
    let back = json!({"state": "Resurrected", "backAt": "2026-03-01T08:00:00Z"});
    assert!(taken(&[record(&["20200105"], back.clone())], days(1)).get(&key("20200105")).unwrap().is_back);
    // Whatever else another list says of it.
    let both = [record(&["20200105"], json!({})), record(&["20200105"], back)];
    assert!(taken(&both, days(1)).get(&key("20200105")).unwrap().is_back);
    let again = json!({"backAt": "2026-03-01T08:00:00Z", "goneAgainAt": "2026-03-09T08:00:00Z"});
    let keys = taken(&[record(&["20200105"], json!({})), record(&["20200105"], again)], days(1));
    let gone = keys.get(&key("20200105")).unwrap();
    assert_eq!((gone.is_back, gone.gone), (false, at("2026-03-09T08:00:00Z")));
    assert_eq!(
        (gone.destroyed, gone.effective),
        (at("2026-02-15T08:00:00Z"), Some(at("2026-03-10T08:00:00Z")))
    );
}

#[test]
fn a_record_that_was_changed_or_proves_nothing_counts_for_nothing() {
    let refused = |record: &Destruction| {
        let mut keys = DestroyedKeys::of(ID.parse().unwrap(), voice());
        let problem = keys.take(record, days(1)).unwrap_err();
        assert!(keys.is_empty());
        problem
    };
    let mut longer = record(&["20200105"], json!({}));
    let mut added = longer.spec.keys[0].clone();
    added.cohort = "20260105".into();
    longer.spec.keys.push(added);
    assert!(refused(&longer).contains("digest"));
    let mut renamed = record(&["20200105"], json!({}));
    renamed.metadata.name = Some("contactcenter.20200107.00000000".into());
    assert!(refused(&renamed).contains("name"));
    let mut another = record(&["20200105"], json!({}));
    another.status.as_mut().unwrap().keys[0].cohort = "20260105".into();
    assert!(refused(&another).contains("20260105"));
    for without in [
        json!({"canary": null}),
        json!({"canary": "AAEC"}),
        json!({"createdAt": null}),
        json!({"setAsideAt": null}),
        json!({"setAsideAt": "2026-02-16T08:00:00Z"}),
        json!({"destroyedAt": "yesterday"}),
        json!({"goneAgainAt": "soon"}),
    ] {
        assert!(refused(&record(&["20200105"], without.clone())).contains("proof"), "{without}");
    }
    // What is under way is no error and no proof.
    let under_way = json!({"state": "SetAside", "destroyedAt": null});
    assert!(taken(&[record(&["20200105"], under_way)], days(1)).is_empty());
}
