use serde_json::{Value, json};
use subrosa_crds::trust_domain::Direction;

use super::*;
use crate::{
    record::{connection::Other, generations::NewCertificate, issuances::IssuedLeaf},
    testing::{at, named, now, read},
    world::certificate::Validity,
};

fn full() -> ChannelRecord {
    let mut record = ChannelRecord::new(named("cc-front/voice"), "uid-cc-front", "oosterlinde");
    record.authority = record.authority.with_certificate(NewCertificate {
        version: 1,
        key_version: None,
        certificate_pem: "certificate".into(),
        fingerprint: "ab".into(),
        validity: Validity { not_before: now(), not_after: now() },
        permitted_dns: ["cc-front.svc".to_owned()].into(),
        published_at: now(),
    });
    record.issuances = record.issuances.noted(IssuedLeaf {
        serial: "0bad".into(),
        at: now(),
        reason: "Missing".into(),
        not_after: None,
    });
    let cohort = "2026w47".parse().unwrap();
    *record.key_mut("call", cohort) =
        ActiveKey { versions: [(1, now()), (12, now())].into(), closed: true, kept: false };
    record.key_mut("call", "open-2026m11".parse().unwrap());
    record.access = Some(Access { service_account_uid: "sa-uid".into(), may_open: true });
    let key = |direction, name: &str, other| ConnectionKey { direction, name: name.into(), other };
    record.open = [
        key(Direction::Egress, "recorder", Other::Channel(named("cc-data/recorder"))),
        key(Direction::Ingress, "carrier", Other::Party("carrier".into())),
        key(Direction::Egress, "kube-api", Other::Service("kube-api".into())),
    ]
    .into();
    record.closing = vec![Withdrawal {
        key: key(Direction::Ingress, "ivr", Other::Channel(named("cc-front/ivr"))),
        since: now(),
        until: Some(at("2026-12-22T12:00:00Z")),
    }];
    let note = "Ingress ivr with cc-front/ivr: no pod runs".to_owned();
    record.tell = vec![News { reason: "ConnectionClosed".into(), at: now(), note }];
    record.untold = 1;
    record
}

#[test]
fn what_is_written_is_read_back() {
    for record in [full(), ChannelRecord::new(named("cc-front/voice"), "uid", "oosterlinde")] {
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<ChannelRecord>(&text).unwrap(), record, "{text}");
        let value = serde_json::to_value(&record).unwrap();
        assert_eq!(read::<ChannelRecord>(value), record, "KV gives back a value, not a text");
    }
}

#[test]
fn its_form_is_kept() {
    insta::assert_yaml_snapshot!(full());
}

#[test]
fn what_an_older_operator_wrote_is_read() {
    let least = json!({
        "channel": {"namespace": "cc-front", "name": "voice"},
        "namespaceUid": "uid-cc-front",
        "trustDomain": "oosterlinde",
    });
    let record: ChannelRecord = read(least.clone());
    let begun = ChannelRecord::new(named("cc-front/voice"), "uid-cc-front", "oosterlinde");
    assert_eq!(record, ChannelRecord { ended: None, ..begun }, "which cohorts have ended is to be found out");

    let mut later = least;
    later["keys"] = json!({"call": {"2026w47": {"versions": {"1": "2026-11-22T12:00:00Z"}}, "2026w48": {}}});
    later["access"] = json!({"serviceAccountUid": "sa-uid"});
    later["something"] = json!("of a newer operator");
    let record: ChannelRecord = read(later);
    assert_eq!(record.keys["call"]["2026w47"].versions, [(1, now())].into());
    assert!(!record.keys["call"]["2026w47"].closed && record.keys["call"]["2026w48"].versions.is_empty());
    assert_eq!(record.access, Some(Access { service_account_uid: "sa-uid".into(), may_open: false }));
}

#[test]
fn what_names_no_channel_is_refused() {
    for broken in
        [json!({}), json!({"channel": "cc-front/voice", "namespaceUid": "u", "trustDomain": "d"}), json!([])]
    {
        assert!(serde_json::from_value::<ChannelRecord>(broken.clone()).is_err(), "{broken}");
    }
}

#[test]
fn nothing_secret_has_a_place_in_it() {
    let Value::Object(fields) = serde_json::to_value(full()).unwrap() else { panic!() };
    let names: Vec<_> = fields.keys().map(String::as_str).collect();
    let known = [
        "access",
        "authority",
        "channel",
        "closing",
        "ended",
        "issuances",
        "keys",
        "namespaceUid",
        "open",
        "tell",
        "trustDomain",
        "untold",
    ];
    assert_eq!(names, known, "a new field must be weighed: the record is read by whoever reads KV");
}

#[test]
fn keys_are_found_by_class_and_cohort() {
    let mut record = full();
    let cohort = "2026w47".parse().unwrap();
    assert_eq!(record.key("call", cohort).unwrap().versions.len(), 2);
    assert!(record.key("call", "2026w48".parse().unwrap()).is_none());
    assert!(record.key("other", cohort).is_none());
    assert_eq!(record.key_mut("other", cohort), &ActiveKey::default());
    assert_eq!(record.id(), ChannelId::mint("uid-cc-front", "voice"));
}
