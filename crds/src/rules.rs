//! CEL rules that more than one kind uses. Each says what to write instead.

use kube::core::Rule;

/// An RFC 1123 label as a regular expression: what a namespace, a Channel and a data class are called.
pub const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// An RFC 1123 subdomain: what most Kubernetes objects and DNS names look like.
pub const DNS_SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A DNS name in a certificate: a subdomain, with at most one leading wildcard label (RFC 6125).
pub const CERTIFICATE_DNS_NAME: &str =
    r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A machine duration: one integer with s, m, h or d.
pub const DURATION: &str = "^[1-9][0-9]{0,7}[smhd]$";
/// A calendar period: one integer with d, w, mo or y.
pub const PERIOD: &str = "^[1-9][0-9]{0,4}(d|w|mo|y)$";
/// A calendar date, ISO 8601.
pub const DATE: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$";
/// A mount of Vault: path segments of letters, digits, `_` and `-`; no dots, so no way up.
pub const MOUNT: &str = "^[a-z0-9]([a-z0-9_-]*[a-z0-9])?(/[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*$";
/// A key of a ConfigMap or Secret.
pub const DATA_KEY: &str = r"^[-._a-zA-Z0-9]+$";

/// Free text must not carry what identifies a client or patient: resources live in Git and etcd.
///
/// Refuses e-mail addresses, and runs of nine or more digits however they are grouped, which covers
/// phone numbers and Dutch citizen service numbers (BSN).
pub fn no_personal_data() -> Rule {
    Rule::new(
        r"!self.matches('[^\\s@]+@[^\\s@]+\\.[^\\s@]+') && !self.matches('[0-9]([ ./()-]{0,2}[0-9]){8,}')",
    )
    .message(
        "must not contain an e-mail address, a phone number or a citizen number: \
         write a role or an opaque reference instead",
    )
}

/// The seconds of a machine duration in field `field`, as a CEL expression.
pub fn seconds(field: &str) -> String {
    format!(
        "int({field}.substring(0, {field}.size() - 1)) * ({field}.endsWith('d') ? 86400 : \
         {field}.endsWith('h') ? 3600 : {field}.endsWith('m') ? 60 : 1)"
    )
}
