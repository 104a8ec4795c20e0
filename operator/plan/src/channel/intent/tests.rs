use std::sync::Arc;

use serde_json::{Value, json};
use subrosa_crds::{Reason, WITHDRAW_ACCESS_FINALIZER};

use super::*;
use crate::testing::{DOMAIN, Scene, merge, now};

const VOICE: &str = "cc-front/voice";

fn voice(patch: Value) -> Value {
    let mut spec = json!({
        "workload": {"selector": {"matchLabels": {"app": "voice"}}, "serviceAccountName": "voice"},
        "dataClasses": ["call-recording"],
    });
    merge(&mut spec, patch);
    spec
}

fn scene() -> Scene {
    let mut scene = Scene::new().channel(VOICE, voice(json!({}))).account(VOICE, "uid-1");
    let domain = Arc::make_mut(scene.world.domains.get_mut(DOMAIN).unwrap());
    domain.metadata.finalizers = Some(vec![WITHDRAW_ACCESS_FINALIZER.into()]);
    scene
}

fn had(uid: &str, may_open: bool) -> ChannelRecord {
    ChannelRecord {
        access: Some(Access { service_account_uid: uid.into(), may_open }),
        ..scene().first_record(VOICE)
    }
}

fn change(scene: &Scene, record: &ChannelRecord) -> AccessChange {
    scene.plan_with(VOICE, Some(record)).access_change(record)
}

fn noted(scene: &Scene, record: &ChannelRecord, withdrawn: bool) -> Option<String> {
    let done = WithdrawalProgress { withdrawn, closed: true, presented_until: None, oldest_pod: None };
    let (after, _) = scene.plan_with(VOICE, Some(record)).intent(record.clone(), done, now());
    after.access.map(|access| access.service_account_uid)
}

#[test]
fn access_of_another_service_account_is_withdrawn() {
    assert_eq!(change(&scene(), &had("uid-1", false)), AccessChange::None);
    let old = had("uid-0", false);
    assert_eq!(change(&scene(), &old), AccessChange::Withdraw(old.access.clone().unwrap()));
    assert_eq!(noted(&scene(), &old, true).as_deref(), Some("uid-1"));
    assert_eq!(noted(&scene(), &old, false).as_deref(), Some("uid-0"), "it could not be withdrawn yet");
    let none = ChannelRecord { access: None, ..old };
    assert_eq!(noted(&scene(), &none, false).as_deref(), Some("uid-1"), "there is nothing to forget");
}

#[test]
fn access_that_may_not_open_any_more_is_narrowed() {
    let wanted = scene().plan(VOICE).access.unwrap();
    assert!(!wanted.may_open, "a workload only seals, unless it is said");
    assert_eq!(change(&scene(), &had("uid-1", true)), AccessChange::Narrow(wanted));
    let opens = scene().channel(VOICE, voice(json!({"encryption": {"workloadMay": ["Open", "Seal"]}})));
    assert_eq!(change(&opens, &had("uid-1", true)), AccessChange::None);
    assert_eq!(change(&opens, &had("uid-1", false)), AccessChange::None, "more is granted, not withdrawn");
}

#[test]
fn a_stalled_channel_keeps_its_access_and_a_frozen_one_gets_no_other() {
    let old = had("uid-0", false);
    let stalled = scene().channel(VOICE, voice(json!({"dataClasses": ["unheard-of"]})));
    assert_eq!(change(&stalled, &old), AccessChange::None);
    assert_eq!(noted(&stalled, &old, true).as_deref(), Some("uid-0"));
    let frozen = scene().namespace("cc-front", None);
    assert_eq!(change(&frozen, &old), AccessChange::Withdraw(old.access.clone().unwrap()));
    assert_eq!(noted(&frozen, &old, true), None, "nothing new is given there");
    for held in [stalled, frozen] {
        let plan = held.plan_with(VOICE, Some(&old));
        assert_eq!(plan.access_to_give(held.get(VOICE)), Ok(None));
    }
}

#[test]
fn access_is_given_to_an_account_that_is_there_in_a_domain_that_would_withdraw_it() {
    let gives = |scene: &Scene| {
        let plan = scene.plan(VOICE);
        plan.access_to_give(scene.get(VOICE))
            .map(|given| given.map(|access| access.service_account_uid.clone()))
            .map_err(|fault| fault.reason)
    };
    assert_eq!(gives(&scene()), Ok(Some("uid-1".into())));
    assert_eq!(gives(&scene().domain(DOMAIN, json!({}))), Err(Reason::TrustDomainPending));
    let homeless = scene().channel(VOICE, voice(json!({"workload": {"serviceAccountName": "other"}})));
    assert_eq!(gives(&homeless), Err(Reason::ServiceAccountNotFound));
    let seals_nothing = homeless.channel(VOICE, voice(json!({"dataClasses": null})));
    assert_eq!(gives(&seals_nothing), Ok(None));
}

#[test]
fn that_trust_was_withdrawn_is_told_with_the_change_of_the_record() {
    let connects = json!({"connectsTo": [{"name": "ivr"}], "dataClasses": null});
    let accepts = json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "voice"}]});
    let both = scene().channel(VOICE, voice(connects)).channel("cc-front/ivr", accepts);
    let record = both.record(VOICE);
    assert_eq!(record.open.len(), 1);
    let told = |scene: &Scene, closed: bool| {
        let done = WithdrawalProgress { withdrawn: closed, closed, presented_until: None, oldest_pod: None };
        scene.plan_with(VOICE, Some(&record)).intent(record.clone(), done, now()).1.withdrawn
    };
    assert!(!told(&both, true), "nothing was withdrawn");
    let alone = both.channel("cc-front/ivr", json!({}));
    assert!(!told(&alone, false), "it could not be withdrawn yet");
    assert!(told(&alone, true));
}
