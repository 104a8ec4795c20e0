use serde_json::{Value, json};
use subrosa_crds::{
    retention_policy::Anchor,
    sealing::{Finished, Sealing},
};

use super::*;
use crate::{
    channel::Plan,
    testing::{Scene, certificate, merge, named, read},
};

fn scene() -> Scene {
    let voice = json!({"workload": {"serviceAccountName": "sbc"}, "dataClasses": ["call-recording"]});
    Scene::new().account("cc-front/sbc", "sa-uid").channel("cc-front/voice", voice)
}

fn vault(patch: Value) -> Value {
    let mut vault = json!({"vault": {"address": "https://openbao.security.svc:8200"}});
    merge(&mut vault, json!({"vault": patch}));
    vault
}

fn wanted(plan: &Plan) -> ConfigMap {
    match &plan.settings {
        WantedSettings::Wanted(wanted) => (**wanted).clone(),
        other => panic!("{other:?}"),
    }
}

fn text(plan: &Plan) -> String {
    wanted(plan).data.unwrap().remove(FILE).unwrap()
}

fn told(scene: &Scene) -> Sealing {
    Sealing::from_yaml(&text(&scene.plan("cc-front/voice"))).unwrap()
}

#[test]
fn a_workload_is_told_where_its_keys_are_and_how_they_are_called() {
    let plan = scene().plan("cc-front/voice");
    insta::assert_snapshot!(text(&plan).replace(plan.id.as_str(), "<id>"), @r"
    channel:
      namespace: cc-front
      name: voice
    id: <id>
    vault:
      address: https://openbao.security.svc:8200
      transit: transit
      auth: kubernetes
      role: subrosa-workload
      audience: vault
    timeZone: Europe/Amsterdam
    classes:
    - name: call-recording
      cohort: Week
      anchor: CreatedAt
      keep: 90d
    ");
    let metadata = wanted(&plan).metadata;
    assert_eq!(metadata.name.as_deref(), Some("voice-sealing"));
    assert_eq!(metadata.namespace.as_deref(), Some("cc-front"));
    assert_eq!(metadata.labels, Some(objects::channel_labels("voice")));
    let owner = metadata.owner_references.unwrap().remove(0);
    assert_eq!((owner.uid.as_str(), owner.block_owner_deletion), ("uid-cc-front-voice", Some(false)));
}

#[test]
fn everything_follows_from_channel_domain_and_policy() {
    let bundle = certificate(1) + &certificate(2);
    let patch = vault(json!({
        "address": "http://bao:8200", "allowInsecure": true, "caBundle": {"configMap": "roots", "key": "ca.crt"},
        "mounts": {"transit": "keys"}, "auth": {"kubernetes": {"mount": "cluster-a", "audience": "bao"}},
    }));
    let mut patch = patch;
    merge(&mut patch, json!({"timeZone": "America/New_York"}));
    let scene = scene()
        .domain(crate::testing::DOMAIN, patch)
        .bundle("roots", &format!("# ours\n{bundle}"))
        .retention(
            "contactcenter",
            json!({"classes": [
                {"name": "dossier", "keep": "20y", "anchor": "LastChange", "openFor": "2y", "cohort": "Year"},
                {"name": "chat-log", "keep": "1y"},
            ]}),
        )
        .channel("cc-front/voice", json!({"dataClasses": ["chat-log", "dossier"]}));
    let told = told(&scene);
    assert_eq!(told.channel, named("cc-front/voice"));
    assert_eq!(told.id, scene.plan("cc-front/voice").id);
    assert_eq!((told.vault.address.as_str(), told.vault.allow_insecure), ("http://bao:8200", true));
    assert_eq!(told.vault.ca_bundle, Some(bundle), "the certificates and nothing else");
    let vault = &told.vault;
    assert_eq!(
        (vault.transit.as_str(), vault.auth.as_str(), vault.audience.as_str()),
        ("keys", "cluster-a", "bao")
    );
    assert_eq!((vault.role.as_str(), told.time_zone.as_str()), (WORKLOAD_ROLE, "America/New_York"));
    let dossier = told.class("dossier").unwrap();
    assert_eq!((dossier.anchor, dossier.open_for.as_deref()), (Anchor::LastChange, Some("2y")));
    assert_eq!(told.classes.len(), 2);
    assert!(told.class("call-recording").is_none());
}

#[test]
fn a_day_that_passes_changes_nothing() {
    let scene = scene();
    let at = |now: &str| {
        let now = crate::testing::at(now);
        crate::channel::plan(scene.get("cc-front/voice"), &scene, None, now)
            .unwrap_or_else(|_| panic!())
            .settings
    };
    assert!(matches!(at("2026-11-22T12:00:00Z"), WantedSettings::Wanted(_)));
    assert_eq!(at("2026-11-22T12:00:00Z"), at("2031-01-01T00:00:00Z"));
}

#[test]
fn without_the_authority_of_vault_nothing_is_told() {
    let patch = vault(json!({"caBundle": {"configMap": "roots", "key": "ca.crt"}}));
    let with = |text: Option<&str>| {
        let scene = scene().domain(crate::testing::DOMAIN, patch.clone());
        let scene = text.iter().fold(scene, |scene, text| scene.bundle("roots", text));
        match scene.plan("cc-front/voice").settings {
            WantedSettings::Unknown(fault) => fault,
            other => panic!("{other:?}"),
        }
    };
    let missing = with(None);
    assert_eq!(missing.reason, Reason::CABundleNotFound);
    assert!(
        missing.message.starts_with("vault.caBundle of TrustDomain oosterlinde: "),
        "{}",
        missing.message
    );
    let key = certificate(1).replace("CERTIFICATE", "PRIVATE KEY");
    for wrong in ["", "# to be filled", &(certificate(1) + &key)] {
        assert_eq!(with(Some(wrong)).reason, Reason::CABundleMalformed, "{wrong}");
    }
}

#[test]
fn what_seals_nothing_has_none_and_what_is_not_in_force_keeps_its_own() {
    let of = |scene: Scene| scene.plan("cc-front/voice").settings;
    assert_eq!(of(scene().channel("cc-front/voice", json!({}))), WantedSettings::None);
    let stalled = json!({"dataClasses": ["dreams"]});
    assert_eq!(
        of(scene().channel("cc-front/voice", stalled)),
        WantedSettings::Kept,
        "a class that no policy has"
    );
    let record = scene().record("cc-front/voice");
    let frozen = scene().namespace("cc-front", None);
    assert_eq!(frozen.plan_with("cc-front/voice", Some(&record)).settings, WantedSettings::Kept);
}

#[test]
fn what_differs_is_written_and_what_cannot_be_written_is_replaced() {
    let wanted = wanted(&scene().plan("cc-front/voice"));
    let found = |patch: Value| -> ConfigMap {
        let mut found = serde_json::to_value(&wanted).unwrap();
        merge(&mut found, patch);
        read(found)
    };
    let step = |patch| step(&found(patch), &wanted);
    assert_eq!(step(json!({})), SettingsStep::None);
    assert_eq!(
        step(json!({"metadata": {"labels": {"team": "front"}, "resourceVersion": "7"}})),
        SettingsStep::None
    );
    assert_eq!(step(json!({"immutable": true})), SettingsStep::None, "it says what it should");
    assert_eq!(step(json!({"data": {FILE: "channel: {}"}})), SettingsStep::Write);
    assert_eq!(step(json!({"data": {"more": "text"}})), SettingsStep::Write);
    assert_eq!(step(json!({"data": null})), SettingsStep::Write);
    assert_eq!(step(json!({"metadata": {"labels": {"subrosa.dev/channel": "chat"}}})), SettingsStep::Write);
    assert_eq!(step(json!({"immutable": true, "data": {FILE: ""}})), SettingsStep::Replace);
    assert_eq!(step(json!({"binaryData": {"more": "AAAA"}})), SettingsStep::Replace);
}

#[test]
fn a_fingerprint_tells_settings_apart() {
    let plain = wanted(&scene().plan("cc-front/voice"));
    let zone = scene().domain(crate::testing::DOMAIN, json!({"timeZone": "UTC"}));
    let other = wanted(&zone.plan("cc-front/voice"));
    assert_eq!(SettingsFingerprint::of(&plain), SettingsFingerprint::of(&plain.clone()));
    assert_ne!(SettingsFingerprint::of(&plain), SettingsFingerprint::of(&other));
}

#[test]
fn a_preset_tells_how_a_recording_is_known_to_be_finished() {
    let told_by = |spec: Value| told(&scene().channel("cc-front/voice", spec)).finished;
    let sealing = |preset: &str| {
        json!({
            "preset": preset, "workload": {"serviceAccountName": "voice"}, "dataClasses": ["call-recording"],
            "tls": {"reload": "None"},
        })
    };
    assert_eq!(told_by(sealing("Asterisk")), Some(Finished::Closed));
    assert_eq!(told_by(sealing("FreeSWITCH")), Some(Finished::Quiet));
    assert_eq!(told_by(sealing("PostgreSQL")), None, "it records nothing");
}
