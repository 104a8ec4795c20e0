//! The forms of texts, and CEL rules that several kinds use.
//!
//! A field names its form by `regex(pattern = …)`. The generated schema has a CEL rule instead of that pattern (see
//! [`crate::schema`]), because a rule's message can say what to write, while a pattern's error only repeats the
//! pattern. The API server quotes the value of the node on which a rule stands; where that must not happen
//! ([`is_unquotable`]), the rule stands on the parent object.

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
/// A size of storage: one integer with Mi, Gi or Ti.
pub const SIZE: &str = "^[1-9][0-9]{0,5}(Mi|Gi|Ti)$";
/// A calendar period: one integer with d, w, mo or y.
pub const PERIOD: &str = "^[1-9][0-9]{0,4}(d|w|mo|y)$";
/// A calendar date, ISO 8601, that exists: 29 February only in leap years.
pub const DATE: &str = "^([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|\
     02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)$";
/// A mount of Vault: path segments of letters, digits, `_` and `-`; no dots, so no way up.
pub const MOUNT: &str = "^[a-z0-9]([a-z0-9_-]*[a-z0-9])?(/[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*$";
/// A key of a ConfigMap or Secret.
pub const DATA_KEY: &str = "^[-._a-zA-Z0-9]+$";
/// A jurisdiction, such as NL, EU or US.
pub const JURISDICTION: &str = "^[A-Z]{2,8}$";
/// A framework of rules, such as GDPR or NEN7510.
pub const FRAMEWORK: &str = "^[A-Z][A-Z0-9-]{1,31}$";
/// An ISO 3166-1 alpha-2 country code.
pub const COUNTRY: &str = "^[A-Z]{2}$";
/// The form of an IANA time zone's name. Whether there is such a zone is the operator's to see.
pub const TIME_ZONE: &str = "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$";
/// A schedule in five fields of cron, as a CronJob takes it; no `TZ=`, since the time zone is a field of its own.
pub const CRON: &str = r"^([0-9*?][0-9*,/?-]*|\*) +([0-9*?][0-9*,/?-]*) +([0-9*?][0-9*,/?-]*) +([0-9A-Za-z*?][0-9A-Za-z*,/?-]*) +([0-9A-Za-z*?][0-9A-Za-z*,/?-]*)$";
/// A control of the catalogue.
pub const CONTROL: &str = "^SR-[A-Z]{2,3}-[0-9]{2}$";
/// A type of agreement.
pub const AGREEMENT: &str = "^[A-Z][A-Za-z0-9-]{1,31}$";
/// A SHA-256 digest.
pub const DIGEST: &str = "^sha256:[0-9a-f]{64}$";
/// A container image by its digest, so that it is always the same.
pub const IMAGE: &str = "^[A-Za-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$";
/// The name of a database or of a role that needs no quotes anywhere.
pub const DATABASE_NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9_-]*$";
/// A random text.
pub const NONCE: &str = "^[a-z0-9]+$";
/// The identity of a Channel: 16 characters of lower-case base32 (RFC 4648).
pub const CHANNEL_ID: &str = "^[a-z2-7]{16}$";
/// A cohort's name: a day, an ISO week, a month, a quarter or a year, perhaps after `open-`.
pub const COHORT: &str = "^(open-)?[0-9]{4}(w[0-5][0-9]|m[01][0-9]|q[1-4]|[01][0-9][0-3][0-9])?$";
/// An instant with its offset (RFC 3339).
pub const INSTANT: &str = "^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][0-2][0-9]:[0-5][0-9])$";
/// The address of Vault: scheme, host and port. It has no room for a user or a password.
pub const VAULT_ADDRESS: &str = r"^https?://([a-z0-9]([-a-z0-9.]*[a-z0-9])?|\[[0-9a-f:]+\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?/?$";
/// The issuer of an identity provider: the claim `iss`, an https URL (OpenID Connect Core 1.0, section 2).
pub const ISSUER: &str = r"^https://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[-A-Za-z0-9._~]+)*/?$";
/// The name of a claim of a JWT.
pub const CLAIM: &str = "^[A-Za-z_][A-Za-z0-9_-]*$";
/// The value of a claim such as `aud` or `amr`.
pub const CLAIM_VALUE: &str = "^[A-Za-z0-9][-A-Za-z0-9._:/]*$";
/// What an API server writes before a group of an identity provider: it ends in a sign that sets it off.
pub const GROUPS_PREFIX: &str = "^[A-Za-z0-9][-A-Za-z0-9._]*[:/#]$";
/// A group, as an identity provider names it.
pub const GROUP_NAME: &str = "^[A-Za-z0-9/]([-A-Za-z0-9 ._:/@]*[-A-Za-z0-9._:@])?$";
/// A range of addresses. The rule parses it; the expression is only how a field asks for that.
pub const CIDR: &str = "^[0-9A-Fa-f:.]+/[0-9]{1,3}$";
/// A range of addresses that can be somebody outside; the empty group only tells it from [`CIDR`].
pub const OUTSIDE_CIDR: &str = "^[0-9A-Fa-f:.]+/[0-9]{1,3}$(|)";
/// A port, or a range of ports, in text; the order of a range's ends is a rule of its own.
pub const PORT: &str = "^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])\
     (-([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/(TCP|UDP))?$";
