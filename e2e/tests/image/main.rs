//! The image and the chart speak of the same thing. Whether the image is static, the same twice and starts, is
//! checked where it is made: `release/build --check`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper fails its test")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;
use subrosa_e2e::tools::workspace;

fn path(name: &str) -> PathBuf {
    workspace().unwrap().join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&read(name)).unwrap()
}

/// What follows an instruction of the Containerfile; there has to be exactly one of it.
fn instruction(name: &str) -> String {
    let text = read("release/Containerfile");
    let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(&format!("{name} "))).collect();
    assert_eq!(found.len(), 1, "{name} in release/Containerfile: {found:?}");
    found.concat()
}

/// What a script sets a read-only variable to.
fn constant(script: &str, name: &str) -> String {
    let start = format!("readonly {name}=");
    read(script).lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned)).unwrap_or_else(|| {
        panic!("{script} does not set {name}");
    })
}

/// The value behind `key: ` where it is alone on its line in a template.
fn in_template(template: &str, key: &str) -> String {
    let start = format!("{key}: ");
    let text = read(&format!("charts/subrosa/templates/{template}"));
    let found: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix(&start)).collect();
    assert_eq!(found.len(), 1, "{key} in {template}: {found:?}");
    found.concat()
}

fn build(arguments: &[&str]) -> Output {
    Command::new(path("release/build")).args(arguments).output().unwrap()
}

#[test]
fn nothing_but_the_binary_is_in_the_image() {
    assert_eq!(instruction("FROM"), "scratch");
    assert!(instruction("COPY").ends_with(" subrosa /subrosa"));
    let text = read("release/Containerfile");
    for makes_a_layer in ["RUN ", "ADD "] {
        assert!(!text.lines().any(|line| line.starts_with(makes_a_layer)), "{makes_a_layer}");
    }
}

#[test]
fn the_chart_runs_the_image_as_it_is_meant_to() {
    let user = in_template("_helpers.tpl", "runAsUser");
    let group = in_template("_helpers.tpl", "runAsGroup");
    assert_eq!(instruction("USER"), format!("{user}:{group}"));
    assert_eq!(instruction("ENTRYPOINT"), r#"["/subrosa"]"#);
    let run: Value = serde_json::from_str(&instruction("CMD")).unwrap();
    let arguments: Value = serde_saphyr::from_str(&in_template("deployment.yaml", "args")).unwrap();
    assert_eq!(run, arguments);
    assert_eq!(instruction("EXPOSE"), format!("{}/tcp", in_template("deployment.yaml", "containerPort")));
}

#[test]
fn the_charts_default_image_is_what_a_release_is_called() {
    let image = &yaml("charts/subrosa/values.yaml")["image"];
    assert_eq!(image["repository"], constant("release/build", "image_name"));
    assert_eq!(image["tag"], "", "an empty tag is the chart's appVersion");
    // The workspace has one version; release/build tags with it.
    assert_eq!(yaml("charts/subrosa/Chart.yaml")["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn licences_are_checked_for_every_machine_that_an_image_is_made_for() {
    let checked = read("deny.toml");
    let tools = read("release/lib/tools.sh");
    let targets: Vec<&str> =
        tools.split_whitespace().filter(|word| word.ends_with("-unknown-linux-musl")).collect();
    assert_eq!(targets.len(), 2);
    for target in targets {
        assert!(checked.contains(&format!("{target:?}")), "{target} is not in deny.toml");
    }
}

#[test]
fn the_scripts_parse() {
    let mut scripts = vec![path("release/build")];
    scripts.extend(fs::read_dir(path("release/lib")).unwrap().map(|entry| entry.unwrap().path()));
    for script in scripts {
        let checked = Command::new("bash").arg("-n").arg(&script).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn a_wrong_command_line_is_refused_before_anything_is_done() {
    let help = build(&["--help"]);
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for wrong in [&["--arch", "mips"][..], &["--arch"], &["--docker"]] {
        let refused = build(wrong);
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
        assert_eq!(String::from_utf8(refused.stderr).unwrap(), help, "{wrong:?}");
    }
}
