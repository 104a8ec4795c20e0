//! The pages say what the code says: reasons, tests by name, paths and links.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use subrosa_crds::{AccessRole, Reason, access_role::EffectiveRules};
use subrosa_e2e::tools::workspace;

fn root() -> PathBuf {
    workspace().unwrap()
}

/// Every file below `directory` with this extension, but not what was built.
fn files(directory: &Path, extension: &str, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, extension, into);
        } else if path.extension().is_some_and(|found| found == extension) {
            into.push(path);
        }
    }
}

fn pages() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&root(), "md", &mut found);
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The operator's code below `directory`.
fn code(directory: &str) -> String {
    let mut found = Vec::new();
    files(&root().join(directory), "rs", &mut found);
    found.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Where reasons are given.
const CODE: [&str; 5] = [
    "operator/plan/src",
    "operator/records/src",
    "operator/destroyer/src",
    "operator/granter/src",
    "operator/src",
];

/// Texts in backticks outside blocks of code.
fn quoted(page: &str) -> Vec<&str> {
    let outside = page.split("```").step_by(2);
    outside.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_reason_is_explained() {
    let page = fs::read_to_string(root().join("docs/status.md")).unwrap();
    let explained: BTreeSet<&str> = quoted(&page).into_iter().collect();
    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !explained.contains(reason.as_str())).collect();
    assert!(missing.is_empty(), "docs/status.md does not explain {missing:?}");
}

#[test]
fn every_reason_is_given() {
    let code: String = CODE.into_iter().map(code).collect();
    let given: BTreeSet<&str> = code
        .split("Reason::")
        .skip(1)
        .filter_map(|rest| rest.split(|letter: char| !letter.is_alphanumeric()).next())
        .collect();
    let unused: Vec<_> = Reason::ALL.iter().filter(|reason| !given.contains(reason.as_str())).collect();
    assert!(unused.is_empty(), "no code gives {unused:?}");
}

#[test]
fn no_reason_is_explained_that_is_none() {
    let page = fs::read_to_string(root().join("docs/status.md")).unwrap();
    // States of keys are words of their own.
    let code: String = CODE.into_iter().map(code).collect();
    // Of a row, the first or the second cell is the reason.
    let cells =
        page.lines().filter(|line| line.starts_with("| ")).flat_map(|line| line.split('|').skip(1).take(2));
    let named = cells.filter_map(|cell| cell.trim().strip_prefix('`')?.strip_suffix('`'));
    let named: BTreeSet<&str> = named.collect();
    assert!(named.len() > 80, "{named:?}");
    let known = |word: &str| Reason::read(word).is_some() || code.contains(&format!("\"{word}\""));
    let stale: Vec<_> = named.iter().filter(|word| !known(word)).collect();
    assert!(stale.is_empty(), "docs/status.md explains {stale:?}, which no code gives");
}

#[test]
fn tests_that_pages_name_are_there() {
    let mut found = Vec::new();
    files(&root(), "rs", &mut found);
    let code: String = found.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut named = 0;
    // What that page names are settings of servers.
    for (path, page) in pages().into_iter().filter(|(path, _)| !path.ends_with("docs/presets.md")) {
        let is_name = |text: &&str| {
            text.matches('_').count() > 1
                && text.chars().all(|letter| letter == '_' || letter.is_ascii_lowercase())
        };
        // Those of Vault's parameters, of metrics and of their labels.
        let other = |text: &&str| {
            ["allow_", "auto_", "kubernetes_", "pod_", "subrosa_", "token_"]
                .iter()
                .any(|start| text.starts_with(start))
        };
        for name in quoted(&page).into_iter().filter(is_name).filter(|name| !other(name)) {
            named += 1;
            assert!(code.contains(&format!("fn {name}(")), "{}: there is no test {name}", path.display());
        }
    }
    assert!(named > 15, "only {named} names were found");
}

#[test]
fn paths_that_pages_name_are_there() {
    const TOP: [&str; 7] = ["crds/", "operator/", "e2e/", "deploy/", "examples/", "docs/", ".ci/"];
    for (page, text) in pages() {
        for path in quoted(&text) {
            let is_path = TOP.iter().any(|top| path.starts_with(top)) && !path.contains(['<', ' ', '*', '…']);
            assert!(
                !is_path || root().join(path).exists(),
                "{}: there is no {path}",
                page.strip_prefix(root()).unwrap().display()
            );
        }
    }
}

#[test]
fn relative_links_lead_somewhere() {
    let mut checked = 0;
    for (page, text) in pages() {
        let here = page.parent().unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            checked += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { here.join(path) };
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
                let known = headings.map(slug).any(|slug| slug == anchor);
                assert!(known, "{}: {} has no heading #{anchor}", page.display(), target.display());
            }
        }
    }
    assert!(checked > 20, "only {checked} links were found");
}

