//! Objects of a cluster for tests of text output.

use jiff::Timestamp;
use serde_json::{Value, json};
use subrosa_crds::{
    AccessGrant, AccessRole, Channel, Destruction, ExternalParty, LegalHold, RetentionPolicy, TrustDomain,
};

use super::cluster::ClusterObjects;

/// The time of every test.
pub fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "observedGeneration": 2, "lastTransitionTime": "2026-11-20T09:00:00Z",
    })
}

/// A Channel that is in force, with one connection that waits for consent.
pub fn voice() -> Channel {
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": "voice", "namespace": "cc-front", "generation": 2},
        "spec": {
            "type": "Voice",
            "workload": {"selector": {"matchLabels": {"app": "sbc"}}, "serviceAccountName": "sbc"},
            "listeners": [{"name": "sips", "port": 5061}, {"name": "rtp", "port": 16384, "endPort": 16484, "protocol": "UDP"}],
            "accepts": [{"name": "carrier", "kind": "ExternalParty"}],
            "connectsTo": [{"name": "recorder", "namespace": "cc-records"}],
            "dataClasses": ["call-recording"],
        },
        "status": {
            "observedGeneration": 2, "id": "abcdefghijklmnop", "trustDomain": "oosterlinde",
            "certificate": {
                "serial": "0badcafe", "issuer": "CN=x", "spiffeId": "spiffe://oosterlinde/ns/cc-front/channel/voice",
                "notBefore": "2026-11-21T12:00:00Z", "notAfter": "2026-12-21T12:00:00Z",
                "renewAt": "2026-12-11T12:00:00Z", "secretName": "voice-mtls",
            },
            "authority": {"generation": 1, "fingerprint": "ab", "notAfter": "2027-11-21T12:00:00Z", "next": 2},
            "keys": [{
                "dataClass": "call-recording", "cohort": "2026w47", "versions": 1, "state": "Current",
                "rotatedAt": "2026-11-20T09:00:00Z", "nextRotation": "2026-12-20T09:00:00Z", "due": "2027-02-21",
            }],
            "otherKeys": {"Closed": 3},
            "connectionSummary": "1/2",
            "connections": [
                {"name": "carrier", "direction": "Ingress", "state": "Open", "listeners": ["sips"]},
                {
                    "name": "recorder", "direction": "Egress", "state": "AwaitingConsent",
                    "reason": "Channel cc-records/recorder does not name it in accepts",
                    "nextStep": "ask the owner of Channel cc-records/recorder to add {name: voice, namespace: cc-front} to accepts",
                },
            ],
            "conditions": [
                condition("Ready", "True", "InForceUnproven", "everything is in force as written"),
                condition("Connected", "False", "AwaitingConsent", "recorder (AwaitingConsent)"),
                condition("Served", "Unknown", "NotProbed", "no probe has seen which certificate the pods serve"),
                condition("Isolated", "Unknown", "PoliciesApplied", "policies are written and computed"),
            ],
        },
    }))
    .unwrap()
}

/// An AccessRole that gives what it says, also in an emergency.
pub fn access_role() -> AccessRole {
    let rule = |login: &str, group: &str| {
        json!({
            "login": login, "group": group, "channel": "voice", "dataClass": "call-recording", "action": "Open",
        })
    };
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
        "metadata": {"name": "reviewer", "namespace": "cc-front", "generation": 2},
        "spec": {
            "login": "strong", "subjects": [{"group": "CC-Quality"}], "conflictsWith": ["billing"], "grantedBy": "anna",
            "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
            "breakGlass": {"group": "on-call"}, "review": {"every": "90d", "author": "anna"},
            "grants": {"max": "4h", "approvals": 2},
        },
        "status": {
            "observedGeneration": 2, "rights": "1/1", "digest": "sha256:aa", "reviewDue": "2027-02-20T09:00:00Z",
            "reviewed": {"approver": "bas", "approval": "a-1", "uid": "u", "at": "2026-11-22T09:00:00Z"},
            "effective": {
                "count": 52, "digest": "sha256:bb", "rules": [rule("break-glass", "on-call"), rule("strong", "cc-quality")],
            },
            "session": {"ttl": "15m", "outlives": "21m", "message": "a session lasts 15m and cannot be renewed."},
            "breakGlass": {"people": 1, "reviewDue": "2026-11-25T09:00:00Z"},
            "conditions": [
                condition("Ready", "True", "InForce", "1 data class can be opened after login strong"),
                condition("Given", "True", "AuthorMayGrant", "anna gives it, who could grant each of its Channels when spec was last written"),
                condition("Bound", "False", "NoGroupsPrefix", "nothing is written in Kubernetes"),
                condition("BreakGlass", "False", "UseNotReviewed", "1 person used break-glass: bas; next: subrosa approve"),
            ],
        },
    }))
    .unwrap()
}

