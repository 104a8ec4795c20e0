use serde_json::json;
use subrosa_crds::{Reason, condition::find};

use super::*;
use crate::{
    testing::{DOMAIN, Scene, now},
    world::key_findings::KeyLook,
};

fn seen() -> DomainFacts {
    DomainFacts {
        vault: Some(VaultStatus { version: "2.7.2".into(), ..VaultStatus::default() }),
        reachable: Ok(()),
        shared: None,
        store: Ok(None),
        adopt: None,
        setup: None,
        guarded: Guards::InPlace,
        outdated: None,
        orphans: None,
        key_faults: BTreeMap::new(),
        keys_seen: true,
        unreadable: BTreeMap::new(),
        counts: MemberCounts::default(),
    }
}

fn judged(scene: &Scene, seen: &DomainFacts) -> Vec<(String, String, String)> {
    let status = status(&scene.domains[DOMAIN], seen, now());
    assert_eq!(status.observed_generation, Some(2));
    status.conditions.into_iter().map(|one| (one.type_, one.status, one.reason)).collect()
}

fn expect(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    rows.iter().map(|(kind, truth, reason)| ((*kind).into(), (*truth).into(), (*reason).into())).collect()
}

#[test]
fn ready_when_vault_answers_and_the_guards_stand() {
    let rows = [
        ("Ready", "True", "InForce"),
        ("VaultReachable", "True", "LoggedIn"),
        ("Guarded", "True", "InPlace"),
        ("KeysIntact", "True", "InPlace"),
    ];
    assert_eq!(judged(&Scene::new(), &seen()), expect(&rows));
}

#[test]
fn a_fault_of_vault_is_retried() {
    let sealed = DomainFacts { reachable: Err(Fault::new(Reason::VaultSealed, "unseal it")), ..seen() };
    let rows = [
        ("Ready", "False", "VaultSealed"),
        ("VaultReachable", "False", "VaultSealed"),
        ("Guarded", "True", "InPlace"),
        ("KeysIntact", "True", "InPlace"),
        ("Reconciling", "True", "Retrying"),
    ];
    assert_eq!(judged(&Scene::new(), &sealed), expect(&rows));
}

#[test]
fn without_guards_it_is_not_ready() {
    let seen = DomainFacts { guarded: Guards::NotInPlace("a policy was edited".into()), ..seen() };
    let rows = [
        ("Ready", "False", "NotInPlace"),
        ("VaultReachable", "True", "LoggedIn"),
        ("Guarded", "False", "NotInPlace"),
        ("KeysIntact", "True", "InPlace"),
        ("Reconciling", "True", "Retrying"),
    ];
    assert_eq!(judged(&Scene::new(), &seen), expect(&rows));
}

#[test]
fn definitions_that_are_older_than_the_operator_are_told() {
    let seen = DomainFacts { outdated: Some("channels.subrosa.dev lacks spec.preset".into()), ..seen() };
    let rows = [
        ("Ready", "False", "DefinitionsOutdated"),
        ("VaultReachable", "True", "LoggedIn"),
        ("Guarded", "True", "InPlace"),
        ("KeysIntact", "True", "InPlace"),
        ("Reconciling", "True", "Retrying"),
    ];
    assert_eq!(judged(&Scene::new(), &seen), expect(&rows));
}

#[test]
fn a_guard_that_people_switched_off_is_shown_and_is_no_fault() {
    let seen =
        DomainFacts { guarded: Guards::SwitchedOff("subrosa-deletion is switched off".into()), ..seen() };
    let rows = [
        ("Ready", "True", "InForce"),
        ("VaultReachable", "True", "LoggedIn"),
        ("Guarded", "False", "SwitchedOff"),
        ("KeysIntact", "True", "InPlace"),
    ];
    assert_eq!(judged(&Scene::new(), &seen), expect(&rows));
    let status = status(&Scene::new().domains[DOMAIN], &seen, now());
    let ready = find(&status.conditions, condition::READY).unwrap();
    assert!(ready.message.contains("subrosa-deletion is switched off"), "{}", ready.message);
}