/// The key of a label.
pub const LABEL_KEY: &str =
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// The value of a label; it may be empty.
pub const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

/// Ranges in which nobody outside can be: this network, loopback, link-local, multicast, reserved.
///
/// Source: the IANA special-purpose address registries of IPv4 and IPv6.
const NOBODY_OUTSIDE: &str = "['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4', \
     '::/128', '::1/128', 'fe80::/10', 'ff00::/8']";

/// Free text, which must not carry what identifies a client or patient: resources live in Git and etcd.
/// A marker only: its rule is two expressions, and neither may match.
pub const FREE_TEXT: &str = "^free text$";

/// Whether a value of this form must not be quoted back: it may hold a password, or somebody's number.
pub fn is_unquotable(pattern: &str) -> bool {
    matches!(pattern, VAULT_ADDRESS | FREE_TEXT)
}

/// The rules that stand for `pattern` in the schema, for the value that `subject` names in CEL; none
/// when it is no form of this module.
pub fn of_form(pattern: &str, subject: &str) -> Option<Vec<Rule>> {
    let message = match pattern {
        DNS_LABEL => {
            "must be lower-case letters, digits and hyphens, such as call-recording, with a letter or digit at both ends and no dots"
        }
        DNS_SUBDOMAIN => {
            "must be a name of lower-case letters, digits, hyphens and dots, such as openbao-ca or sip.example.org"
        }
        CERTIFICATE_DNS_NAME => {
            "must be a lower-case DNS name such as sip.example.org, or one with a single wildcard in front such as *.example.org"
        }
        DURATION => "must be one integer with s, m, h or d, such as 12h or 30d",
        SIZE => "must be one integer with Mi, Gi or Ti, such as 10Gi",
        PERIOD => "must be one integer with d, w, mo or y, such as 90d, 18mo or 20y",
        DATE => "must be a date of the calendar as year-month-day, such as 2027-03-01",
        MOUNT => {
            "must be the path of a mount without slashes at its ends, such as transit or secrets/subrosa, of lower-case letters, digits, _ and -"
        }
        DATA_KEY => "must be a key of the object's data, such as ca.crt: letters, digits, dots, - and _",
        JURISDICTION => "must be 2 to 8 capital letters, such as NL, EU or US",
        FRAMEWORK => "must be capital letters, digits and hyphens, such as GDPR or NEN7510",
        COUNTRY => "must be a country code of two capital letters (ISO 3166-1 alpha-2), such as NL",
        CRON => {
            "must be five fields of cron: minute, hour, day of the month, month and day of the week, such as 15 2 * * *"
        }
        TIME_ZONE => "must be the name of an IANA time zone, such as Europe/Amsterdam",
        CONTROL => "must be a control as the control catalogue names it, such as SR-NET-01",
        AGREEMENT => {
            "must be the kind of agreement, such as DPA, BAA or SCC: a capital letter, then letters, digits and hyphens"
        }
        DIGEST => "must be the document's digest: sha256: and 64 lower-case hexadecimal digits",
        IMAGE => {
            "must be an image by its digest, such as registry.example/postgres@sha256: and 64 lower-case hexadecimal digits"
        }
        DATABASE_NAME => "must be letters, digits, _ and -, with no - in front",
        NONCE => "must be lower-case letters and digits",
        CHANNEL_ID => "must be a Channel's identity, 16 characters of a-z and 2-7, as its status shows it",
        COHORT => "must be a cohort, such as 20261122, 2026w47, 2026m11, 2026q4 or 2026, perhaps after open-",
        INSTANT => "must be an instant with its offset, such as 2027-02-14T17:00:00Z",
        VAULT_ADDRESS => {
            "must be https://host:port and nothing else, such as https://openbao.security.svc:8200: no user, password, path or query"
        }
        ISSUER => {
            "must be the issuer as its tokens have it, such as https://login.example.org/realms/staff: https, no user, query or fragment"
        }
        CLAIM => "must be the name of a claim, such as sub or groups: letters, digits, _ and -",
        CLAIM_VALUE => "must be letters, digits, dots, -, _, : and /, such as mfa or urn:example:subrosa",
        GROUPS_PREFIX => "must be letters, digits, dots, - and _ that end in :, / or #, such as oidc:",
        GROUP_NAME => {
            "must be a group as the identity provider's tokens name it, such as cc-quality or /staff/cc-quality: letters, digits, inner spaces, dots, -, _, :, @ and /"
        }
        PORT => "must be 443, \"443/TCP\", \"5060/UDP\" or \"10000-20000/UDP\", with ports from 1 to 65535",
        LABEL_KEY => "must be a label's key, such as app or app.kubernetes.io/name",
        LABEL_VALUE => {
            "must be a label's value: at most 63 letters, digits, dots, - and _, with a letter or digit at both ends"
        }
        CIDR => return Some(cidr(subject).to_vec()),
        OUTSIDE_CIDR => return Some(cidr(subject).into_iter().chain([outside(subject)]).collect()),
        FREE_TEXT => return Some(vec![no_personal_data(subject)]),
        _ => return None,
    };
    let text = if pattern == PORT { format!("string({subject})") } else { subject.to_owned() };
    Some(vec![Rule::new(matches(&text, pattern)).message(message)])
}

