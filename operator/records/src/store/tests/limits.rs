//! Every body that is written, as large as declarations let it become, beside what the servers take by default.
//!
//! OpenBao counts the strings of a body (`max_request_json_strings`, 1,000) and its bytes (`max_request_size`, 32 MiB).
//! Vault counts nesting (`max_json_depth`, 300), the fields of an object and the items of an array
//! (`max_json_object_entry_count` and `max_json_array_element_count`, 10,000 each) and the bytes of a string
//! (`max_json_string_value_length`, 1 MiB). What is stored by Raft has at most 1 MiB (`max_entry_size`).

mod of_granter;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use subrosa_crds::{
    access_grant::GrantDuration,
    cohort::Cohort,
    common::ConfigMapKey,
    destruction::Approver,
    retention_policy::{Anchor, DestructionMode},
};
use subrosa_plan::{
    record::{
        adoption::AdoptionMark,
        channel::{Access, ActiveKey, Withdrawal},
        connection::{ConnectionKey, Other},
        decision::{DestructionMark, HoldMark},
        destroyer::{Begun, BindingRules, BoundPeriods, SeenGuard},
        ended::Ended,
        extra_trust::ExtraTrustKey,
        generations::{Generation, GenerationState},
        grants::{GrantEnd, GrantsRecord, OpenGrant, UsedSlot},
        issuances::{self, IssuedLeaf},
        keys::{KeyRecord, Terms},
        news::{self, News},
        pods::{IssuedToPod, MOST_PODS, PodCertificates, PodNames, PodRecord},
        views::{PeerView, View},
    },
    roles::grants::decision::MOST_OVER,
    world::{
        key_fault::KeyFault,
        key_findings::{FoundFault, MOST_KEPT},
    },
};

use super::*;
use crate::vault::setup::{KubernetesApi, PeopleParams, ProviderKeys, SetupParams, VaultSetup};

/// What a body has.
#[derive(Debug, Default)]
struct Measured {
    bytes: usize,
    strings: usize,
    depth: usize,
    fields: usize,
    items: usize,
    longest: usize,
}

impl Measured {
    fn of(body: &Value) -> Self {
        let mut measured = Self { bytes: body.to_string().len(), strings: strings(body), ..Self::default() };
        measured.look(body, 1);
        measured
    }

    fn look(&mut self, value: &Value, depth: usize) {
        self.depth = self.depth.max(depth);
        match value {
            Value::String(text) => self.longest = self.longest.max(text.len()),
            Value::Array(items) => {
                self.items = self.items.max(items.len());
                items.iter().for_each(|item| self.look(item, depth + 1));
            }
            Value::Object(fields) => {
                self.fields = self.fields.max(fields.len());
                fields.values().for_each(|field| self.look(field, depth + 1));
            }
            _ => {}
        }
    }

    /// Fails where it comes near a limit: half of one, and far less where it can only grow by a mistake.
    fn is_far_below(&self, what: &str) {
        const MIB: usize = 1024 * 1024;
        let limits = [
            ("bytes", self.bytes, MIB),
            ("strings", self.strings, MOST_STRINGS + 10),
            ("depth", self.depth, 30),
            ("fields", self.fields, 1000),
            ("items", self.items, 1000),
            ("bytes of a string", self.longest, MIB / 8 * 7),
        ];
        for (of, is, most) in limits {
            assert!(is <= most, "{what} has {is} {of}, more than {most}: {self:?}");
        }
    }
}

fn body<R: Record>(record: &R) -> Value {
    let written = merged(&path(), record, None).unwrap();
    assert!(understood::<R>(&written).unwrap() == *record, "it is read as it was written");
    json!({"options": {"cas": 1_000_000}, "data": written})
}

fn at() -> Timestamp {
    "2026-11-22T12:00:00.123456789Z".parse().unwrap()
}

/// A name as long as one may be, unlike that of any other number.
fn long(number: usize, length: usize) -> String {
    format!("{number:x<length$}")
}

fn other(number: usize) -> ChannelRef {
    ChannelRef::new(long(number, 63), long(number, 63))
}

fn connection(number: usize) -> ConnectionKey {
    let direction = if number.is_multiple_of(2) { Direction::Egress } else { Direction::Ingress };
    ConnectionKey { direction, name: long(number, 63), other: Other::Channel(other(number)) }
}