/// A heading's anchor, as code hosts make it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// A first build takes minutes: whoever runs a command that the README names sees that it goes on.
#[test]
fn the_commands_of_the_readme_hide_no_progress() {
    let config = fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let is_command = |line: &&str| line.trim_start().starts_with("cargo ");
    let aliases = config.lines().filter(|line| line.contains(" = \""));
    let commands: Vec<_> = aliases.chain(readme.lines().filter(is_command)).collect();
    assert!(commands.iter().any(|line| line.starts_with("demo = ")), "{commands:?}");
    assert!(commands.iter().any(|line| line.starts_with("cargo demo")), "{commands:?}");
    let hides = |word: &str| {
        ["-q", "--quiet", "-qq", ">/dev/null", "2>/dev/null", "CARGO_TERM_QUIET"].contains(&word)
    };
    for line in commands {
        let words = line.split(|one: char| one.is_whitespace() || one == '"');
        assert!(!words.into_iter().any(hides), "{line}");
    }
    assert!(!config.contains("quiet"), "[term] quiet hides it too");
}

/// The command of docs/access.md finds the digest that a review repeats, also of what can be granted for a time.
#[test]
#[allow(clippy::print_stdout, reason = "that it did not run")]
fn anybody_can_compute_the_digest_of_a_role_with_the_documented_command() {
    if Command::new("jq").arg("--version").output().is_err() {
        println!("not run: this machine has no jq");
        return;
    }
    let page = fs::read_to_string(root().join("docs/access.md")).unwrap();
    let command = page.split("```sh\n").find(|block| block.contains("sha256sum")).unwrap();
    let command = command.split("```").next().unwrap();
    let (kubectl, rest) = command.split_once(" |").unwrap();
    assert!(kubectl.starts_with("kubectl get accessrole"), "{kubectl}");
    for grants in [json!(null), json!({"max": "8h"}), json!({"max": "30m", "approvals": 3})] {
        let role: AccessRole = serde_json::from_value(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole", "metadata": {"name": "reviewer", "namespace": "cc-front"},
            "spec": {
                "login": "strong", "subjects": [{"group": "/Staff/CC Quality"}, {"group": "all"}], "grants": grants,
                "allow": [{"channels": ["voice", "chat"], "dataClasses": ["fax"], "actions": ["Open"]}],
            },
        }))
        .unwrap();
        let opens = role.spec.rights();
        let effective = EffectiveRules {
            count: 4,
            grants: role.spec.grants.as_ref().map(Into::into),
            digest: String::new(),
            rules: role.spec.rules(&opens).collect(),
        };
        let shown = tempfile::NamedTempFile::new().unwrap();
        fs::write(shown.path(), json!({"status": {"effective": effective}}).to_string()).unwrap();
        let script = format!("cat {} |{rest}", shown.path().display());
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        let expected = role.spec.digest(&opens);
        assert_eq!(found.split_whitespace().next(), expected.strip_prefix("sha256:"), "{script}");
    }
}
