//! Requests as tables: who does what, and what comes of it.

use reqwest::Method;
use serde_json::{Value, json};

/// What somebody tries.
pub struct Case {
    pub who: &'static str,
    pub what: &'static str,
    pub request: Request,
    pub expected: Expected,
}

/// What should come of it.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    Allowed,
    /// RBAC or another part of the API server forbids it, with these words.
    Forbidden(&'static str),
    /// The policy of this name denies it, with these words.
    Denied(&'static str, &'static str),
    /// A rule of the definition refuses the object, with these words.
    Invalid(&'static str),
}

/// RBAC's own words.
pub const RBAC: Expected = Expected::Forbidden(" cannot ");

/// An HTTP request to the API server.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub body: Option<Value>,
    pub impersonate: Option<&'static str>,
}

impl Request {
    fn new(method: Method, path: impl Into<String>, content_type: &'static str, body: Option<Value>) -> Self {
        Self { method, path: path.into(), content_type, body, impersonate: None }
    }

    /// The request, but nothing comes of it: admission judges it all the same.
    pub fn dry(mut self) -> Self {
        self.path.push_str(if self.path.contains('?') { "&" } else { "?" });
        self.path.push_str("dryRun=All");
        self
    }

    pub fn acting_as(mut self, user: &'static str) -> Self {
        self.impersonate = Some(user);
        self
    }
}

pub fn get(path: impl Into<String>) -> Request {
    Request::new(Method::GET, path, "application/json", None)
}

pub fn post(path: impl Into<String>, body: Value) -> Request {
    Request::new(Method::POST, path, "application/json", Some(body))
}

pub fn put(path: impl Into<String>, body: Value) -> Request {
    Request::new(Method::PUT, path, "application/json", Some(body))
}

pub fn merge(path: impl Into<String>, body: Value) -> Request {
    Request::new(Method::PATCH, path, "application/merge-patch+json", Some(body))
}

pub fn json_patch(path: impl Into<String>, body: Value) -> Request {
    Request::new(Method::PATCH, path, "application/json-patch+json", Some(body))
}

/// Server-side apply, as the operator does it.
pub fn apply(path: impl Into<String>, body: Value) -> Request {
    let path = format!("{}?fieldManager=subrosa&force=true", path.into());
    Request::new(Method::PATCH, path, "application/apply-patch+yaml", Some(body))
}

pub fn delete(path: impl Into<String>) -> Request {
    Request::new(Method::DELETE, path, "application/json", None)
}

/// A deletion that waits for dependents.
pub fn delete_foreground(path: impl Into<String>) -> Request {
    let body = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground" });
    Request::new(Method::DELETE, path, "application/json", Some(body))
}

/// What the API server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// Why it is not what was expected, if it is not.
    pub fn fault(&self, expected: Expected) -> Option<String> {
        let denied = self.message().contains("ValidatingAdmissionPolicy");
        let fine = match expected {
            Expected::Allowed => (200..300).contains(&self.status),
            Expected::Forbidden(words) => self.status == 403 && !denied && self.message().contains(words),
            Expected::Invalid(words) => self.status == 422 && self.message().contains(words),
            Expected::Denied(policy, words) => {
                let named =
                    format!("ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: ");
                self.status == 403 && self.message().contains(&named) && self.message().contains(words)
            }
        };
        (!fine).then(|| format!("expected {expected:?}, got {}: {}", self.status, self.message()))
    }
}
