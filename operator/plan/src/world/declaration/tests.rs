use serde_json::json;
use subrosa_crds::channel::KeyAlgorithm;

use super::*;
use crate::testing::{channel, edited, named};

#[test]
fn what_a_watch_filled_in_before_is_not_copied() {
    let manifest = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": "pbx", "namespace": "cc-front", "uid": "u"},
        "spec": {"preset": "Asterisk", "workload": {"selector": {"matchLabels": {"app": "pbx"}}}},
    });
    let mut object: Channel = serde_json::from_value(manifest).unwrap();
    let entered = Declaration::of(Arc::new(object.clone()));
    let names: Vec<_> = entered.listeners().iter().map(|one| one.name.as_str()).collect();
    assert_eq!((names, entered.name()), (vec!["sips", "rtp"], &named("cc-front/pbx")));
    preset::fill_in(&mut object.spec);
    let listeners = object.spec.listeners.as_ptr();
    let shared = Declaration::of(Arc::new(object));
    assert_eq!(shared.listeners().as_ptr(), listeners);
    assert!(shared.declares_the_same(&entered));
}

#[test]
fn packed_and_opened_it_says_the_same() {
    let says = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "AllOpen", "message": "m",
            "lastTransitionTime": "2026-11-01T00:00:00Z"})
    };
    let conditions = json!([says("Ready", "True"), says("Served", "False")]);
    let reported = edited(&channel("cc-front/voice", json!({})), |object| {
        let status = json!({"id": "abc", "otherKeys": {"chat-log": 3}, "conditions": conditions});
        object.status = Some(serde_json::from_value(status).unwrap());
    });
    let packed = reported.packed();
    assert!(packed.object().status.is_none() && packed.has_status());
    for same in [&packed, &packed.packed(), &packed.opened(), &reported.opened()] {
        assert_eq!(same.status(), reported.status());
        assert_eq!(same.summary(), ConditionSummary { ready: true, attention: true });
        assert_eq!((same.conditions().len(), same.has_status()), (2, true));
        assert!(same.declares_the_same(&reported) && same.name() == reported.name());
    }
    assert_eq!(packed.opened().object(), reported.object());
    let new = channel("cc-front/voice", json!({})).packed();
    assert_eq!((new.status(), new.has_status(), new.summary()), (None, false, ConditionSummary::default()));
}

#[test]
fn what_is_left_out_is_as_the_definitions_say() {
    let bare = channel("cc-front/voice", json!({}));
    assert_eq!((bare.delivery(), bare.issuance()), (Delivery::Secret, Issuance::Subrosa));
    assert_eq!((bare.reload(), bare.key_algorithm()), (Reload::None, KeyAlgorithm::EcdsaP256));
    assert_eq!((bare.key_type(), bare.may_open(), bare.seals()), (KeyType::Aes256Gcm96, false, false));
    assert_eq!((bare.secret_name(), bare.external_secret()), (None, None));
    assert!(bare.dns_names().is_empty() && bare.extra_trust().is_empty() && bare.exceptions().is_empty());
    let own = channel(
        "cc-front/voice",
        json!({"accepts": [{"name": "ivr"}], "connectsTo": [
            {"name": "db", "namespace": "cc-data", "channel": "store"}, {"name": "carrier", "kind": "ExternalParty"},
        ]}),
    );
    assert_eq!(own.peers().collect::<Vec<_>>(), [named("cc-front/ivr"), named("cc-data/store")]);
    assert!(own.names_party("carrier") && !own.names_party("ivr"));
}
