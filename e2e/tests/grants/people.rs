//! The ClusterRoles for people.

use anyhow::Result;
use serde_json::json;

use crate::{
    request::{
        Case,
        Expected::{Allowed, Forbidden},
        RBAC, delete, get, merge, post,
    },
    world::{
        APPROVER, AUDITOR, ENGINEER, OFFICER, OFFICER_WEST, World, admission, channel, channels,
        cluster_rbac, core, external_party, role_ref, subrosa, trust_domain, user,
    },
};

pub async fn hold_what_their_roles_say(world: &World) -> Result<()> {
    let case = |who, what, request, expected| Case { who, what, request, expected };
    let note = || json!({ "metadata": { "annotations": { "note": "1" } } });
    world
        .eventually("aggregation", async || {
            Ok(world.call(AUDITOR, get(subrosa("channels", ""))).await?.status == 200)
        })
        .await?;
    let cases = vec![
        case(AUDITOR, "reads Channels", get(channels("cc-front", "voice")), Allowed),
        case(AUDITOR, "reads TrustDomains", get(subrosa("trustdomains", "oosterlinde")), Allowed),
        case(AUDITOR, "reads ExternalParties", get(subrosa("externalparties", "")), Allowed),
        case(AUDITOR, "reads RetentionPolicies", get(subrosa("retentionpolicies", "")), Allowed),
        case(AUDITOR, "reads LegalHolds", get(subrosa("legalholds", "")), Allowed),
        case(AUDITOR, "reads Destructions", get(subrosa("destructions", "")), Allowed),
        case(AUDITOR, "reads Approvals", get(subrosa("approvals", "")), Allowed),
        case(APPROVER, "reads what it decides about", get(subrosa("destructions", "")), Allowed),
        case(
            APPROVER,
            "shortens a RetentionPolicy",
            merge(subrosa("retentionpolicies", "contactcenter"), note()),
            RBAC,
        ),
        case(APPROVER, "reads ConfigMaps", get(core("subrosa-system", "configmaps", "")), RBAC),
        case(AUDITOR, "reads Secrets", get(core("cc-front", "secrets", "")), RBAC),
        case(AUDITOR, "changes a Channel", merge(channels("cc-front", "voice"), note()), RBAC),
        case(ENGINEER, "declares a Channel", post(channels("cc-front", ""), channel("ivr")).dry(), Allowed),
        case(ENGINEER, "changes a Channel", merge(channels("cc-front", "voice"), note()).dry(), Allowed),
        case(ENGINEER, "declares one elsewhere", post(channels("cc-west", ""), channel("ivr")).dry(), RBAC),
        case(
            ENGINEER,
            "writes what the operator saw",
            merge(format!("{}/status", channels("cc-front", "voice")), json!({ "status": {} })),
            RBAC,
        ),
        case(
            ENGINEER,
            "changes the TrustDomain",
            merge(subrosa("trustdomains", "oosterlinde"), note()),
            RBAC,
        ),
        case(
            ENGINEER,
            "consents for the outside",
            post(subrosa("externalparties", ""), external_party()),
            RBAC,
        ),
        case(
            OFFICER,
            "changes a TrustDomain",
            merge(subrosa("trustdomains", "oosterlinde"), note()).dry(),
            Allowed,
        ),
        case(
            OFFICER,
            "adds a TrustDomain",
            post(subrosa("trustdomains", ""), trust_domain("third")).dry(),
            Allowed,
        ),
        case(OFFICER, "withdraws consent", delete(subrosa("externalparties", "insurer")).dry(), Allowed),
        case(OFFICER, "changes a Channel", merge(channels("cc-front", "voice"), note()), RBAC),
        case(OFFICER, "reads Secrets", get(core("cc-front", "secrets", "")), RBAC),
        case(
            OFFICER,
            "lifts a policy",
            delete(admission("validatingadmissionpolicies", "subrosa-deletion")),
            RBAC,
        ),
        case(
            OFFICER,
            "makes itself administrator",
            post(
                cluster_rbac("clusterrolebindings", ""),
                json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                    "metadata": { "name": "more" },
                    "roleRef": role_ref("cluster-admin"), "subjects": [user(OFFICER)],
                }),
            ),
            RBAC,
        ),
        case(
            OFFICER,
            "acts as the operator",
            get(subrosa("channels", "")).acting_as("system:serviceaccount:subrosa-system:subrosa"),
            Forbidden("cannot impersonate"),
        ),
        case(
            OFFICER_WEST,
            "changes a TrustDomain it only governs",
            merge(subrosa("trustdomains", "westerlinde"), note()),
            RBAC,
        ),
    ];
    world.try_all("people", cases).await
}
