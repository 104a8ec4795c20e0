//! Who decides that data ends: forged Approvals, Destructions and releases, and the true ones beside them.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    request::{
        Case,
        Expected::{self, Allowed, Denied, Forbidden, Invalid},
        RBAC, Request, apply, delete, get, merge, post, put,
    },
    world::{
        ADMIN, APPROVER, APPROVER_OF_ONE, AUDITOR, DESTROYER, MEDDLER, OFFICER, OPERATOR, WORKLOAD, World,
        approval, cluster_rbac, destruction, legal_hold, owned, role_ref, subrosa, user,
    },
};

const APPROVAL: &str = "subrosa-approval";
const DESTRUCTION: &str = "subrosa-destruction";
const HOLD: &str = "subrosa-legal-hold";

/// The Destruction that is listed in these tests.
const LISTED: &str = "contactcenter.20270101.0a1b2c3d";
const NODE: &str = "system:node:one";

fn case(who: &'static str, what: &'static str, request: Request, expected: Expected) -> Case {
    Case { who, what, request, expected }
}

/// The object with one field set.
fn with(mut object: Value, pointer: &str, field: &str, value: Value) -> Value {
    object.pointer_mut(pointer).unwrap()[field] = value;
    object
}

fn make(resource: &str, object: Value) -> Request {
    post(subrosa(resource, ""), object).dry()
}

/// One that says so of `target`, and is not kept.
fn decide(kind: &str, target: &str, approver: &str) -> Request {
    make("approvals", approval("one", kind, target, approver))
}

pub async fn is_approved_by_people_in_their_own_names(world: &World) -> Result<()> {
    bind_what_is_no_person(world).await?;
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let whoami = world.must(ADMIN, post(reviews, review)).await?;
    let admin = whoami["status"]["userInfo"]["username"].as_str().context("a name")?.to_owned();
    let workload = "system:serviceaccount:plain:default";
    let himself = Denied(APPROVAL, "everybody decides for themselves");
    let person = Denied(APPROVAL, "cannot approve or deny: a person decides");
    let generated = |approver| {
        let mut one = approval("one", "Destruction", LISTED, approver);
        one["metadata"] = json!({ "generateName": "one-" });
        make("approvals", one)
    };
    let finalizers =
        with(approval("one", "Destruction", LISTED, APPROVER), "/metadata", "finalizers", json!(["a.b/c"]));
    let cases = vec![
        case(APPROVER, "approves", decide("Destruction", LISTED, APPROVER), Allowed),
        case(APPROVER, "approves under a generated name", generated(APPROVER), Allowed),
        case(APPROVER, "approves as somebody else", decide("Destruction", LISTED, OFFICER), himself),
        case(
            APPROVER,
            "approves as another approver",
            decide("Destruction", LISTED, APPROVER_OF_ONE),
            himself,
        ),
        case(APPROVER, "approves as another, name generated", generated(OFFICER), himself),
        case(APPROVER, "approves in capitals", decide("Destruction", LISTED, "Approver"), himself),
        case(APPROVER, "approves with a blank", decide("Destruction", LISTED, "approver "), himself),
        case(
            APPROVER,
            "names a ServiceAccount",
            decide("Destruction", LISTED, workload),
            Invalid("a person decides"),
        ),
        case(
            APPROVER,
            "approves as another by impersonation",
            decide("Destruction", LISTED, OFFICER).acting_as(OFFICER),
            Forbidden("cannot impersonate"),
        ),
        case(
            APPROVER,
            "makes one that goes with another",
            make("approvals", owned(approval("one", "Destruction", LISTED, APPROVER))),
            Denied(APPROVAL, "it belongs to nothing and stays"),
        ),
        case(
            APPROVER,
            "makes one that waits to go",
            make("approvals", finalizers),
            Denied(APPROVAL, "it belongs to nothing and stays"),
        ),
        case(
            WORKLOAD,
            "approves as itself",
            decide("Destruction", LISTED, workload),
            Invalid("a person decides"),
        ),
        case(WORKLOAD, "approves as a person", decide("Destruction", LISTED, APPROVER), person),
        case(
            ADMIN,
            "approves as a node, as a person",
            decide("Destruction", LISTED, APPROVER).acting_as(NODE),
            person,
        ),
        case(OPERATOR, "approves", decide("Destruction", LISTED, APPROVER), RBAC),
        case(DESTROYER, "approves", decide("Destruction", LISTED, APPROVER), RBAC),
        case(OFFICER, "approves without the role", decide("Destruction", LISTED, OFFICER), RBAC),
        case(
            MEDDLER,
            "approves without the verb",
            decide("Destruction", LISTED, MEDDLER),
            Denied(
                APPROVAL,
                "takes the verb approve on retentionpolicies.subrosa.dev contactcenter, which meddler does not have",
            ),
        ),
        // Of a cluster administrator (group system:masters) the name counts.
        case(ADMIN, "approves as itself", decide("Destruction", LISTED, &admin), Allowed),
        case(ADMIN, "approves as a person", decide("Destruction", LISTED, APPROVER), himself),
        case(
            ADMIN,
            "applies one as a person",
            apply(subrosa("approvals", "one"), approval("one", "Destruction", LISTED, APPROVER)).dry(),
            himself,
        ),
        case(
            ADMIN,
            "applies one as itself",
            apply(subrosa("approvals", "one"), approval("one", "Destruction", LISTED, &admin)).dry(),
            Allowed,
        ),
        // Whoever may impersonate is that person to the API server. SECURITY.md says so.
        case(ADMIN, "becomes a person", decide("Destruction", LISTED, APPROVER).acting_as(APPROVER), Allowed),
    ];
    world.try_all("approvals", cases).await?;
    world.try_all("the verb approve", of_one_policy()).await?;
    stay_as_they_are(world).await
}