fn approvers() -> Vec<Approver> {
    let one = |number| Approver {
        approver: long(number, 253),
        approval: long(number, 253),
        uid: long(number, 36),
        at: at().to_string(),
    };
    (0..5).map(one).collect()
}

fn adoption(number: usize) -> AdoptionMark {
    let id = ChannelId::mint("uid", &long(number, 63));
    AdoptionMark {
        id,
        adoption: long(number, 253),
        uid: long(number, 36),
        at: at(),
        approved_by: approvers(),
    }
}

fn generation(version: u32) -> Generation {
    Generation {
        version,
        key_version: Some(version),
        certificate_pem: "c".repeat(4096),
        fingerprint: "f".repeat(64),
        not_before: at(),
        not_after: at(),
        permitted_dns: (0..64).map(|number| long(number, 253)).collect(),
        published_at: at(),
        state: GenerationState::Retiring,
        loaded_by: (0..256).map(|number| (other(number).to_string(), at())).collect(),
        last_leaf_not_after: Some(at()),
    }
}

fn peer(number: usize) -> (String, PeerView) {
    let view = View { uid: long(number, 36), generation: i64::MAX };
    (other(number).to_string(), PeerView { view, namespace_uid: long(number, 36) })
}

/// The classes that a Channel can declare.
fn classes() -> impl Iterator<Item = String> {
    (0..32).map(|number| long(number, 40))
}

/// Days of twenty years, with a gap after each hundred: as long as the periods of a policy were changed so often.
fn twenty_years() -> Ended {
    let mut all = Ended::default();
    let mut day: Cohort = "20061122".parse().unwrap();
    for number in 0..7300 {
        if number % 100 != 0 {
            all = all.with("call", day);
        }
        day = day.next().unwrap();
    }
    all
}

/// All that a Channel can have at once: 128 connections in each direction and as many that are closing, 32 classes, four
/// generations, and 1,000 pods with a certificate each.
fn largest_channel() -> ChannelRecord {
    let mut record = ChannelRecord::new(other(0), &long(0, 36), &long(0, 63));
    let mut generations: Vec<_> = (1..5).map(generation).collect();
    // Only of the one that is introduced is noted who has it.
    generations.iter_mut().skip(1).for_each(|one| one.loaded_by.clear());
    record.authority = serde_json::from_value(json!(generations)).unwrap();
    for number in 0..2 * issuances::LIMIT {
        let reason = if number % 2 == 0 { Reason::NamesChanged } else { Reason::Expiring };
        let reason = reason.as_str().to_owned();
        let issued = IssuedLeaf { serial: long(number, 40), at: at(), reason, not_after: Some(at()) };
        record.issuances = record.issuances.noted(issued);
    }
    for class in classes() {
        for cohort in ["20261121", "20261122", "20261123"] {
            *record.key_mut(&class, cohort.parse().unwrap()) = ActiveKey {
                versions: (1..4).map(|version| (version, at())).collect(),
                closed: true,
                kept: true,
            };
        }
    }
    record.ended = Some(twenty_years());
    record.destroyed = twenty_years();
    record.access = Some(Access { service_account_uid: long(0, 36), may_open: true });
    record.adopts = (0..16).map(adoption).collect();
    record.adopted_by = Some(adoption(0));
    record.open = (0..256).map(connection).collect();
    record.peers = (0..256).map(peer).collect();
    record.closing = (256..512)
        .map(|number| Withdrawal { key: connection(number), since: at(), until: Some(at()) })
        .collect();
    let extra = |number| ExtraTrustKey {
        name: long(number, 36),
        direction: None,
        ca_bundle: ConfigMapKey { config_map: long(number, 253), key: long(number, 253) },
    };
    record.extra_trust = (0..16).map(extra).collect();
    let told = |number| News {
        reason: Reason::ConnectionClosed.as_str().to_owned(),
        at: at(),
        note: long(number, 500),
    };
    record.tell = (0..news::MOST).map(told).collect();
    let issued = |number| IssuedToPod {
        serial: long(number, 40),
        generation: 4,
        not_before: at(),
        not_after: at(),
        renew_at: at(),
    };
    let pod = |number| PodRecord { at: vec![at(); issuances::LIMIT], last: issued(number) };
    record.pods = Some(PodCertificates {
        in_force: true,
        names: Some(PodNames {
            common_name: long(0, 64),
            dns_names: (0..64).map(|number| long(number, 253)).collect(),
        }),
        pods: (0..MOST_PODS).map(|number| (long(number, 36), pod(number))).collect(),
    });
    record
}