fn cidr(range: &str) -> [Rule; 3] {
    [
        // NetworkPolicy rejects the IPv4-mapped form, a second spelling of an IPv4 range.
        Rule::new(format!("isCIDR({range}) && !{range}.startsWith('::ffff:')"))
            .message("must be a range of addresses, such as 203.0.113.0/28 or 2001:db8::/48"),
        Rule::new(format!("!isCIDR({range}) || cidr({range}).prefixLength() > 0"))
            .message("0.0.0.0/0 and ::/0 are everybody: write the ranges that are meant"),
        Rule::new(format!("!isCIDR({range}) || cidr({range}) == cidr({range}).masked()")).message(
            "has bits set behind its prefix: write the first address of the range, such as 203.0.113.0/28 and not 203.0.113.5/28",
        ),
    ]
}

fn outside(range: &str) -> Rule {
    Rule::new(format!(
        "!isCIDR({range}) || {NOBODY_OUTSIDE}.all(r, !cidr(r).containsCIDR({range}) && !cidr({range}).containsCIDR(r))"
    ))
    .message(
        "holds unspecified, loopback, link-local, multicast or reserved addresses, where nobody outside is: write the party's own public ranges",
    )
}

/// Whether `subject` matches `pattern`, as a CEL expression.
pub fn matches(subject: &str, pattern: &str) -> String {
    format!("{subject}.matches('{}')", pattern.replace('\\', r"\\").replace('\'', r"\'"))
}