/// What the verb on one RetentionPolicy is good for.
fn of_one_policy() -> Vec<Case> {
    let me = APPROVER_OF_ONE;
    let tries = |what, kind: &str, target: &str, expected| case(me, what, decide(kind, target, me), expected);
    let nameless = Denied(APPROVAL, "which is no name of a Destruction");
    let takes = |words| Denied(APPROVAL, words);
    vec![
        tries("approves its Destruction", "Destruction", LISTED, Allowed),
        tries("approves its weaker rules", "RetentionPolicy", "contactcenter", Allowed),
        tries(
            "approves of another policy",
            "Destruction",
            "hr.20270101.0a1b2c3d",
            takes("approve on retentionpolicies.subrosa.dev hr,"),
        ),
        tries(
            "approves of a policy that begins alike",
            "Destruction",
            "contactcenter-2.20270101.0a1b2c3d",
            takes("retentionpolicies.subrosa.dev contactcenter-2,"),
        ),
        tries(
            "approves of a policy that it begins like",
            "Destruction",
            "contact.20270101.0a1b2c3d",
            takes("retentionpolicies.subrosa.dev contact,"),
        ),
        tries("names no dots", "Destruction", "contactcenter", nameless),
        tries("names one dot", "Destruction", "contactcenter.20270101", nameless),
        tries("names two policies", "Destruction", "contactcenter.hr.20270101.0a1b2c3d", nameless),
        tries("names another day", "Destruction", "contactcenter.2027-01-01.0a1b2c3d", nameless),
        tries("names more after it", "Destruction", "contactcenter.20270101.0a1b2c3d.hr", nameless),
        tries(
            "begins with a dot",
            "Destruction",
            ".contactcenter.20270101.0a1b2c3d",
            Invalid("spec.target.name"),
        ),
        tries("approves other rules", "RetentionPolicy", "hr", takes("retentionpolicies.subrosa.dev hr,")),
        tries(
            "releases a hold",
            "LegalHold",
            "contactcenter",
            takes("approve on legalholds.subrosa.dev contactcenter,"),
        ),
        tries(
            "ends a freeze",
            "TrustDomain",
            "contactcenter",
            takes("approve on trustdomains.subrosa.dev contactcenter,"),
        ),
        tries("approves what there is not", "Namespace", "contactcenter", Invalid("Unsupported value")),
        case(APPROVER, "releases a hold", decide("LegalHold", "matter", APPROVER), Allowed),
        case(APPROVER, "ends a freeze", decide("TrustDomain", "oosterlinde", APPROVER), Allowed),
    ]
}