fn terms() -> Terms {
    Terms {
        policy: long(0, 63),
        hash: "f".repeat(64),
        keep: "100y".into(),
        max: Some("100y".into()),
        basis: (0..16).map(|number| format!("NL {}", long(number, 256))).collect(),
    }
}

/// A month of days whose keys were rotated every hour, as often as can be said, and kept open for a year.
fn largest_keys() -> KeysOfMonth {
    let key = |day: usize| KeyRecord {
        versions: (1..=24).map(|version| (version, at())).collect(),
        anchor: Anchor::CreatedAt,
        terms: Some(terms()),
        closed: Some(at()),
        due: Some("2026-11-22".parse().unwrap()),
        reseal_by: Some("2026-11-22".parse().unwrap()),
        decisions: format!("decisions/{}/{}/202611{day:02}", "i".repeat(16), long(0, 40)),
    };
    let days = (1..=30).map(|day| (format!("202611{day:02}").parse::<Cohort>().unwrap(), key(day)));
    let none = KeysOfMonth::new(other(0), &long(0, 40));
    days.fold(none, |month, (cohort, key)| month.with(cohort, key))
}

fn largest_decision() -> DecisionRecord {
    let mark = || DestructionMark {
        name: long(0, 253),
        uid: long(0, 36),
        digest: "f".repeat(64),
        approved_by: approvers(),
        created: at(),
        canary: "v".repeat(512),
        intended: at(),
        set_aside: None,
        condemned: Some(at()),
        destroyed: Some(at()),
    };
    let hold = |number| {
        let mark = HoldMark { uid: long(number, 36), digest: "f".repeat(64), since: at() };
        (long(number, 253), mark)
    };
    DecisionRecord {
        channel: other(0),
        terms: Some(terms()),
        due: Some("2026-11-22".parse().unwrap()),
        holds: (0..200).map(hold).collect(),
        destruction: Some(mark()),
        past: Some(Box::new(mark())),
        called_off: None,
    }
}

/// The rules of 32 RetentionPolicies of 64 classes, and an hour of destructions.
fn largest_destroyer() -> DestroyerRecord {
    let periods =
        |number| (long(number, 40), BoundPeriods { keep: "100y".into(), open_for: Some("100y".into()) });
    let rules = |number| {
        let rules = BindingRules {
            approvals: 5,
            grace: "90d".into(),
            mode: DestructionMode::Enforce,
            periods: (0..64).map(periods).collect(),
            approved: Some("f".repeat(64)),
        };
        (long(number, 63), rules)
    };
    let begun: Vec<_> =
        (0..100).map(|number| Begun { at: at(), destruction: long(number, 253), keys: 100 }).collect();
    let record = json!({
        "lastLook": at(), "rules": (0..32).map(rules).collect::<BTreeMap<_, _>>(),
        "guard": {"version": long(0, 64), "since": at()}, "begun": begun, "condemned": begun,
        "frozen": {"reason": "ClockMoved", "message": "m".repeat(1024), "since": at(), "digest": "f".repeat(64)},
    });
    serde_json::from_value(record).unwrap()
}

fn largest_findings() -> KeyFindings {
    let fault = |number| {
        let id = ChannelId::mint("uid", &long(number, 63));
        let name = format!("{id}.{}.20261122", long(number, 40));
        (id, [(name, FoundFault { fault: KeyFault::Missing, since: at() })].into())
    };
    let all = KeyFindings { all_seen: Some(at()), faults: (0..2 * MOST_KEPT).map(fault).collect() };
    all.bounded()
}

/// Every grant slot of eight logins used by a grant of its own, and as many grants that are over as are kept.
fn largest_grants() -> GrantsRecord {
    let end = || GrantEnd { at: at(), reason: "GrantExpired".into(), began: Some(at()) };
    let open = |number| {
        let open = OpenGrant {
            namespace: long(number, 63),
            name: long(number, 63),
            login: long(number, 20),
            digest: format!("sha256:{}", "f".repeat(64)),
            entity: long(number, 36),
            duration: GrantDuration::Day,
            approved_by: (0..5).map(|one| long(one, 256)).collect(),
            slots: vec![UsedSlot {
                slot: long(number, 100),
                channel: long(number, 36),
                data_class: long(number, 40),
            }],
            decided: at(),
            began: Some(at()),
            ends: Some(at()),
            ended: Some(end()),
        };
        (long(number, 36), open)
    };
    GrantsRecord {
        guard: Some(SeenGuard { version: long(0, 100), since: at() }),
        open: (0..8 * 32).map(open).collect(),
        over: (0..MOST_OVER).map(|number| (long(number, 36), end())).collect(),
    }
}

