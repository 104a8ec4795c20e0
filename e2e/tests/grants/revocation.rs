//! Who revokes, who says what became of it, and that a revocation ends by Approvals only.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    request::{
        Case,
        Expected::{self, Allowed, Denied, Invalid},
        RBAC, Request, delete, get, merge, post,
    },
    world::{
        ADMIN, APPROVER, APPROVER_OF_ONE, AUDITOR, DESTROYER, ENGINEER, GRANTER, OFFICER, OPERATOR, World,
        approval, owned, subrosa,
    },
};

const REVOCATION: &str = "subrosa-access-revocation";

fn revocation(name: &str) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRevocation", "metadata": { "name": name },
        "spec": { "subject": { "user": "4f1c" }, "reason": "Exit" },
    })
}

pub async fn stands_until_its_release_is_approved(world: &World) -> Result<()> {
    let case = |who, what, request: Request, expected: Expected| Case { who, what, request, expected };
    let make = |object: Value| post(subrosa("accessrevocations", ""), object);
    let path = subrosa("accessrevocations", "leaver");
    let says = |reason: &str| {
        let ready = json!({
            "type": "Ready", "status": "True", "reason": reason, "message": "m",
            "lastTransitionTime": "2026-11-29T21:00:00Z",
        });
        merge(format!("{path}/status"), json!({ "status": { "conditions": [ready] } }))
    };
    let release = |who: &str| {
        post(subrosa("approvals", ""), approval("release", "AccessRevocation", "leaver", who)).dry()
    };
    let forged = Denied(REVOCATION, "the status of an AccessRevocation is what the granter");
    let stands = Denied(REVOCATION, "is not released");
    let cases = vec![
        case(ENGINEER, "revokes", make(revocation("one")).dry(), RBAC),
        case(AUDITOR, "revokes", make(revocation("one")).dry(), RBAC),
        case(APPROVER, "revokes", make(revocation("one")).dry(), RBAC),
        case(OPERATOR, "revokes", make(revocation("one")).dry(), RBAC),
        case(DESTROYER, "revokes", make(revocation("one")).dry(), RBAC),
        case(GRANTER, "revokes", make(revocation("one")).dry(), RBAC),
        case(
            OFFICER,
            "has it go with another",
            make(owned(revocation("one"))).dry(),
            Denied(REVOCATION, "it goes with no other object"),
        ),
        case(OFFICER, "revokes", make(revocation("leaver")), Allowed),
        case(AUDITOR, "reads it", get(&path), Allowed),
        case(OPERATOR, "lists them", get(subrosa("accessrevocations", "")), Allowed),
        case(DESTROYER, "lists them", get(subrosa("accessrevocations", "")), Allowed),
        case(GRANTER, "lists them", get(subrosa("accessrevocations", "")), Allowed),
        case(
            OFFICER,
            "means somebody else",
            merge(&path, json!({ "spec": { "subject": { "user": "b" } } })).dry(),
            Invalid("an AccessRevocation is never edited"),
        ),
        case(ADMIN, "says that it is released", says("Released").dry(), forged),
        case(OFFICER, "says that it is released", says("Released").dry(), RBAC),
        case(OPERATOR, "says that it is released", says("Released").dry(), RBAC),
        case(OFFICER, "deletes it", delete(&path).dry(), stands),
        case(ADMIN, "deletes it", delete(&path).dry(), stands),
        case(GRANTER, "deletes it", delete(&path).dry(), RBAC),
        case(GRANTER, "says that it is done", says("Revoked"), Allowed),
        case(OFFICER, "deletes what is done", delete(&path).dry(), stands),
        case(APPROVER, "releases it", release(APPROVER), Allowed),
        case(OFFICER, "releases it without the role", release(OFFICER), RBAC),
        case(GRANTER, "releases it", release(APPROVER), RBAC),
        case(
            APPROVER_OF_ONE,
            "releases it without the verb",
            release(APPROVER_OF_ONE),
            Denied("subrosa-approval", "takes the verb approve on accessrevocations.subrosa.dev leaver"),
        ),
        case(GRANTER, "says that it is released", says("Released"), Allowed),
        case(OFFICER, "deletes what was released", delete(&path), Allowed),
    ];
    world.try_all("AccessRevocations", cases).await
}
