//! People decide with the command line, each with a login of their own; what the API server refuses, they are told.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use jiff::SignedDuration;
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use subrosa_crds::Approval;
use subrosa_e2e::operator;

use crate::world::{NS, World, hold, policy};

/// Somebody at a shell.
pub struct Person {
    kubeconfig: PathBuf,
}

/// How a command ended, and what it said.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    printed: String,
    said: String,
}

impl Person {
    pub fn new(world: &World, name: &str) -> Self {
        let token = world.env.user_token(name).unwrap();
        Self { kubeconfig: world.env.kubeconfig_for_token(name, token).unwrap() }
    }

    fn runs(&self, line: &str) -> Ended {
        let mut command = Command::new(operator::binary().unwrap());
        command.args(line.split_whitespace()).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: status.code(), printed: text(stdout), said: text(stderr) }
    }

    /// What a command prints that goes well.
    pub fn well(&self, line: &str) -> String {
        let ended = self.runs(line);
        assert_eq!(ended.code, Some(0), "{line}: {ended:#?}");
        ended.printed
    }
}

async fn approvals(world: &World) -> Vec<Approval> {
    let all: Api<Approval> = Api::all(world.admin.clone());
    all.list(&ListParams::default()).await.unwrap().items
}

/// Somebody leaves.
pub fn leaver(user: &str) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRevocation", "metadata": {"name": "leaver"},
        "spec": {"subject": {"user": user}, "reason": "Exit"},
    })
}

