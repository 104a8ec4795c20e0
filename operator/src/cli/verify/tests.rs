use serde_json::{Value, json};

use super::*;
use crate::cli::testing;

/// A finished record as files have it, with the Approvals and the TrustDomain beside it.
fn whole() -> Value {
    let mut record = serde_json::to_value(testing::destruction()).unwrap();
    let keys: Vec<Value> = testing::destruction()
        .spec
        .keys
        .iter()
        .enumerate()
        .map(|(at, key)| {
            json!({
                "id": key.id, "dataClass": key.data_class, "cohort": key.cohort, "state": "Destroyed",
                "createdAt": "2026-07-20T00:00:00Z", "setAsideAt": format!("2026-11-22T12:00:0{at}Z"),
                "destroyedAt": format!("2026-12-06T12:00:0{at}Z"), "canary": format!("vault:v1:canary{at}"),
            })
        })
        .collect();
    let approver = |who: &str| json!({"approver": who, "approval": format!("a-{who}"), "uid": format!("u-{who}"), "at": "2026-11-21T09:00:00Z"});
    record["status"] = json!({
        "state": "Destroyed", "approvals": "2/2", "approvedBy": [approver("anna"), approver("bas")], "total": 4, "setAside": 0,
        "destroyed": 4, "destroyedAt": "2026-12-06T12:00:03Z", "effectiveAt": "2027-01-05T12:00:03Z",
        "method": "cryptographic erase", "keys": keys,
    });
    let mut domain = serde_json::to_value(testing::domain()).unwrap();
    domain["spec"]["vault"]["snapshots"] = json!({"maxAge": "24h", "retain": "10d", "diskRetain": "30d"});
    json!({"record": record, "domain": domain, "approvals": [approval("anna", "Approve"), approval("bas", "Approve")]})
}

fn approval(who: &str, decision: &str) -> Value {
    let order = testing::destruction();
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
        "metadata": {"name": format!("a-{who}"), "uid": format!("u-{who}"), "creationTimestamp": "2026-11-21T09:00:00Z"},
        "spec": {
            "target": {
                "kind": "Destruction", "name": order.name_any(), "uid": "u-order", "digest": order.spec.digest,
            },
            "decision": decision, "approver": who, "expires": "2026-12-01T00:00:00Z",
        },
    })
}

fn found(all: &Value) -> Vec<String> {
    let record = serde_json::from_value(all["record"].clone()).unwrap();
    let approvals: Vec<Approval> = serde_json::from_value(all["approvals"].clone()).unwrap();
    let domain: TrustDomain = serde_json::from_value(all["domain"].clone()).unwrap();
    problems(&record, Beside { approvals: Some(&approvals), domain: Some(&domain) })
}

#[test]
fn a_whole_record_has_no_problem_with_or_without_what_is_beside_it() {
    let all = whole();
    assert_eq!(found(&all), Vec::<String>::new());
    let record: Destruction = serde_json::from_value(all["record"].clone()).unwrap();
    assert_eq!(problems(&record, Beside::default()), Vec::<String>::new());
    let text = told(&record, Beside::default(), &[], Paint(false));
    insta::assert_snapshot!("whole", text);
}

#[test]
fn every_change_is_found() {
    for (pointer, value, expected) in [
        ("/record/spec/keys/0/cohort", json!("2026w29"), "spec.digest"),
        ("/record/spec/nonce", json!("another0another0"), "spec.digest"),
        ("/record/metadata/name", json!("contactcenter.20261120.00000000"), "metadata.name"),
        ("/record/metadata/uid", json!(null), "metadata.uid"),
        ("/record/status", json!(null), "no status"),
        ("/record/status/state", json!("SetAside"), "not finished"),
        ("/record/status/total", json!(5), "status.total"),
        ("/record/status/destroyed", json!(3), "status.destroyed"),
        ("/record/status/method", json!(null), "status.method"),
        ("/record/status/keys/1/cohort", json!("2026w30"), "stands there twice"),
        ("/record/status/keys/1/cohort", json!("2026w29"), "nothing is said of"),
        ("/record/status/keys/1/cohort", json!("2026w29"), "is not in the list"),
        ("/record/status/keys/1/state", json!("Held"), "state is Held"),
        ("/record/status/keys/1/canary", json!(null), "no canary"),
        ("/record/status/keys/1/canary", json!("vault:v1:canary0"), "that of another key"),
        ("/record/status/keys/1/createdAt", json!("2026-11-23T00:00:00Z"), "is before createdAt"),
        ("/record/status/keys/1/destroyedAt", json!("2026-11-22T11:00:00Z"), "is before setAsideAt"),
        ("/record/status/keys/1/setAsideAt", json!(null), "setAsideAt: expected an instant"),
        ("/record/status/keys/1/setAsideAt", json!("2026-11-19T12:00:00Z"), "before the day"),
        ("/record/status/approvals", json!("2/3"), "2 people, and"),
        ("/record/status/approvals", json!("3/2"), "2 people, and"),
        ("/record/status/approvals", json!(null), "status.approvals"),
        ("/record/status/approvals", json!("2/0"), "status.approvals"),
        ("/record/status/approvedBy/1/approver", json!("anna"), "counts twice"),
        ("/record/status/approvedBy/1/approver", json!("system:admin"), "no person"),
        ("/record/status/approvedBy/1/at", json!("2026-11-23T00:00:00Z"), "after a key was set aside"),
        ("/record/status/destroyedAt", json!("2026-12-07T12:00:00Z"), "status.destroyedAt"),
        ("/record/status/effectiveAt", json!("2026-12-01T00:00:00Z"), "before status.destroyedAt"),
        ("/record/status/effectiveAt", json!("2027-01-06T12:00:03Z"), "leads to 2027-01-05"),
        ("/record/status/effectiveAt", json!(null), "leads to 2027-01-05"),
        ("/domain/spec/vault/snapshots/retain", json!("40d"), "was it changed since?"),
        ("/domain/spec/vault/snapshots/diskRetain", json!("40d"), "was it changed since?"),
        ("/approvals/0/metadata/name", json!("other"), "Approval a-anna of anna is not there"),
        ("/approvals/0/metadata/uid", json!("other"), "its UID is another"),
        ("/approvals/0/metadata/creationTimestamp", json!("2026-11-21T10:00:00Z"), "was not made at"),
        ("/approvals/0/spec/approver", json!("dirk"), "its approver is dirk"),
        ("/approvals/0/spec/decision", json!("Deny"), "denies"),
        ("/approvals/0/spec/decision", json!("Deny"), "denied it when a key was set aside"),
        ("/approvals/0/spec/expires", json!("2026-11-22T00:00:00Z"), "ended at"),
        ("/approvals/0/spec/target/digest", json!("sha256:0"), "about something else"),
        ("/approvals/0/spec/target/uid", json!("other"), "about something else"),
        ("/approvals/0/spec/target/kind", json!("LegalHold"), "about something else"),
    ] {
        let mut all = whole();
        *all.pointer_mut(pointer).unwrap() = value.clone();
        let problems = found(&all);
        assert!(problems.iter().any(|one| one.contains(expected)), "{pointer} {value}: {problems:#?}");
    }
}

