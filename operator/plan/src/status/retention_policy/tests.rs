use serde_json::{Value, json};

use super::*;
use crate::testing::{DOMAIN, Scene, now};

fn rows(scene: &Scene, name: &str) -> Vec<(String, String, String)> {
    let status = status(&scene.retention[name], scene, now());
    assert_eq!(status.observed_generation, Some(5));
    status.conditions.into_iter().map(|one| (one.type_, one.status, one.reason)).collect()
}

fn consistent() -> Vec<(String, String, String)> {
    vec![("Ready".into(), "True".into(), "Consistent".into())]
}

fn contradictory() -> Vec<(String, String, String)> {
    let row = |kind: &str, truth: &str| (kind.to_owned(), truth.to_owned(), "Contradictory".to_owned());
    vec![row("Ready", "False"), row("Stalled", "True")]
}

fn class(keep: &str, jurisdiction: &str, period: &str) -> Value {
    json!({"classes": [{
        "name": "dossier", "keep": keep, "cohort": "Year",
        "minimums": [{"jurisdiction": jurisdiction, "period": period, "basis": "a law"}],
    }]})
}

#[test]
fn what_can_be_kept_is_ready() {
    let scene = Scene::new().retention("contactcenter", class("20y", "NL", "20y"));
    assert_eq!(rows(&scene, "contactcenter"), consistent());
}

#[test]
fn below_the_law_of_an_allowing_domain_it_is_stalled() {
    let scene = Scene::new().retention("contactcenter", class("10y", "NL", "20y"));
    assert_eq!(rows(&scene, "contactcenter"), contradictory());
    let [problem] = problems(&scene.retention["contactcenter"], &scene, now())
        .into_iter()
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert!(problem.starts_with("spec.classes[0].keep: ") && problem.contains("a law"), "{problem}");
}

#[test]
fn a_jurisdiction_is_judged_where_the_policy_is_allowed() {
    let policy = class("20y", "US", "6y");
    let allowed = Scene::new().retention("contactcenter", policy.clone());
    assert_eq!(rows(&allowed, "contactcenter"), contradictory(), "the domain has NL and EU");
    let unused = Scene::new().retention("other", policy.clone());
    assert_eq!(rows(&unused, "other"), consistent(), "no domain allows it: it is judged by itself");
    let below = Scene::new().retention("other", class("1y", "US", "6y"));
    assert_eq!(rows(&below, "other"), contradictory());
    let two = allowed.domain("american", json!({"jurisdictions": ["US"]}));
    assert_eq!(rows(&two, "contactcenter"), contradictory(), "one of two is not enough");
    assert_eq!(
        rows(&two.domain(DOMAIN, json!({"jurisdictions": ["NL", "US"]})), "contactcenter"),
        consistent()
    );
}

#[test]
fn every_problem_is_said_once() {
    let classes = json!({"classes": [
        {"name": "a", "keep": "90d", "max": "91d"},
        {"name": "a", "keep": "forever"},
    ]});
    let scene = Scene::new().retention("contactcenter", classes).domain("second", json!({}));
    let found = problems(&scene.retention["contactcenter"], &scene, now());
    let fields: Vec<_> = found.iter().map(|one| one.split(": ").next().unwrap()).collect();
    assert_eq!(fields, ["spec.classes[0].max", "spec.classes[1].keep", "spec.classes[1].name"]);
}