/// An AccessGrant of [`access_role`] that is in force.
pub fn access_grant() -> AccessGrant {
    let approver = |name: &str| json!({"approver": name, "approval": format!("of-{name}"), "uid": "u", "at": "2026-11-22T11:10:00Z"});
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessGrant",
        "metadata": {
            "name": "inc-4411", "namespace": "cc-front", "generation": 1, "creationTimestamp": "2026-11-22T11:00:00Z",
        },
        "spec": {
            "role": "reviewer", "subject": {"user": "4f1c7b1e"}, "reason": "INC-4411", "duration": "2h", "requestedBy": "anna",
        },
        "status": {
            "observedGeneration": 1, "approvals": "2/2", "approvedBy": [approver("bas"), approver("cor")],
            "startedAt": "2026-11-22T11:11:00Z", "endsAt": "2026-11-22T13:11:00Z",
            "conditions": [condition("Ready", "True", "InForce", "Vault ends it at 2026-11-22T13:11:00Z")],
        },
    }))
    .unwrap()
}

/// Everything that a page can show: good, waiting, bad, not reconciled.
pub fn seen() -> ClusterObjects {
    let mut stalled = voice();
    stalled.metadata.name = Some("broken\x1b[31m".into());
    stalled.spec.connects_to.clear();
    let status = stalled.status.get_or_insert_default();
    status.connections.clear();
    status.connection_summary = Some("0/0".into());
    let message = "spec.dataClasses: RetentionPolicy contactcenter has no class faxes; it has call-recording";
    status.conditions = serde_json::from_value(json!([
        condition("Ready", "False", "UnknownDataClass", message),
        condition("Stalled", "True", "UnknownDataClass", message),
    ]))
    .unwrap();
    if let Some(certificate) = &mut status.certificate {
        certificate.not_after = "2026-11-20T12:00:00Z".into();
    }
    let mut fine = voice();
    fine.metadata.name = Some("ivr".into());
    let status = fine.status.get_or_insert_default();
    status.connections.truncate(1);
    status.connection_summary = Some("1/1".into());
    let mut new = voice();
    new.metadata.name = Some("new".into());
    new.status = None;
    ClusterObjects {
        domains: vec![domain()],
        parties: vec![party()],
        policies: vec![policy()],
        channels: vec![stalled, fine, new, voice()],
        hidden: Vec::new(),
    }
}

/// A trust domain.
pub fn domain() -> TrustDomain {
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "TrustDomain",
        "metadata": {"name": "oosterlinde", "generation": 2},
        "spec": {
            "organisation": {"name": "Ziekenhuis Oosterlinde", "country": "NL"}, "jurisdictions": ["NL", "EU"],
            "timeZone": "Europe/Amsterdam", "retentionPolicies": ["contactcenter"],
            "vault": {"address": "https://openbao.security.svc:8200", "auth": {"kubernetes": {}}},
            "network": {
                "clusterCIDRs": ["10.0.0.0/8"],
                "services": [{"name": "vault", "namespace": "security", "ports": [8200], "for": "Sealing"}],
            },
        },
        "status": {
            "observedGeneration": 2, "namespaces": 5, "channels": {"total": 4, "ready": 2, "attention": 2},
            "vault": {"version": "2.7.2", "sealed": false},
            "orphans": {"count": 1, "first": ["abcdefghijklmnop cc-old/fax"]},
            "conditions": [
                condition("Ready", "True", "InForce", "governs 5 namespaces"),
                condition("VaultReachable", "True", "LoggedIn", "Vault answers"),
                condition("Guarded", "False", "PolicyMissing", "ValidatingAdmissionPolicy subrosa-membership is not there: install it"),
            ],
        },
    }))
    .unwrap()
}

