//! Who asks that Channels take over the keys of earlier ones, and who says what became of it.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    request::{
        Case,
        Expected::{self, Allowed, Denied, Invalid},
        RBAC, Request, delete, get, merge, post,
    },
    world::{
        ADMIN, APPROVER, APPROVER_OF_ONE, AUDITOR, DESTROYER, ENGINEER, MEDDLER, OFFICER, OPERATOR, World,
        approval, owned, subrosa,
    },
};

const ADOPTION: &str = "subrosa-adoption";

fn adoption(name: &str, by: &str) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Adoption", "metadata": { "name": name },
        "spec": {
            "trustDomain": "oosterlinde", "requestedBy": by,
            "channels": [{
                "namespace": "cc-front", "name": "voice", "id": "abcdefghijklmnop", "adopts": "bcdefghijklmnopq",
            }],
        },
    })
}

pub async fn is_asked_for_in_ones_own_name_and_approved_by_others(world: &World) -> Result<()> {
    let case = |who, what, request: Request, expected: Expected| Case { who, what, request, expected };
    let ask = |object: Value| post(subrosa("adoptions", ""), object).dry();
    let own = Denied(ADOPTION, "who asks does not approve, so write your own name");
    let decide = |who: &str| post(subrosa("approvals", ""), approval("one", "Adoption", "again", who)).dry();
    let cases = vec![
        case(OFFICER, "asks", ask(adoption("one", OFFICER)), Allowed),
        case(OFFICER, "asks as another", ask(adoption("one", APPROVER)), own),
        case(ADMIN, "asks as another", ask(adoption("one", OFFICER)), own),
        case(
            OFFICER,
            "has it go with another",
            ask(owned(adoption("one", OFFICER))),
            Denied(ADOPTION, "it belongs to nothing and stays"),
        ),
        case(ENGINEER, "asks", ask(adoption("one", ENGINEER)), RBAC),
        case(APPROVER, "asks", ask(adoption("one", APPROVER)), RBAC),
        case(OPERATOR, "asks", ask(adoption("one", OFFICER)), RBAC),
        case(DESTROYER, "asks", ask(adoption("one", OFFICER)), RBAC),
        case(APPROVER, "approves", decide(APPROVER), Allowed),
        case(OPERATOR, "approves", decide(APPROVER), RBAC),
        case(OFFICER, "approves without the role", decide(OFFICER), RBAC),
        case(
            APPROVER_OF_ONE,
            "approves without the verb",
            decide(APPROVER_OF_ONE),
            Denied("subrosa-approval", "takes the verb approve on adoptions.subrosa.dev again"),
        ),
    ];
    world.try_all("adoptions", cases).await?;
    stays_as_it_is(world).await
}

async fn stays_as_it_is(world: &World) -> Result<()> {
    let case = |who, what, request: Request, expected: Expected| Case { who, what, request, expected };
    let mut forging = adoption("again", OFFICER);
    forging["status"] = json!({ "state": "Adopted", "adopted": 1 });
    let made = world.must(OFFICER, post(subrosa("adoptions", ""), forging)).await?;
    ensure!(made["status"].is_null(), "a status came with it: {made}");
    let path = subrosa("adoptions", "again");
    let told = |adopted: i64| {
        merge(
            format!("{path}/status"),
            json!({ "status": { "state": "AwaitingApproval", "adopted": adopted } }),
        )
    };
    let was = |adopted: i64| {
        let at = "2026-11-29T21:00:00Z";
        merge(format!("{path}/status"), json!({ "status": { "adopted": adopted, "adoptedAt": at } }))
    };
    let forged = Denied(ADOPTION, "the status of an Adoption is what the operator");
    let edit = |spec: Value| merge(&path, json!({ "spec": spec })).dry();
    let cases = vec![
        case(ADMIN, "tells of it", told(1).dry(), forged),
        case(MEDDLER, "tells of it", told(1).dry(), forged),
        case(OFFICER, "tells of it", told(1).dry(), RBAC),
        case(DESTROYER, "tells of it", told(1).dry(), RBAC),
        case(OPERATOR, "tells of it", told(0), Allowed),
        case(
            OFFICER,
            "asks in another name",
            edit(json!({ "requestedBy": "b" })),
            Invalid("an Adoption is never edited"),
        ),
        case(ADMIN, "asks for others", edit(json!({ "channels": [] })), Invalid("spec.channels")),
        case(OPERATOR, "asks in another name", edit(json!({ "requestedBy": "b" })), RBAC),
        case(AUDITOR, "reads it", get(&path), Allowed),
        case(OPERATOR, "deletes it", delete(&path).dry(), RBAC),
        case(OFFICER, "takes back what was not done", delete(&path).dry(), Allowed),
        case(OPERATOR, "tells that it was done", told(1), Allowed),
        case(OFFICER, "takes back what was done", delete(&path), Denied(ADOPTION, "it is the record")),
        case(ADMIN, "takes back what was done", delete(&path), Denied(ADOPTION, "it is the record")),
        case(MEDDLER, "deletes all", delete(subrosa("adoptions", "")), Denied(ADOPTION, "it is the record")),
        case(OPERATOR, "tells that it was taken back", was(0), Allowed),
        case(OFFICER, "takes back what was done once", delete(&path), Denied(ADOPTION, "it is the record")),
    ];
    world.try_all("an Adoption that stands", cases).await
}
