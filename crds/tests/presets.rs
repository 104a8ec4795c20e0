//! `docs/presets.md` says what the table says, and its configuration is that of the examples.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;
use subrosa_crds::{
    Channel,
    preset::{Copied, Preset, page},
    validate::validate_kind,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn example(preset: Preset, file: &str) -> Vec<Value> {
    let path = root().join("examples/presets").join(preset.as_str().to_lowercase()).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The server's files, in the order in which they are written.
fn configuration(preset: Preset) -> Vec<Copied> {
    let objects = example(preset, "workload.yaml");
    let config_map = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
    let data: BTreeMap<String, String> = serde_json::from_value(config_map["data"].clone()).unwrap();
    data.into_iter().map(|(name, text)| Copied { name, text }).collect()
}

#[test]
fn the_page_is_made_from_the_table_and_the_examples() {
    let path = root().join("docs/presets.md");
    let page = page(configuration).unwrap();
    if std::env::var_os("SUBROSA_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert_eq!(found, page, "run SUBROSA_UPDATE=1 cargo test -p subrosa-crds --test presets");
}

#[test]
fn every_example_has_its_preset_and_the_server_reads_every_file_it_needs() {
    for preset in Preset::ALL {
        let channels = example(preset, "channel.yaml");
        let [manifest] = channels.as_slice() else { panic!("{preset}: one Channel") };
        assert_eq!(validate_kind("Channel", manifest), Some(Vec::new()), "{preset}");
        let channel: Channel = serde_json::from_value(manifest.clone()).unwrap();
        assert_eq!(channel.spec.preset, Some(preset));
        let objects = example(preset, "workload.yaml");
        let text = serde_json::to_string(&objects).unwrap();
        for file in ["tls.crt", "tls.key", "clients-ca.crt"] {
            assert!(text.contains(&format!("/etc/tls/{file}")), "{preset}: nothing reads {file}");
        }
        for offer in preset.facts().listeners {
            assert!(text.contains(&offer.ports.start.to_string()), "{preset}: nothing on {}", offer.ports);
        }
        let (workload, template) = workload(&objects);
        let labels = &channel.spec.workload.selector.match_labels.clone().unwrap();
        for (key, value) in labels {
            assert_eq!(
                &template["metadata"]["labels"][key], value,
                "{preset}: the Channel selects other pods"
            );
        }
        assert_eq!(
            workload["metadata"]["namespace"].as_str(),
            channel.metadata.namespace.as_deref(),
            "{preset}"
        );
        let secret = format!("{}-mtls", channel.metadata.name.clone().unwrap());
        let volumes = template["spec"]["volumes"].as_array().unwrap();
        assert!(volumes.iter().any(|one| one["secret"]["secretName"] == *secret), "{preset}: {secret}");
        if let Some(named) = &channel.spec.workload.ref_ {
            assert_eq!(format!("{:?}", named.kind), workload["kind"], "{preset}");
            assert_eq!(named.name, workload["metadata"]["name"], "{preset}");
        }
        let command = preset.facts().command.and_then(|command| command.split(' ').next());
        let reloads = container(template, "reload");
        assert_eq!(reloads.is_some(), command.is_some(), "{preset}: a container that reloads");
        if let (Some(reloads), Some(command)) = (reloads, command) {
            assert!(reloads["args"][0].as_str().unwrap().contains(command), "{preset}: {command}");
        }
    }
}

fn workload(objects: &[Value]) -> (&Value, &Value) {
    let found = objects.iter().find(|object| object["apiVersion"] == "apps/v1").unwrap();
    (found, &found["spec"]["template"])
}

fn container<'a>(template: &'a Value, name: &str) -> Option<&'a Value> {
    template["spec"]["containers"].as_array().unwrap().iter().find(|one| one["name"] == name)
}