/// An external party whose agreement ends soon.
pub fn party() -> ExternalParty {
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "ExternalParty",
        "metadata": {"name": "carrier", "generation": 2},
        "spec": {
            "role": "Carrier", "addresses": {"cidrs": ["203.0.113.0/28"]},
            "tls": {"mode": "None", "exception": {"control": "SR-NET-01", "reason": "migration", "expires": "2026-12-31"}},
            "agreements": [{"type": "SLA", "validUntil": "2026-12-01"}],
            "channels": [{"namespace": "cc-front", "name": "voice", "direction": "Ingress", "ports": [5061, "16384-16484/UDP"]}],
        },
        "status": {
            "observedGeneration": 2, "validUntil": "2026-12-01",
            "conditions": [
                condition("Ready", "True", "Valid", "may be connected with"),
                condition("AgreementsValid", "True", "AgreementExpiring", "SLA ends after 2026-12-01: renew it"),
            ],
        },
    }))
    .unwrap()
}

/// A retention policy that was changed and not reconciled since.
pub fn policy() -> RetentionPolicy {
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy",
        "metadata": {"name": "contactcenter", "generation": 3},
        "spec": {"classes": [
            {"name": "call-recording", "keep": "90d", "max": "130d", "cohort": "Week"},
            {"name": "dossier", "keep": "20y", "anchor": "LastChange", "openFor": "5y", "minimums": [
                {"jurisdiction": "NL", "period": "20y", "basis": "BW 7:454"},
            ]},
        ]},
        "status": {"observedGeneration": 2, "conditions": [condition("Ready", "True", "Valid", "it holds")]},
    }))
    .unwrap()
}

/// A LegalHold of one Channel of [`destruction`].
pub fn hold() -> LegalHold {
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "LegalHold",
        "metadata": {"name": "matter-2026-114", "generation": 1, "uid": "u-hold", "creationTimestamp": "2026-11-01T09:00:00Z"},
        "spec": {
            "selector": {"namespaces": ["cc-front"], "channels": ["chat"]},
            "matter": "2026-114 \u{1b}[31m", "reviewEvery": "6mo",
        },
        "status": {
            "observedGeneration": 1, "held": 2, "tooLate": ["bbbbbbbbbbbbbbbb.chat-log.2025m01"], "tooLateCount": 1,
            "reviewBy": "2027-05-01",
            "conditions": [
                condition("Ready", "True", "Effective", "2 keys cannot be destroyed; 1 was too late"),
                condition("Effective", "True", "Effective", "2 keys cannot be destroyed; 1 was too late"),
            ],
        },
    }))
    .unwrap()
}

/// A Destruction under [`policy`] that waits for people, with an open cohort.
pub fn destruction() -> Destruction {
    let key = |channel: &str, id: &str, class: &str, cohort: &str| {
        json!({
            "channel": {"namespace": "cc-front", "name": channel},
            "id": id.repeat(16), "dataClass": class, "cohort": cohort,
        })
    };
    let policy = policy();
    let mut made: Destruction = serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Destruction",
        "metadata": {"name": "-", "generation": 1, "uid": "u-order", "creationTimestamp": "2026-11-20T09:00:00Z"},
        "spec": {
            "trustDomain": "oosterlinde",
            "retentionPolicy": {
                "name": "contactcenter", "uid": "u-policy",
                "digest": subrosa_plan::destruction::rules::digest(&policy),
            },
            "due": "2026-11-20", "nonce": "0123456789abcdef", "digest": "",
            "keys": [
                key("voice", "a", "call-recording", "2026w30"), key("voice", "a", "call-recording", "2026w31"),
                key("voice", "a", "dossier", "open-2006m11"), key("chat", "b", "call-recording", "2026w30"),
            ],
        },
        "status": {
            "observedGeneration": 1, "state": "AwaitingApproval", "approvals": "1/2", "total": 4, "setAside": 0, "destroyed": 0,
            "approvedBy": [{"approver": "bas", "approval": "approve-bas", "uid": "u-bas", "at": "2026-11-21T09:00:00Z"}],
            "conditions": [
                condition("Ready", "False", "AwaitingApproval", "1 of 2 people approve; next: subrosa approve Destruction/\u{1b}]0;x"),
                condition("Approved", "False", "AwaitingApproval", "1 of 2 people approve"),
            ],
        },
    }))
    .unwrap();
    made.spec.digest = made.spec.computed_digest();
    let name = subrosa_crds::destruction::name("contactcenter", &made.spec.due, &made.spec.digest);
    made.metadata.name = Some(name);
    made
}