/// A user who may make Approvals, and has the verb `approve` on nothing.
async fn may_write_only(world: &World, user: &str) {
    let (group, name) = ("rbac.authorization.k8s.io", format!("{user}-writes"));
    let api = format!("{group}/v1");
    for object in [
        json!({"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": name}, "rules": [
            {"apiGroups": ["subrosa.dev"], "resources": ["approvals"], "verbs": ["create"]},
            {"apiGroups": ["subrosa.dev"], "resources": ["*"], "verbs": ["get", "list"]},
        ]}),
        json!({"apiVersion": api, "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}]}),
    ] {
        world.apply(&object).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_approve_and_deny_by_the_command_line_and_keep_the_record() {
    let world = World::start(&["portal"]).await;
    world.look().await;
    let sealed = world.sealed("portal").await;
    let order = world.list(&["portal"]).await;
    let name = order.name_any();
    world.days_on(4).await;
    let (anna, bas, eva) =
        (Person::new(&world, "anna"), Person::new(&world, "bas"), Person::new(&world, "eva"));
    may_write_only(&world, "eva").await;
    refused(&world, &eva, &anna, &name).await;
    // Who left approved it before: that counts nowhere.
    world.apply(&leaver("CEES")).await;
    world.approve("cees", &order).await;

    let open = anna.well("status --destruction");
    assert!(open.contains(&name) && open.contains("AwaitingApproval") && open.contains("0/2"), "{open}");
    let first = anna.well(&format!("approve destruction.subrosa.dev/{name} --yes"));
    assert!(first.contains("Channel cc-front/portal") && first.contains("0 of 2 people"), "{first}");
    assert!(
        first.contains("1 of 2 people: anna approve.") && first.contains("More people have to"),
        "{first}"
    );
    world.look().await;
    assert_eq!(world.state(&name).await, "AwaitingApproval");
    let second = bas.well(&format!("approve dst/{name} --yes"));
    assert!(
        second.contains("1 of 2 people: anna\n") && second.contains("2 of 2 people: anna, bas"),
        "{second}"
    );
    world.look().await;
    assert_eq!(world.state(&name).await, "SetAside");
    assert!(!world.opens("portal", &sealed).await);
    let unfinished = anna.runs(&format!("verify destruction/{name}"));
    assert!(unfinished.code == Some(1) && unfinished.printed.contains("not finished"), "{unfinished:#?}");

    // The destroyer's clock is four days on: for it the denial counts for two days.
    let denied = bas.well(&format!("deny Destruction/{name} --yes --expires 6d"));
    assert!(denied.contains("1 key set aside: brought back"), "{denied}");
    world.look().await;
    assert_eq!(world.state(&name).await, "ApprovalDenied");
    assert!(world.opens("portal", &sealed).await);
    world.days_on(3).await;
    assert_eq!(world.state(&name).await, "SetAside", "the denial ended, and both approve still");
    world.days_on(2).await;
    assert_eq!(world.state(&name).await, "Destroyed");
    assert!(!world.opens("portal", &sealed).await);
    kept(&world, &anna, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_end_a_hold_and_a_freeze_and_let_weaker_rules_bind() {
    let world = World::start(&["portal"]).await;
    world.look().await;
    let (anna, bas) = (Person::new(&world, "anna"), Person::new(&world, "bas"));
    world.apply(&hold("matter", json!({"namespaces": [NS]}))).await;
    world.look().await;
    let early = anna.well("approve hold/matter --yes");
    assert!(early.contains("Nobody asks for its end yet") && early.contains("2026-114"), "{early}");
    world.release("matter").await;
    world.look().await;
    let held = anna.well("status --destruction");
    assert!(held.contains("matter") && held.contains("1/2"), "{held}");
    let second = bas.well("approve legalholds.subrosa.dev/matter --yes");
    assert!(second.contains("2 of 2 people: anna, bas approve."), "{second}");
    world.look().await;
    let status = world.hold("matter").await.status.unwrap();
    assert_eq!(status.conditions[1].reason, "Released", "{status:#?}");
    assert!(anna.well("status --destruction").contains("Nothing is held."));

    world.apply(&policy(json!({"approvals": 1}))).await;
    world.look().await;
    for person in [&anna, &bas] {
        let shown = person.well("approve rtp/contactcenter --yes");
        assert!(shown.contains("approvals: 1 (2 bind), in TrustDomain oosterlinde"), "{shown}");
    }
    world.look().await;
    assert!(anna.well("approve rtp/contactcenter --dry-run").contains("kind: Approval"));
    let waits = anna.well("status --destruction");
    assert!(!waits.contains("RULES THAT WAIT"), "{waits}");

    world.destroyer.clocks().moves(SignedDuration::from_hours(24 * 9));
    world.look().await;
    let frozen = anna.well("status --destruction");
    assert!(frozen.contains("NOTHING IS DESTROYED IN") && frozen.contains("ClockJumped"), "{frozen}");
    let ended = anna.well("approve td/oosterlinde --yes");
    assert!(
        ended.contains("more than seven days") && ended.contains("1 of 1 people: anna approve."),
        "{ended}"
    );
    world.look().await;
    let goes_on = anna.well("status --destruction");
    assert!(!goes_on.contains("ClockJumped"), "{goes_on}");
}

/// What must not be made is refused with a reason, and nothing is made.
async fn refused(world: &World, eva: &Person, anna: &Person, name: &str) {
    let without_verb = eva.runs(&format!("approve destruction/{name} --yes"));
    assert_eq!(without_verb.code, Some(3), "{without_verb:#?}");
    assert!(without_verb.said.contains("takes the verb approve on retentionpolicies"), "{without_verb:#?}");
    let token = world.env.service_account_token("subrosa-system", "subrosa", "").await.unwrap();
    let machine = Person { kubeconfig: world.env.kubeconfig_for_token("machine", &token).unwrap() };
    let machine = machine.runs(&format!("approve destruction/{name} --yes"));
    assert!(machine.code == Some(3) && machine.said.contains("a person decides"), "{machine:#?}");
    let unasked = anna.runs(&format!("approve destruction/{name}"));
    assert!(unasked.code == Some(3) && unasked.said.contains("--yes"), "{unasked:#?}");
    let nothing = anna.runs("approve trustdomain/oosterlinde --yes");
    assert!(nothing.code == Some(3) && nothing.said.contains("nothing is frozen"), "{nothing:#?}");
    let shown = anna.runs(&format!("approve destruction/{name} -o yaml"));
    assert!(shown.code == Some(0) && shown.said.contains("Channel cc-front/portal"), "{shown:#?}");
    assert!(
        shown.printed.contains("kind: Approval") && shown.printed.contains("approver: anna"),
        "{shown:#?}"
    );
    assert!(approvals(world).await.is_empty());
}

/// The record is whole in the cluster and in files, and a change in it is found.
async fn kept(world: &World, anna: &Person, name: &str) {
    let whole = anna.well(&format!("verify destruction/{name}"));
    assert!(whole.contains("no problem found") && whole.contains("approved by anna, bas"), "{whole}");
    assert!(whole.contains("each Approval is there"), "{whole}");
    let told = anna.well(&format!("explain destruction/{name}"));
    assert!(told.contains("cryptographic erase"), "{told}");
    let directory = world.env.directory();
    let (record, changed) = (directory.join("record.json"), directory.join("changed.json"));
    let object = world.destruction(name).await;
    std::fs::write(&record, serde_json::to_string(&object).unwrap()).unwrap();
    let mut forged = serde_json::to_value(&object).unwrap();
    forged["spec"]["keys"][0]["cohort"] = json!("20200101");
    std::fs::write(&changed, forged.to_string()).unwrap();
    let offline = |file: &Path| {
        let nowhere = Person { kubeconfig: "/nowhere".into() };
        nowhere.runs(&format!("verify -f {}", file.display()))
    };
    let whole = offline(&record);
    assert!(whole.code == Some(0) && whole.said.contains("Not looked at"), "{whole:#?}");
    let forged = offline(&changed);
    assert!(forged.code == Some(1) && forged.printed.contains("spec.digest"), "{forged:#?}");
}