/// One that stands is neither changed nor taken back: who could delete a denial would decide.
async fn stay_as_they_are(world: &World) -> Result<()> {
    let deny = with(approval("deny", "Destruction", LISTED, APPROVER), "/spec", "decision", json!("Deny"));
    let made = world.must(APPROVER, post(subrosa("approvals", ""), deny)).await?;
    let path = subrosa("approvals", "deny");
    let edit = |value: Value| merge(&path, value).dry();
    let metadata = |field: &str, value: Value| edit(json!({ "metadata": { (field): value } }));
    let edited = Denied(APPROVAL, "is never edited, nor its metadata");
    let stays = Denied(APPROVAL, "stays: if one that denies could be deleted");
    let immutable = Invalid("an Approval is never edited");
    let owner = owned(json!({ "metadata": {} }))["metadata"]["ownerReferences"].clone();
    let cases = vec![
        case(
            ADMIN,
            "lets it expire",
            edit(json!({ "spec": { "expires": "2026-01-01T00:00:00Z" } })),
            immutable,
        ),
        case(ADMIN, "turns it round", edit(json!({ "spec": { "decision": "Approve" } })), immutable),
        case(MEDDLER, "turns it round", edit(json!({ "spec": { "decision": "Approve" } })), immutable),
        case(APPROVER, "turns it round", edit(json!({ "spec": { "decision": "Approve" } })), RBAC),
        case(ADMIN, "labels it", metadata("labels", json!({ "a": "b" })), edited),
        case(MEDDLER, "notes on it", metadata("annotations", json!({ "a": "b" })), edited),
        case(ADMIN, "has it wait to go", metadata("finalizers", json!(["a.b/c"])), edited),
        case(ADMIN, "has it go with another", metadata("ownerReferences", owner), edited),
        case(ADMIN, "changes nothing", edit(json!({})), Allowed),
        case(ADMIN, "writes it as it is", put(&path, made).dry(), Allowed),
        case(APPROVER, "deletes it", delete(&path).dry(), RBAC),
        case(ADMIN, "deletes it", delete(&path), stays),
        case(MEDDLER, "deletes it", delete(&path), stays),
        case(MEDDLER, "deletes all", delete(subrosa("approvals", "")), stays),
        case(OPERATOR, "deletes it", delete(&path), RBAC),
        case(DESTROYER, "deletes it", delete(&path), RBAC),
        case(AUDITOR, "reads it", get(&path), Allowed),
    ];
    world.try_all("an Approval that stands", cases).await
}

/// RBAC may be given to whom a person's decision is none of; admission still refuses.
async fn bind_what_is_no_person(world: &World) -> Result<()> {
    let subjects = json!([{ "kind": "ServiceAccount", "name": "default", "namespace": "plain" }, user(NODE)]);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "no-persons" }, "roleRef": role_ref("subrosa-approver"), "subjects": subjects,
    });
    world.must(ADMIN, post(cluster_rbac("clusterrolebindings", ""), binding)).await?;
    for request in [get(subrosa("approvals", "")), get(subrosa("approvals", "")).acting_as(NODE)] {
        let who = if request.impersonate.is_some() { ADMIN } else { WORKLOAD };
        world
            .eventually("a right that was just bound", async || {
                Ok(world.call(who, request.clone()).await?.status == 200)
            })
            .await?;
    }
    Ok(())
}