#[test]
fn an_unknown_time_zone_stalls_it_whatever_else_is_wrong() {
    let scene = Scene::new().domain(DOMAIN, json!({"timeZone": "Nowhere/At-All"}));
    let seen = DomainFacts { reachable: Err(Fault::new(Reason::VaultSealed, "unseal it")), ..seen() };
    let rows = [
        ("Ready", "False", "TimeZoneUnknown"),
        ("VaultReachable", "False", "VaultSealed"),
        ("Guarded", "True", "InPlace"),
        ("KeysIntact", "True", "InPlace"),
        ("Stalled", "True", "TimeZoneUnknown"),
    ];
    assert_eq!(judged(&scene, &seen), expect(&rows));
    let status = status(&scene.domains[DOMAIN], &seen, now());
    assert!(find(&status.conditions, condition::STALLED).unwrap().message.contains("spec.timeZone"));
}

#[test]
fn members_are_counted() {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": "2026-11-22T12:00:00Z"});
    let with = |name: &str, conditions: Vec<serde_json::Value>| {
        let status = crate::testing::read(json!({"conditions": conditions}));
        crate::testing::edited(&crate::testing::channel(name, json!({})), |one| one.status = Some(status))
    };
    let scene = Scene::new()
        .namespace("elsewhere", Some("other"))
        .namespace("loose", None)
        .channel("cc-front/new", json!({}))
        .channel("elsewhere/far", json!({}))
        .channel("loose/far", json!({}))
        .given(with("cc-front/a", vec![condition("Ready", "True"), condition("Connected", "True")]))
        .given(with("cc-front/b", vec![condition("Ready", "True"), condition("Connected", "False")]))
        .given(with("cc-data/c", vec![condition("Ready", "False"), condition("Stalled", "True")]));
    let seen = DomainFacts { counts: MemberCounts::of(DOMAIN, &scene), ..seen() };
    let status = status(&scene.domains[DOMAIN], &seen, now());
    assert_eq!(status.namespaces, Some(3));
    assert_eq!(status.channels, Some(ChannelCount { total: 4, ready: 2, attention: 2 }));
    assert_eq!(status.vault.unwrap().version, "2.7.2");
}

#[test]
fn faults_of_keys_whose_channel_is_gone_are_told_here() {
    let scene = Scene::new().channel("cc-front/voice", json!({}));
    let mut world = World::clone(&scene);
    let uid = world.namespaces["cc-front"].uid.clone();
    let (voice, gone) = (ChannelId::mint(&uid, "voice"), ChannelId::mint(&uid, "gone"));
    assert_eq!(key_faults_of_none(DOMAIN, &world, now()), (BTreeMap::new(), true));
    let findings = world.key_findings.get_mut(DOMAIN).unwrap();
    for id in [&voice, &gone] {
        let faults =
            [(id.data_key("call", "2026w40"), KeyFault::Exportable), (id.authority_key(), KeyFault::Missing)];
        let looks = faults.map(|(name, fault)| KeyLook {
            id: id.clone(),
            name,
            fault: Some(fault),
            destroyed: false,
        });
        findings.take(looks.into(), now());
    }
    assert_eq!(
        key_faults_of_none("elsewhere", &world, now()),
        (BTreeMap::new(), false),
        "told by their own domain"
    );
    let (faults, _) = key_faults_of_none(DOMAIN, &world, now());
    assert!(faults.keys().all(|name| name.starts_with(gone.as_str())) && faults.len() == 2, "{faults:?}");
    let seen = DomainFacts { key_faults: faults, ..seen() };
    let rows = judged(&scene, &seen);
    assert!(rows.contains(&("KeysIntact".into(), "False".into(), "KeyMissing".into())), "{rows:?}");
    assert!(rows.contains(&("Ready".into(), "False".into(), "KeyMissing".into())), "{rows:?}");
}