fn store_record() -> StoreRecord {
    StoreRecord {
        store_id: long(0, 36),
        trust_domain: long(0, 63),
        trust_domain_uid: long(0, 36),
        cluster: long(0, 36),
        adopted_at: at(),
        replaces: Some(long(0, 36)),
    }
}

#[test]
fn every_record_stays_far_below_what_the_servers_take() {
    let bodies = [
        ("a Channel's record", body(&largest_channel())),
        ("the keys of a month", body(&largest_keys())),
        ("a decision", body(&largest_decision())),
        ("the destroyer's record", body(&largest_destroyer())),
        ("what was found of keys", body(&largest_findings())),
        ("the store's record", body(&store_record())),
        ("the record of grants", body(&largest_grants())),
    ];
    for (what, body) in bodies {
        Measured::of(&body).is_far_below(what);
    }
}

/// Eight logins with 256 slots and 32 grant slots each, and 256 groups of the provider.
fn largest_setup() -> SetupParams {
    let mount = |number| MountPath::new(long(number, 128)).unwrap();
    let login = |number| {
        json!({
            "name": long(number, 20), "slots": 256, "grantSlots": 32,
            "acceptedAmr": (0..8).map(|amr| long(amr, 64)).collect::<Vec<_>>(),
        })
    };
    let access = json!({
        "provider": {
            "issuer": format!("https://{}", long(0, 240)), "mount": long(9, 128), "audience": long(0, 128),
            "userClaim": long(0, 64), "groupsClaim": long(0, 64), "groups": 256,
        },
        "logins": (0..8).map(login).collect::<Vec<_>>(),
    });
    SetupParams {
        kubernetes_mount: mount(1),
        transit_mount: mount(2),
        authorities_mount: mount(3),
        kv_mount: mount(4),
        operator_role: crate::vault::RoleName::new("subrosa-operator").unwrap(),
        operator_namespace: long(0, 63),
        operator_service_account: long(1, 63),
        destroyer_service_account: long(2, 63),
        shared_transit: false,
        audience: long(0, 63),
        trust_domain: long(0, 63),
        kubernetes: KubernetesApi {
            host: format!("https://{}", long(0, 240)),
            ca_pem: Some("c".repeat(64 * 1024)),
            reviewer_jwt: None,
        },
        people: Some(PeopleParams {
            access: serde_json::from_value(access).unwrap(),
            keys: ProviderKeys::Given((0..16).map(|number| long(number, 4096)).collect()),
            granter_service_account: long(3, 63),
        }),
    }
}

#[test]
fn so_does_every_object_that_is_set_up() {
    let setup = VaultSetup::new(&largest_setup()).unwrap();
    assert!(setup.steps().len() > 2000, "{}: every slot and group is one", setup.steps().len());
    for step in setup.steps() {
        Measured::of(step.body()).is_far_below(step.path());
    }
}

/// What the operator and the granter write of a slot: what it opens, and the groups whose members open it.
#[test]
fn so_does_what_stands_in_a_slot() {
    let opened = format!("{}/{}.{}", long(0, 63), "i".repeat(16), long(0, 40));
    Measured::of(&json!({"metadata": {"opens": opened}})).is_far_below("what a slot opens");
    let groups: Vec<_> = (0..256).map(|number| long(number, 36)).collect();
    let members = json!({"member_group_ids": groups, "member_entity_ids": []});
    Measured::of(&members).is_far_below("the members of a slot");
}

#[test]
fn what_is_too_large_is_seen() {
    let texts = vec!["x"; 600];
    let mut deep = json!("x");
    for _ in 0..40 {
        deep = json!([deep]);
    }
    let many = json!((0..1001).collect::<Vec<_>>());
    for body in [json!(texts), deep, many, json!("x".repeat(950_000))] {
        assert!(std::panic::catch_unwind(|| Measured::of(&body).is_far_below("it")).is_err(), "{body:.60}");
    }
}
