//! Interprets the HTTP answers of Vault.

use http::{Method, StatusCode};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::endpoint::{Op, Repeat};
use super::error::{VaultError, shorten};

/// An answer that is not a failure.
pub(super) enum Reply {
    /// 2xx, with its body.
    Success(Vec<u8>),
    /// 404 without a message: the path is valid, the object does not exist. Deleted key-value entries have a body.
    Absent(Vec<u8>),
}

/// A failed attempt, and whether another one is allowed.
pub(super) struct Failure {
    pub error: VaultError,
    pub again: Again,
}

/// When a failed attempt may be repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// A repetition would fail the same way.
    Never,
    /// Vault certainly did not process it.
    Unhandled,
    /// Vault may have processed it.
    Uncertain,
}

impl Failure {
    pub fn final_(error: VaultError) -> Self {
        Self { error, again: Again::Never }
    }

    pub fn repeatable(&self, repeat: Repeat) -> bool {
        match self.again {
            Again::Never => false,
            Again::Unhandled => true,
            Again::Uncertain => repeat == Repeat::Safe,
        }
    }
}

/// The part of Vault's envelope that is read.
#[derive(Deserialize)]
pub(super) struct Envelope<T> {
    pub data: Option<T>,
    pub auth: Option<AuthPart>,
    /// Parameters that Vault ignored or changed.
    #[serde(default = "Option::default")]
    pub warnings: Option<Vec<String>>,
}

/// What a login or renewal answers. No `Debug`: it holds the token.
#[derive(Deserialize)]
pub(super) struct AuthPart {
    #[serde(deserialize_with = "secret")]
    pub client_token: SecretString,
    /// Identifies the token for revocation, but cannot be used as one.
    #[serde(default)]
    pub accessor: String,
    pub lease_duration: u64,
    pub renewable: bool,
}

/// Reads a secret.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

/// The parts of a request that errors name.
pub(super) struct Asked<'a> {
    pub op: &'a Op,
    pub method: &'a Method,
    pub path: &'a str,
    pub secrets: &'a [&'a str],
}

/// Distinguishes success, absence and the kinds of failure.
pub(super) fn classify(asked: &Asked<'_>, status: StatusCode, body: Vec<u8>) -> Result<Reply, Failure> {
    if status.is_success() {
        return Ok(Reply::Success(body));
    }
    let path = || asked.path.to_owned();
    let method = || asked.method.to_string();
    let messages = messages(&body, asked.secrets);
    let says = |text: &str| messages.iter().any(|message| message.contains(text));
    let code = status.as_u16();
    let upstream =
        || VaultError::Unreachable { reason: format!("a proxy or standby answered with status {code}") };
    Err(match code {
        404 if messages.is_empty() => return Ok(Reply::Absent(body)),
        404 if says("unsupported path") => Failure::final_(VaultError::Unsupported { path: path() }),
        405 if says("unsupported operation") => Failure::final_(VaultError::Unsupported { path: path() }),
        404 => Failure::final_(VaultError::NotFound { path: path() }),
        300..=399 => Failure::final_(VaultError::Redirected { method: method(), path: path(), status: code }),
        403 => {
            let line = asked.op.policy_line();
            Failure::final_(VaultError::PermissionDenied { method: method(), path: path(), line })
        }
        503 if says("sealed") => Failure::final_(VaultError::Sealed),
        429 | 503 => Failure { error: upstream(), again: Again::Unhandled },
        502 | 504 => Failure { error: upstream(), again: Again::Uncertain },
        400 if says("check-and-set parameter did not match") => {
            Failure::final_(VaultError::CasConflict { path: path() })
        }
        400 if says("Upgrading from non-versioned") => {
            Failure { error: VaultError::NotReady { path: path() }, again: Again::Unhandled }
        }
        500..=599 => {
            let again = if says("transaction commit failed") { Again::Uncertain } else { Again::Never };
            Failure { error: VaultError::Fault { path: path(), status: code, messages }, again }
        }
        _ => Failure::final_(VaultError::Invalid { path: path(), status: code, messages }),
    })
}

/// The failure of a request without an answer.
pub(super) fn no_answer(error: reqwest::Error) -> Failure {
    // Without a connection no request was sent; a broken connection may have carried one.
    let again = match (error.is_connect(), error.is_timeout()) {
        (true, false) => Again::Unhandled,
        _ => Again::Never,
    };
    Failure { error: VaultError::Unreachable { reason: describe(&error.without_url()) }, again }
}

/// An error with its causes on one line, because reqwest's own text lacks the cause.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    shorten([text.as_str()], &[]).into_iter().next().unwrap_or_default()
}

