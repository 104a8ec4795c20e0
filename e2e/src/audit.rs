//! Audit logs as typed entries: the API server's and OpenBao's.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// A place in an audit log: what comes after it is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(u64);

/// An append-only log of JSON lines.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

impl AuditLog {
    /// The log in this file, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The present end of the log. A line that is still being written comes after it.
    pub fn mark(&self) -> Mark {
        let written = std::fs::read(&self.path).unwrap_or_default();
        Mark(written.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end as u64 + 1))
    }

    /// All complete entries after `mark`. A line that is still being written is left for the next call.
    pub fn entries_since<T: DeserializeOwned>(&self, mark: Mark) -> Result<Vec<T>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("open {}", self.path.display())),
        };
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(mark.0)).with_context(|| format!("read {}", self.path.display()))?;
        let mut entries = Vec::new();
        let mut line = String::new();
        loop {
            line.clear();
            let read =
                reader.read_line(&mut line).with_context(|| format!("read {}", self.path.display()))?;
            if read == 0 || !line.ends_with('\n') {
                return Ok(entries);
            }
            let entry = serde_json::from_str(&line)
                .with_context(|| format!("an entry of {}", self.path.display()))?;
            entries.push(entry);
        }
    }
}

/// One event of the API server's audit log (`audit.k8s.io/v1`, level Metadata).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiAuditEntry {
    /// Joins the stages of one request.
    #[serde(rename = "auditID")]
    pub audit_id: String,
    /// `ResponseStarted` (watches), `ResponseComplete` or `Panic`.
    pub stage: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// The Kubernetes verb, such as `get`, `patch`, `deletecollection`.
    pub verb: String,
    /// Who asked.
    pub user: AuditUser,
    /// Whom they acted as.
    pub impersonated_user: Option<AuditUser>,
    /// The client's own name for itself.
    #[serde(default)]
    pub user_agent: String,
    /// What it was about; absent for non-resource requests.
    pub object_ref: Option<ObjectRef>,
    /// How it ended.
    pub response_status: Option<ResponseStatus>,
    /// When the request came, RFC 3339 with microseconds.
    pub request_received_timestamp: String,
    /// Annotations, such as the authorizer's decision.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl ApiAuditEntry {
    /// Whether this is a finished, accepted request that may have changed something.
    ///
    /// A dry run does not count; creating a token or a review does.
    pub fn is_write(&self) -> bool {
        let mutating =
            matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection");
        let accepted = self.response_status.as_ref().is_some_and(|status| status.code < 400);
        mutating && accepted && self.stage == "ResponseComplete" && !self.request_uri.contains("dryRun=")
    }

    /// Whether this is a finished GET of one object or a list of several.
    pub fn is_read(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list") && self.stage == "ResponseComplete"
    }

    /// The plural resource name with subresource, such as `channels/status`; empty without an object.
    pub fn resource(&self) -> String {
        match &self.object_ref {
            None => String::new(),
            Some(object) if object.subresource.is_empty() => object.resource.clone(),
            Some(object) => format!("{}/{}", object.resource, object.subresource),
        }
    }
}

/// A user of the API server.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AuditUser {
    /// The name.
    #[serde(default)]
    pub username: String,
    /// The groups.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// The object a request names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// The plural resource.
    pub resource: String,
    /// The namespace; empty for cluster-scoped ones.
    pub namespace: String,
    /// The name; empty for collections and some creates.
    pub name: String,
    /// The API group; empty for core.
    pub api_group: String,
    /// The subresource.
    pub subresource: String,
}

/// How a request ended.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ResponseStatus {
    /// The HTTP status.
    #[serde(default)]
    pub code: u16,
}

/// One entry of OpenBao's audit log. String values in `data` are hashed by the server (HMAC).
#[derive(Clone, Debug, Deserialize)]
pub struct BaoAuditEntry {
    /// `request` or `response`.
    #[serde(rename = "type")]
    pub kind: String,
    /// RFC 3339 with nanoseconds.
    #[serde(default)]
    pub time: String,
    /// Who asked, as far as a token tells.
    #[serde(default)]
    pub auth: BaoAuth,
    /// What was asked.
    #[serde(default)]
    pub request: BaoRequest,
    /// The error, if it failed.
    #[serde(default)]
    pub error: String,
    /// The response as logged; null in a request entry.
    #[serde(default)]
    pub response: Value,
}

impl BaoAuditEntry {
    /// Whether this is the answer to a request that succeeded and may have changed something.
    pub fn is_write(&self) -> bool {
        let mutating = matches!(self.request.operation.as_str(), "create" | "update" | "patch" | "delete");
        self.kind == "response" && mutating && self.error.is_empty()
    }
}

/// Whose token an OpenBao request carried.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BaoAuth {
    /// Such as `kubernetes-team-a-sip-edge`.
    pub display_name: String,
    /// The token's policies.
    pub policies: Vec<String>,
    /// The identity entity.
    pub entity_id: String,
    /// Role, ServiceAccount and the like.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// The request part of an OpenBao audit entry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BaoRequest {
    /// Joins request and response.
    pub id: String,
    /// `read`, `list`, `create`, `update`, `patch`, `delete`.
    pub operation: String,
    /// The path without `v1/`.
    pub path: String,
    /// The type of mount, such as `transit`.
    pub mount_type: String,
    /// The request's data, values hashed.
    pub data: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_splits_the_log_and_half_a_line_waits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let log = AuditLog::new(path.clone());
        assert_eq!(log.entries_since::<Value>(Mark::default()).unwrap().len(), 0);
        std::fs::write(&path, "{\"a\":1}\n").unwrap();
        let mark = log.mark();
        std::fs::write(&path, "{\"a\":1}\n{\"a\":2}\n{\"a\":").unwrap();
        let new: Vec<Value> = log.entries_since(mark).unwrap();
        assert_eq!(new, [serde_json::json!({"a": 2})]);
        assert_eq!(log.entries_since::<Value>(Mark::default()).unwrap().len(), 2);
    }

    #[test]
    fn only_finished_accepted_mutations_are_writes() {
        let entry = |verb: &str, code: u16, uri: &str| -> ApiAuditEntry {
            serde_json::from_value(serde_json::json!({
                "auditID": "1", "stage": "ResponseComplete", "requestURI": uri, "verb": verb,
                "user": {"username": "x"}, "responseStatus": {"code": code},
                "requestReceivedTimestamp": "2026-11-22T00:00:00.000000Z",
            }))
            .unwrap()
        };
        assert!(entry("patch", 200, "/api/v1/x").is_write());
        assert!(!entry("get", 200, "/api/v1/x").is_write());
        assert!(!entry("patch", 409, "/api/v1/x").is_write());
        assert!(!entry("patch", 200, "/api/v1/x?dryRun=All").is_write());
    }
}
