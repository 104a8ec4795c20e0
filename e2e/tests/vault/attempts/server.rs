//! The server itself.

use serde_json::json;

use super::Root::{Permitted, Spared, Works};
use super::{Try, attempt};

/// What would change or end the server. The destructive last.
pub fn the_server_itself() -> Vec<Try> {
    let file = json!({"type": "file", "options": {"file_path": "/tmp/evil"}});
    vec![
        attempt("mount an engine", "POST", "sys/mounts/evil", json!({"type": "kv"}), Works),
        attempt("list mounts", "GET", "sys/mounts", json!(null), Works),
        attempt(
            "tune a mount",
            "POST",
            "sys/mounts/transit/tune",
            json!({"audit_non_hmac_request_keys": ["plaintext"]}),
            Works,
        ),
        attempt("enable an audit device", "POST", "sys/audit/evil", file, Permitted),
        attempt("disable an audit device", "DELETE", "sys/audit/file", json!(null), Permitted),
        attempt("list audit devices", "GET", "sys/audit", json!(null), Works),
        attempt("hash for the audit log", "POST", "sys/audit-hash/file", json!({"input": "a"}), Permitted),
        attempt(
            "show headers in the audit log",
            "POST",
            "sys/config/auditing/request-headers/x-evil",
            json!({"hmac": false}),
            Works,
        ),
        attempt("read raw storage", "GET", "sys/raw/core/keyring", json!(null), Permitted),
        attempt("write raw storage", "POST", "sys/raw/core/evil", json!({"value": "a"}), Permitted),
        attempt("wrap a response", "POST", "sys/wrapping/wrap", json!({"a": 1}), Permitted),
        attempt("write into a cubbyhole", "POST", "cubbyhole/a", json!({"a": 1}), Works),
        attempt(
            "register a plugin",
            "POST",
            "sys/plugins/catalog/secret/evil",
            json!({"sha256": "00", "command": "evil"}),
            Permitted,
        ),
        attempt("list plugins", "GET", "sys/plugins/catalog", json!(null), Works),
        attempt(
            "reload a plugin",
            "POST",
            "sys/plugins/reload/backend",
            json!({"plugin": "transit"}),
            Permitted,
        ),
        attempt("make a namespace", "POST", "sys/namespaces/apart", json!({}), Works),
        attempt("set a quota", "POST", "sys/quotas/rate-limit/evil", json!({"rate": 100000}), Works),
        attempt(
            "allow cross-origin requests",
            "POST",
            "sys/config/cors",
            json!({"allowed_origins": ["*"]}),
            Works,
        ),
        attempt(
            "set a header of the UI",
            "POST",
            "sys/config/ui/headers/X-Evil",
            json!({"values": ["a"]}),
            Works,
        ),
        attempt("raise the log level", "POST", "sys/loggers", json!({"level": "trace"}), Works),
        attempt("profile the server", "GET", "sys/pprof/goroutine", json!(null), Works),
        attempt("read the host's state", "GET", "sys/host-info", json!(null), Works),
        attempt("read the effective configuration", "GET", "sys/config/state/sanitized", json!(null), Works),
        attempt("read counters", "GET", "sys/internal/counters/entities", json!(null), Permitted),
        attempt("take a snapshot", "GET", "sys/storage/raft/snapshot", json!(null), Permitted),
        attempt("restore a snapshot", "POST", "sys/storage/raft/snapshot-force", json!({}), Permitted),
        attempt(
            "remove a peer",
            "POST",
            "sys/storage/raft/remove-peer",
            json!({"server_id": "a"}),
            Permitted,
        ),
        attempt("list leases", "LIST", "sys/leases/lookup/auth/kubernetes/login", json!(null), Permitted),
        attempt("rotate the barrier key", "POST", "sys/rotate", json!({}), Permitted),
        attempt(
            "ask for others' capabilities",
            "POST",
            "sys/capabilities",
            json!({"token": "s.none", "path": "sys"}),
            Permitted,
        ),
        attempt("move a mount", "POST", "sys/remount", json!({"from": "subrosa", "to": "evil2"}), Works),
        attempt("unmount transit", "DELETE", "sys/mounts/transit", json!(null), Works),
        attempt("end logins", "POST", "sys/leases/revoke-prefix/auth/userpass", json!({}), Works),
        attempt("disable the auth method", "DELETE", "sys/auth/kubernetes", json!(null), Works),
        attempt("step down", "POST", "sys/step-down", json!({}), Spared),
        attempt("seal", "POST", "sys/seal", json!({}), Spared),
    ]
}
