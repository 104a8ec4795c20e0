//! Grants for tests.

use kube::ResourceExt as _;
use serde_json::{Value, json};
use subrosa_crds::{AccessGrant, AccessRole, Approval};

use crate::{
    record::grants::OpenGrant,
    testing::{merge, read},
};

/// A grant of role `reviewer` to `4f1c`, asked for by `oidc:anna`.
pub fn grant(name: &str, patch: Value) -> AccessGrant {
    let mut grant = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessGrant",
        "metadata": {
            "name": name, "namespace": "cc-front", "uid": format!("u-{name}"), "generation": 1,
            "creationTimestamp": "2026-11-22T09:00:00Z",
        },
        "spec": {
            "role": "reviewer", "subject": {"user": "4f1c"}, "reason": "INC-4411", "duration": "2h", "requestedBy": "oidc:anna",
        },
    });
    merge(&mut grant, patch);
    read(grant)
}

/// A role that may be granted.
pub fn role(name: &str, patch: Value) -> AccessRole {
    let mut role = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
        "metadata": {"name": name, "namespace": "cc-front", "uid": format!("u-{name}")},
        "spec": {
            "login": "strong", "subjects": [{"group": "quality"}], "grants": {"max": "4h"},
            "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
        },
    });
    merge(&mut role, patch);
    read(role)
}

/// A grant for two hours with one slot, decided at ten o'clock.
pub fn open() -> OpenGrant {
    read(json!({
        "namespace": "cc-front", "name": "inc-4411", "login": "strong", "digest": "sha256:d", "entity": "e-1", "duration": "2h",
        "slots": [{
            "slot": "subrosa_oosterlinde_grant_strong_000", "channel": "voice", "dataClass": "call-recording",
        }],
        "decided": "2026-11-22T10:00:00Z",
    }))
}

/// An Approval of `grant` of role `reviewer`.
pub fn approval(name: &str, approver: &str, grant: &AccessGrant, patch: Value) -> Approval {
    let role = role("reviewer", json!({}));
    let digest = grant.spec.digest(&role.uid().unwrap_or_default(), &role.spec.login, &role.spec.opens());
    let mut approval = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
        "metadata": {"name": name, "uid": format!("uid-{name}"), "creationTimestamp": "2026-11-22T09:30:00Z"},
        "spec": {
            "target": {
                "kind": "AccessGrant", "namespace": "cc-front", "name": grant.name_any(), "uid": grant.uid(), "digest": digest,
            },
            "decision": "Approve", "approver": approver, "expires": "2026-11-29T00:00:00Z",
        },
    });
    merge(&mut approval, patch);
    read(approval)
}