/// The pattern of a rule that is nothing but [`matches`]`("self", …)`.
pub(crate) fn sole_pattern(rule: &str) -> Option<String> {
    let quoted = rule.strip_prefix("self.matches('")?.strip_suffix("')")?;
    let mut pattern = String::with_capacity(quoted.len());
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => pattern.push(letters.next()?),
            // The rule has more after this pattern.
            '\'' => return None,
            other => pattern.push(other),
        }
    }
    Some(pattern)
}

/// An object's name is a DNS label of at most `limit` characters.
pub fn object_name(limit: u8, message: &str) -> Rule {
    Rule::new(format!("self.metadata.name.size() <= {limit} && {}", matches("self.metadata.name", DNS_LABEL)))
        .message(message)
        .field_path(".metadata.name")
}

// Nine or more digits, in any grouping: phone numbers and Dutch citizen service numbers (BSN).
fn no_personal_data(text: &str) -> Rule {
    Rule::new(format!(
        "!{} && !{}",
        matches(text, r"[^\s@]+@[^\s@]+\.[^\s@]+"),
        matches(text, "[0-9]([ ./()-]{0,2}[0-9]){8,}")
    ))
    .message(
        "must not contain an e-mail address, a phone number or a citizen number: write a role or an opaque reference instead",
    )
}

/// No level of authentication that somebody reaches with a password alone: 0 and 1 of OpenID Connect Core 1.0 and of Keycloak, and
/// those of Okta.
pub fn second_factor_levels() -> Rule {
    Rule::new(
        "!self.exists(level, level in ['0', '1'] || level.startsWith('urn:okta:loa:1fa') || level.endsWith(':ifpossible'))",
    )
    .message(
        "0, 1, urn:okta:loa:1fa:… and what ends in :ifpossible are reached with a password alone: name a level that needs a second factor, such as 2, phr or urn:okta:loa:2fa:any",
    )
}

/// A CEL expression: the machine duration in `field` satisfies `comparison`. An absent or invalid value passes,
/// because another rule rejects it.
pub fn when_set(field: &str, comparison: &str) -> String {
    format!("!has({field}) || !{} || {} {comparison}", matches(field, DURATION), seconds(field))
}

/// The seconds of a machine duration in field `field`, as a CEL expression.
pub fn seconds(field: &str) -> String {
    format!(
        "int({field}.substring(0, {field}.size() - 1)) * ({field}.endsWith('d') ? 86400 : \
         {field}.endsWith('h') ? 3600 : {field}.endsWith('m') ? 60 : 1)"
    )
}

#[cfg(test)]
mod tests {
    use super::{
        CIDR, DNS_SUBDOMAIN, FREE_TEXT, MOUNT, OUTSIDE_CIDR, VAULT_ADDRESS, matches, of_form, sole_pattern,
    };

    #[test]
    fn a_pattern_comes_back_out_of_its_rule() {
        for pattern in [DNS_SUBDOMAIN, MOUNT, VAULT_ADDRESS, r"it's a \ in '\\'"] {
            assert_eq!(sole_pattern(&matches("self", pattern)).as_deref(), Some(pattern));
        }
    }

    #[test]
    fn a_rule_that_says_more_has_no_sole_pattern() {
        let two = format!("{} || {}", matches("self", "a"), matches("self", "b"));
        for rule in
            [two.as_str(), "!self.matches('a')", "self.matches('a", "self.matches('a\\')", "self == 'a'"]
        {
            assert_eq!(sole_pattern(rule), None, "{rule}");
        }
    }

    #[test]
    fn forms_with_a_rule_of_their_own_are_told_apart() {
        let count = |pattern| of_form(pattern, "self").map(|rules| rules.len());
        assert_eq!((count(CIDR), count(OUTSIDE_CIDR), count(FREE_TEXT)), (Some(3), Some(4), Some(1)));
        assert_eq!(count("^anything else$"), None);
    }
}