pub async fn is_listed_by_the_operator_and_told_by_the_destroyer(world: &World) -> Result<()> {
    let path = subrosa("destructions", LISTED);
    let status = format!("{path}/status");
    let told = |state: &str| merge(&status, json!({ "status": { "state": state } }));
    let edit = |value: Value| merge(&path, value).dry();
    let named = |name: &str| with(destruction(), "/metadata", "name", json!(name));
    let made = Denied(
        DESTRUCTION,
        "Destructions are made by the operator (system:serviceaccount:subrosa-system:subrosa)",
    );
    let misnamed = Denied(DESTRUCTION, "expected contactcenter.20270101.0a1b2c3d");
    let forged = Denied(DESTRUCTION, "the status of a Destruction is what the destroyer");
    let edited = Denied(DESTRUCTION, "is never edited, nor its metadata");
    let stays = Denied(DESTRUCTION, "stays: it is the record");
    let list = |object| make("destructions", object);
    let cases = vec![
        case(ADMIN, "lists keys", list(destruction()), made),
        case(MEDDLER, "lists keys", list(destruction()), made),
        case(APPROVER, "lists keys", list(destruction()), RBAC),
        case(OFFICER, "lists keys", list(destruction()), RBAC),
        case(DESTROYER, "lists keys", list(destruction()), RBAC),
        case(OPERATOR, "lists keys", list(destruction()), Allowed),
        case(
            OPERATOR,
            "names it after another day",
            list(named("contactcenter.20270102.0a1b2c3d")),
            misnamed,
        ),
        case(
            OPERATOR,
            "names it after another list",
            list(named("contactcenter.20270101.0a1b2c3e")),
            misnamed,
        ),
        case(
            OPERATOR,
            "names it after another policy",
            list(named("hr.20270101.0a1b2c3d")),
            Invalid("begins with its RetentionPolicy's name"),
        ),
        case(
            OPERATOR,
            "has it go with another",
            list(owned(destruction())),
            Denied(DESTRUCTION, "it belongs to nothing and stays"),
        ),
    ];
    world.try_all("listing", cases).await?;

    let forging = with(destruction(), "", "status", json!({ "state": "Destroyed", "destroyed": 1 }));
    let listed = world.must(OPERATOR, post(subrosa("destructions", ""), forging)).await?;
    ensure!(listed["status"].is_null(), "a status came with it: {listed}");
    let cases = vec![
        case(DESTROYER, "tells of it", told("AwaitingApproval"), Allowed),
        case(ADMIN, "tells of it", told("Destroyed").dry(), forged),
        case(MEDDLER, "tells of it", told("Destroyed").dry(), forged),
        case(OPERATOR, "tells of it", told("Destroyed").dry(), RBAC),
        case(APPROVER, "tells of it", told("Destroyed").dry(), RBAC),
        case(
            ADMIN,
            "adds a key",
            edit(json!({ "spec": { "nonce": "fedcba9876543210" } })),
            Invalid("a Destruction is never edited"),
        ),
        case(ADMIN, "labels it", edit(json!({ "metadata": { "labels": { "a": "b" } } })), edited),
        case(MEDDLER, "has it wait to go", edit(json!({ "metadata": { "finalizers": ["a.b/c"] } })), edited),
        case(ADMIN, "changes nothing", edit(json!({})), Allowed),
        case(OPERATOR, "labels it", edit(json!({ "metadata": { "labels": { "a": "b" } } })), RBAC),
        case(OPERATOR, "applies it", apply(&path, destruction()).dry(), RBAC),
        case(DESTROYER, "labels it", edit(json!({ "metadata": { "labels": { "a": "b" } } })), RBAC),
        case(ADMIN, "deletes it", delete(&path), stays),
        case(MEDDLER, "deletes it", delete(&path), stays),
        case(MEDDLER, "deletes all", delete(subrosa("destructions", "")), stays),
        case(OPERATOR, "deletes it", delete(&path), RBAC),
        case(DESTROYER, "deletes it", delete(&path), RBAC),
        case(AUDITOR, "reads it", get(&path), Allowed),
    ];
    world.try_all("a Destruction that stands", cases).await
}