/// Reads Vault's envelope; an empty body is an empty envelope.
pub(super) fn parse<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<Envelope<T>, VaultError> {
    if body.is_empty() {
        return Ok(Envelope { data: None, auth: None, warnings: None });
    }
    parse_whole(path, body)
}

/// Parses a body without envelope. The error gives the position and no content, because the body may hold secrets.
pub(super) fn parse_whole<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, VaultError> {
    serde_json::from_slice(body).map_err(|error| VaultError::Unexpected {
        path: path.to_owned(),
        problem: format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column()),
    })
}

fn messages(body: &[u8], secrets: &[&str]) -> Vec<String> {
    match serde_json::from_slice::<Errors>(body) {
        Ok(errors) => shorten(errors.errors.iter().map(String::as_str), secrets),
        // Not Vault's format, so a proxy's page. An empty body may be from either and says nothing.
        Err(_) if body.is_empty() => Vec::new(),
        Err(_) => shorten([String::from_utf8_lossy(body).as_ref()], secrets),
    }
}

#[cfg(test)]
mod tests {
    use subrosa_crds::Reason;

    use super::*;
    use crate::vault::endpoint::Capability;

    fn failure(status: u16, body: &str) -> Failure {
        let op = Op::new("test", "transit/keys/+", &[Capability::Create]);
        let asked = Asked { op: &op, method: &Method::POST, path: "transit/keys/a", secrets: &["s.secret"] };
        match classify(&asked, StatusCode::from_u16(status).expect("status"), body.as_bytes().to_vec()) {
            Ok(_) => panic!("{status} {body} is no failure"),
            Err(failure) => failure,
        }
    }

    #[test]
    fn each_answer_has_its_reason_and_its_right_to_a_repetition() {
        let cases = [
            (307, "", "VaultRedirected", Again::Never),
            (400, r#"{"errors":["no"]}"#, "VaultRequestRefused", Again::Never),
            (
                400,
                r#"{"errors":["check-and-set parameter did not match the current version"]}"#,
                "VaultConflict",
                Again::Never,
            ),
            (
                400,
                r#"{"errors":["Upgrading from non-versioned to versioned data. This backend will be unavailable"]}"#,
                "VaultNotReady",
                Again::Unhandled,
            ),
            (403, r#"{"errors":["permission denied"]}"#, "VaultPermissionDenied", Again::Never),
            (404, r#"{"errors":["no handler for route"]}"#, "VaultNotFound", Again::Never),
            (404, "<html>not here</html>", "VaultNotFound", Again::Never),
            (
                404,
                r#"{"errors":["1 error occurred:\n\t* unsupported path\n\n"]}"#,
                "VaultRequestRefused",
                Again::Never,
            ),
            (
                405,
                r#"{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}"#,
                "VaultRequestRefused",
                Again::Never,
            ),
            (429, "", "VaultUnreachable", Again::Unhandled),
            (500, r#"{"errors":["internal error"]}"#, "VaultFault", Again::Never),
            (500, r#"{"errors":["transaction commit failed"]}"#, "VaultFault", Again::Uncertain),
            (502, "bad gateway", "VaultUnreachable", Again::Uncertain),
            (503, r#"{"errors":["Vault is sealed"]}"#, "VaultSealed", Again::Never),
            (503, "no upstream", "VaultUnreachable", Again::Unhandled),
            (504, "", "VaultUnreachable", Again::Uncertain),
        ];
        for (status, body, reason, again) in cases {
            let failure = failure(status, body);
            assert_eq!(failure.error.reason().as_str(), reason, "{status} {body}");
            assert!(failure.again == again, "{status} {body}");
        }
    }

    #[test]
    fn only_a_safe_request_is_repeated_when_the_outcome_is_uncertain() {
        let uncertain = failure(504, "");
        assert!(uncertain.repeatable(Repeat::Safe) && !uncertain.repeatable(Repeat::Unhandled));
        let unhandled = failure(429, "");
        assert!(unhandled.repeatable(Repeat::Safe) && unhandled.repeatable(Repeat::Unhandled));
        assert!(!failure(403, "").repeatable(Repeat::Safe));
    }

    #[test]
    fn neither_a_refusal_nor_an_unreadable_answer_repeats_a_secret() {
        let refused = failure(400, r#"{"errors":["token s.secret is odd"]}"#).error;
        assert!(!format!("{refused} {refused:?}").contains("s.secret"));
        let unreadable = parse::<u32>("x", br#"{"data":"s.secret"}"#).err().expect("parsed");
        assert!(!format!("{unreadable} {unreadable:?}").contains("s.secret"));
        assert_eq!(unreadable.reason(), Reason::VaultAnswerUnexpected);
    }
}