#[test]
fn a_denial_that_had_ended_or_came_later_is_none() {
    for (field, value) in [
        ("/spec/expires", json!("2026-11-22T11:00:00Z")),
        ("/metadata/creationTimestamp", json!("2026-12-20T00:00:00Z")),
    ] {
        let mut all = whole();
        let mut denial = approval("dirk", "Deny");
        assert_eq!(found(&with(&all, denial.clone())).len(), 1);
        *denial.pointer_mut(field).unwrap() = value;
        all = with(&all, denial);
        assert_eq!(found(&all), Vec::<String>::new());
    }
}

fn with(all: &Value, approval: Value) -> Value {
    let mut all = all.clone();
    all["approvals"].as_array_mut().unwrap().push(approval);
    all
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn verified(files: &[&std::path::Path], name: Option<&str>) -> (Result<Exit>, String, String) {
    let mut line = vec!["verify"];
    line.extend(name);
    for file in files {
        line.extend(["-f", file.to_str().unwrap()]);
    }
    let args = <Line as clap::Parser>::try_parse_from(line).unwrap().args;
    let (mut screen, captured) = Screen::captured();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let exit = runtime.block_on(run(&args, &mut screen));
    (exit, captured.printed(), captured.said())
}

#[test]
fn files_are_verified_without_a_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let (record, approvals) = (directory.path().join("record.yaml"), directory.path().join("approvals.json"));
    let all = whole();
    std::fs::write(&record, crate::cli::stream(&[all["record"].clone()]).unwrap()).unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": all["approvals"]});
    std::fs::write(&approvals, list.to_string()).unwrap();
    let (exit, printed, said) = verified(&[&record, &approvals], None);
    assert_eq!(exit.unwrap(), Exit::Done, "{printed}{said}");
    assert!(
        printed.contains("each Approval is there") && said.contains("canaries do not open"),
        "{printed}{said}"
    );
    let mut wrong = all["record"].clone();
    wrong["status"]["keys"][0]["canary"] = json!("\u{1b}[2J");
    std::fs::write(&record, crate::cli::stream(&[wrong]).unwrap()).unwrap();
    let (exit, printed, _) = verified(&[&record], None);
    assert_eq!(exit.unwrap(), Exit::Wrong);
    assert!(printed.contains("1 problem") && printed.contains("no canary"), "{printed}");
    let (exit, ..) = verified(&[&record], Some("dst/another"));
    assert!(exit.unwrap_err().to_string().contains("hold no such Destruction"));
    let (exit, ..) = verified(&[&record], Some("hold/m"));
    assert!(exit.unwrap_err().to_string().contains("expected destruction/NAME"));
    assert!(<Line as clap::Parser>::try_parse_from(["verify"]).is_err(), "nothing to verify");
}

#[test]
fn snapshots_of_the_time_in_which_a_key_was_back_count() {
    let mut all = whole();
    let key = &mut all["record"]["status"]["keys"][0];
    key["backAt"] = json!("2027-01-10T00:00:00Z");
    key["goneAgainAt"] = json!("2027-02-01T00:00:00Z");
    assert!(
        found(&all).iter().any(|problem| problem.contains("leads to 2027-03-03T00:00:00Z")),
        "{:?}",
        found(&all)
    );
    all["record"]["status"]["effectiveAt"] = json!("2027-03-03T00:00:00Z");
    assert_eq!(found(&all), Vec::<String>::new());
}