pub async fn is_held_until_the_release_is_approved(world: &World) -> Result<()> {
    let path = subrosa("legalholds", "matter");
    let edit = |value: Value| merge(&path, value);
    let says = |status: &str, reason: &str| {
        let condition = json!({
            "type": "Effective", "status": status, "reason": reason, "message": "",
            "lastTransitionTime": "2026-11-29T00:00:00Z",
        });
        merge(format!("{path}/status"), json!({ "status": { "conditions": [condition] } }))
    };
    let unreleased = Denied(HOLD, "is not released: write spec.released: true and have its end approved");
    let forged = Denied(HOLD, "the status of a LegalHold is what the destroyer");
    let narrower = json!({ "spec": { "selector": { "namespaces": ["cc-west"] } } });
    let released = json!({ "spec": { "released": true } });
    let cases = vec![
        case(AUDITOR, "holds", make("legalholds", legal_hold("one")), RBAC),
        case(OPERATOR, "holds", make("legalholds", legal_hold("one")), RBAC),
        case(DESTROYER, "holds", make("legalholds", legal_hold("one")), RBAC),
        case(
            OFFICER,
            "has it go with another",
            make("legalholds", owned(legal_hold("one"))),
            Denied(HOLD, "it goes with no other object"),
        ),
        case(OFFICER, "holds", post(subrosa("legalholds", ""), legal_hold("matter")), Allowed),
        case(OFFICER, "narrows it", edit(narrower.clone()).dry(), Invalid("a LegalHold's selector stays")),
        case(ADMIN, "narrows it", edit(narrower).dry(), Invalid("a LegalHold's selector stays")),
        case(
            OFFICER,
            "corrects the matter",
            edit(json!({ "spec": { "matter": "2026-115" } })).dry(),
            Allowed,
        ),
        case(
            ADMIN,
            "has it go with another",
            edit(owned(json!({ "metadata": {} }))).dry(),
            Denied(HOLD, "it goes with no other object"),
        ),
        case(OFFICER, "deletes it", delete(&path), unreleased),
        case(ADMIN, "deletes it", delete(&path), unreleased),
        case(MEDDLER, "deletes all", delete(subrosa("legalholds", "")), unreleased),
        case(OPERATOR, "deletes it", delete(&path), RBAC),
        case(OPERATOR, "has it released", edit(released.clone()).dry(), RBAC),
        case(DESTROYER, "deletes it", delete(&path), RBAC),
        case(DESTROYER, "has it released", edit(released.clone()).dry(), RBAC),
        case(ADMIN, "says that it was released", says("False", "Released").dry(), forged),
        case(MEDDLER, "says that it was released", says("False", "Released").dry(), forged),
        case(OPERATOR, "says that it was released", says("False", "Released").dry(), RBAC),
        case(OFFICER, "says that it was released", says("False", "Released").dry(), RBAC),
        case(DESTROYER, "tells that it holds", says("True", "Effective"), Allowed),
        case(OFFICER, "deletes what holds", delete(&path), unreleased),
        case(OFFICER, "asks for its end", edit(released), Allowed),
        case(OFFICER, "deletes what waits for approval", delete(&path), unreleased),
        case(
            OFFICER,
            "takes it back",
            edit(json!({ "spec": { "released": false } })).dry(),
            Invalid("what was released stays released"),
        ),
        case(DESTROYER, "tells that it marks keys", says("False", "MarkingKeys"), Allowed),
        case(OFFICER, "deletes what marks keys", delete(&path), unreleased),
        case(DESTROYER, "does not know", says("Unknown", "Released"), Allowed),
        case(OFFICER, "deletes what is not known", delete(&path), unreleased),
        case(DESTROYER, "tells that it was released", says("False", "Released"), Allowed),
        case(OFFICER, "deletes it", delete(&path), Allowed),
    ];
    world.try_all("holds", cases).await
}