#[test]
fn keys_that_were_not_looked_at_are_not_called_intact() {
    let rows = judged(&Scene::new(), &DomainFacts { keys_seen: false, ..seen() });
    assert!(rows.contains(&("KeysIntact".into(), "Unknown".into(), "KeysUnseen".into())), "{rows:?}");
    assert!(rows.contains(&("Ready".into(), "True".into(), "InForce".into())), "{rows:?}");
}

#[test]
fn records_that_cannot_be_read_are_named() {
    let unreadable: BTreeMap<_, _> = (0..8)
        .map(|number| {
            let id = ChannelId::mint("uid", &format!("c{number}"));
            let problem = format!("version 3 of {id} was deleted; next: `bao kv undelete {id}`");
            (id, problem)
        })
        .collect();
    let rows = [
        ("Ready", "False", "RecordUnreadable"),
        ("VaultReachable", "True", "LoggedIn"),
        ("Guarded", "True", "InPlace"),
        ("KeysIntact", "Unknown", "RecordUnreadable"),
        ("RecordsReadable", "False", "RecordUnreadable"),
        ("Reconciling", "True", "Retrying"),
    ];
    let seen = DomainFacts { unreadable: unreadable.clone(), ..seen() };
    assert_eq!(judged(&Scene::new(), &seen), expect(&rows));
    let status = status(&Scene::new().domains[DOMAIN], &seen, now());
    let message = &find(&status.conditions, condition::RECORDS_READABLE).unwrap().message;
    assert!(unreadable.keys().all(|id| message.contains(id.as_str())), "{message}");
    assert_eq!(message.matches("kv undelete").count(), 5, "{message}");
}

#[test]
fn a_domain_that_shares_a_mount_is_stalled() {
    let seen = DomainFacts { shared: Some(Fault::new(Reason::VaultShared, "another uses it")), ..seen() };
    let rows = [
        ("Ready", "False", "VaultShared"),
        ("VaultReachable", "True", "LoggedIn"),
        ("Guarded", "True", "InPlace"),
        ("KeysIntact", "True", "InPlace"),
        ("Stalled", "True", "VaultShared"),
    ];
    assert_eq!(judged(&Scene::new(), &seen), expect(&rows));
}

#[test]
fn a_store_that_is_not_its_own_comes_first_and_what_was_known_stays_known() {
    let mut domain = (*Scene::new().world.domains[DOMAIN]).clone();
    let own = DomainFacts { store: Ok(Some("beef".into())), ..seen() };
    domain.status = Some(status(&domain, &own, now()));
    let vault = |status: &TrustDomainStatus| {
        let vault = status.vault.clone().unwrap();
        (vault.store_id, vault.adopt_store)
    };
    let known = Some("beef".to_owned());
    assert_eq!(vault(domain.status.as_ref().unwrap()), (known.clone(), None));
    let other = DomainFacts {
        store: Err(Fault::new(Reason::StoreOfAnotherCluster, "it belongs to another")),
        adopt: Some("dead".into()),
        guarded: Guards::NotInPlace("a policy is edited".into()),
        ..seen()
    };
    let told = status(&domain, &other, now());
    assert_eq!(find(&told.conditions, condition::READY).unwrap().reason, "StoreOfAnotherCluster");
    assert_eq!(vault(&told), (known.clone(), Some("dead".into())));
    let away =
        DomainFacts { vault: None, reachable: Err(Fault::new(Reason::VaultUnreachable, "")), ..seen() };
    assert_eq!(vault(&status(&domain, &away, now())), (known, None), "Vault cannot be asked");
}

#[test]
fn clocks_a_minute_apart_are_a_fault_in_either_direction() {
    let of = |seconds| clock_fault(SignedDuration::from_secs(seconds)).map(|fault| fault.reason);
    assert_eq!((of(60), of(-60)), (None, None));
    assert_eq!((of(61), of(-61)), (Some(Reason::ClockSkew), Some(Reason::ClockSkew)));
}
