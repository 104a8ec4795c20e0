//! Who asks for a grant, who approves it, and who says what became of it.

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
        approval, owned, role_bindings, role_ref, subrosa, user,
    },
};

const GRANT: &str = "subrosa-access-grant";

fn grants(namespace: &str, name: &str) -> String {
    format!("/apis/subrosa.dev/v1alpha1/namespaces/{namespace}/accessgrants/{name}")
        .trim_end_matches('/')
        .to_owned()
}

fn grant(who: &str) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessGrant", "metadata": { "name": "inc-4411" },
        "spec": {
            "role": "reviewer", "subject": { "user": "4f1c" }, "reason": "INC-4411", "duration": "2h", "requestedBy": who,
        },
    })
}

pub async fn is_asked_for_in_ones_own_name_and_approved_by_others(world: &World) -> Result<()> {
    let case = |who, what, request: Request, expected: Expected| Case { who, what, request, expected };
    let ask = |who: &str| post(grants("cc-front", ""), grant(who));
    let path = grants("cc-front", "inc-4411");
    let says = || merge(format!("{path}/status"), json!({ "status": { "approvals": "1/1" } }));
    let decide = |who: &str| {
        let mut approval = approval("grant", "AccessGrant", "inc-4411", who);
        approval["spec"]["target"]["namespace"] = "cc-front".into();
        post(subrosa("approvals", ""), approval).dry()
    };
    // The engineer may ask in one namespace.
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "requesters" },
        "roleRef": role_ref("subrosa-requester"), "subjects": [user(ENGINEER)],
    });
    world.must(ADMIN, post(role_bindings("cc-front"), binding)).await?;
    world
        .eventually("the right to ask", async || {
            Ok(world.call(ENGINEER, ask(ENGINEER).dry()).await?.status == 201)
        })
        .await?;
    let forged = Denied(GRANT, "who asks does not approve, so write your own name");
    let cases = vec![
        case(AUDITOR, "asks", ask(AUDITOR).dry(), RBAC),
        case(APPROVER, "asks", ask(APPROVER).dry(), RBAC),
        case(OPERATOR, "asks", ask(OPERATOR).dry(), RBAC),
        case(DESTROYER, "asks", ask(DESTROYER).dry(), RBAC),
        case(GRANTER, "asks", ask(GRANTER).dry(), RBAC),
        case(ENGINEER, "asks elsewhere", post(grants("cc-west", ""), grant(ENGINEER)).dry(), RBAC),
        case(ENGINEER, "asks in another's name", ask(OFFICER).dry(), forged),
        case(ADMIN, "asks in another's name", ask(ENGINEER).dry(), forged),
        case(
            ENGINEER,
            "has it go with another",
            post(grants("cc-front", ""), owned(grant(ENGINEER))).dry(),
            Denied(GRANT, "it goes with no other object"),
        ),
        case(ENGINEER, "asks", ask(ENGINEER), Allowed),
        case(ENGINEER, "reads it", get(&path), Allowed),
        case(
            ENGINEER,
            "reads what can be asked for",
            get("/apis/subrosa.dev/v1alpha1/namespaces/cc-front/accessroles"),
            Allowed,
        ),
        case(AUDITOR, "reads it", get(&path), Allowed),
        case(OPERATOR, "lists them", get(subrosa("accessgrants", "")), Allowed),
        case(GRANTER, "lists them", get(subrosa("accessgrants", "")), Allowed),
        case(ENGINEER, "asks for longer", merge(&path, json!({ "spec": { "duration": "24h" } })).dry(), RBAC),
        case(
            OFFICER,
            "gives more",
            merge(&path, json!({ "spec": { "duration": "24h" } })).dry(),
            Invalid("an AccessGrant is never edited"),
        ),
        case(ENGINEER, "says that it is approved", says().dry(), RBAC),
        case(OFFICER, "says that it is approved", says().dry(), RBAC),
        case(OPERATOR, "says that it is approved", says().dry(), RBAC),
        case(
            ADMIN,
            "says that it is approved",
            says().dry(),
            Denied(GRANT, "the status of an AccessGrant is what the granter"),
        ),
        case(GRANTER, "says that it is approved", says(), Allowed),
        case(GRANTER, "changes it", merge(&path, json!({ "metadata": { "labels": {} } })).dry(), RBAC),
        case(GRANTER, "deletes it", delete(&path).dry(), RBAC),
        case(ENGINEER, "approves it", decide(ENGINEER), RBAC),
        case(GRANTER, "approves it", decide(APPROVER), RBAC),
        case(
            APPROVER_OF_ONE,
            "approves it without the verb",
            decide(APPROVER_OF_ONE),
            Denied("subrosa-approval", "takes the verb approve on accessgrants.subrosa.dev inc-4411"),
        ),
        case(APPROVER, "approves it", decide(APPROVER), Allowed),
        case(ENGINEER, "ends it", delete(&path).dry(), RBAC),
        case(OFFICER, "ends it", delete(&path), Allowed),
    ];
    world.try_all("AccessGrants", cases).await
}
