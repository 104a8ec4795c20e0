//! Names that may become part of a request path, validated where they enter.
//!
//! A slash or a dot segment in a name would address another path of Vault's API with the same token. So these types
//! accept only what Subrosa mints itself, far less than Vault would.

use std::fmt;

use subrosa_crds::{
    cohort::Cohort,
    names::{ChannelId, is_dns_label},
};

/// A text that is not allowed in a Vault path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {kind}: expected {expected}")]
pub struct InvalidName {
    kind: &'static str,
    expected: &'static str,
    value: String,
}

impl InvalidName {
    pub(super) fn new(kind: &'static str, expected: &'static str, value: &str) -> Self {
        Self { kind, expected, value: value.chars().take(MAX_QUOTED).collect() }
    }

    /// Which kind of name was expected, for example `transit key name`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The expected form of the name.
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

/// How much of a rejected name an error quotes.
const MAX_QUOTED: usize = 64;

/// Declares a validated name: the type, its kind, its expected form and the check.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Validates `value`; the error gives the expected form.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
                let value = value.into();
                let check: fn(&str) -> bool = $check;
                if check(&value) {
                    Ok(Self(value))
                } else {
                    Err(InvalidName::new($kind, $expected, &value))
                }
            }

            /// The name, for a path or body.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = InvalidName;

            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Self::new(value)
            }
        }
    };
}

name!(
    /// The name of a transit key: `<id>.<class>.<cohort>` for a data key, `<id>` for an authority, `<id>.ca` for an
    /// authority that an earlier release made.
    TransitKeyName,
    "transit key name",
    "dot-separated labels of a-z, 0-9 and '-', at most 160 characters",
    |value| value.len() <= 160 && value.split('.').all(is_dns_label)
);

name!(
    /// The mount point of a secrets engine or an auth method, without leading or trailing slash and, for an auth
    /// method, without `auth/`.
    MountPath,
    "mount path",
    "1 to 4 segments of a-z, 0-9, '-' and '_' joined by '/', none of Vault's own first segments \
     (sys, identity, cubbyhole, auth), at most 128 characters",
    |value| {
        let segments = || value.split('/');
        value.len() <= 128
            && segments().count() <= 4
            && segments().all(is_segment)
            && !segments().next().is_some_and(|first| RESERVED_MOUNTS.contains(&first))
    }
);

name!(
    /// The name of a role of an auth method.
    RoleName,
    "role name",
    "a-z, 0-9 and '-', starting and ending alphanumeric, at most 63 characters",
    |value| is_dns_label(value)
);

name!(
    /// The name of the policy of a grant slot.
    PolicyName,
    "policy name",
    "dot-separated labels of a-z, 0-9 and '-', at most 128 characters",
    |value| value.len() <= 128 && value.split('.').all(is_dns_label)
);

name!(
    /// The name of a group that `vault-setup` made.
    GroupName,
    "group name",
    "a-z, 0-9, '-' and '_', starting with a letter, at most 128 characters",
    |value| is_identifier(value, |c| c == '-' || c == '_')
        && value.starts_with(|first: char| first.is_ascii_lowercase())
        && !value.contains(|c: char| c.is_ascii_uppercase())
);

name!(
    /// The name of an entity alias: the UID of a ServiceAccount, because of `alias_name_source=serviceaccount_uid`.
    AliasName,
    "alias name",
    "a ServiceAccount UID: letters, digits and '-', at most 128 characters",
    |value| is_identifier(value, |c| c == '-')
);

name!(
    /// The accessor of an auth mount. Together with an [`AliasName`] it identifies an alias.
    MountAccessor,
    "mount accessor",
    "letters, digits, '-' and '_', at most 128 characters",
    |value| is_identifier(value, |c| c == '-' || c == '_')
);

name!(
    /// The id Vault gave an entity alias.
    AliasId,
    "alias id",
    "letters, digits and '-', at most 128 characters",
    |value| is_identifier(value, |c| c == '-')
);

name!(
    /// The id Vault gave an entity.
    EntityId,
    "entity id",
    "letters, digits and '-', at most 128 characters",
    |value| is_identifier(value, |c| c == '-')
);

name!(
    /// The name of a data class.
    ClassName,
    "data class",
    "a-z, 0-9 and '-', starting and ending alphanumeric, at most 63 characters",
    |value| is_dns_label(value)
);

name!(
    /// The month in which cohorts begin, such as `2026m11`, or `open-2026m11` for open cohorts.
    MonthName,
    "month of cohorts",
    "a year, 'm' and a month, such as 2026m11, perhaps after open-",
    |value| {
        let (year, month) = value.strip_prefix("open-").unwrap_or(value).split_once('m').unwrap_or_default();
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|c| c.is_ascii_digit());
        digits(year, 4) && digits(month, 2)
    }
);

/// First path segments that are reserved by Vault.
const RESERVED_MOUNTS: [&str; 4] = ["sys", "identity", "cubbyhole", "auth"];

/// A folder of the key-value store that can be listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// One record for each Channel.
    Channels,
    /// The Channels that have records of keys.
    Keys,
    /// The data classes of one Channel's keys.
    Classes(ChannelId),
    /// The months of one data class's keys.
    Months(ChannelId, ClassName),
    /// The Channels whose keys have decisions.
    Decisions,
    /// The data classes of one Channel whose keys have decisions.
    DecisionClasses(ChannelId),
    /// The cohorts of one data class whose keys have decisions.
    DecisionCohorts(ChannelId, ClassName),
}

impl Folder {
    /// The path below the mount.
    fn path(&self) -> String {
        match self {
            Self::Channels => "channels".to_owned(),
            Self::Keys => "keys".to_owned(),
            Self::Classes(id) => format!("keys/{id}"),
            Self::Months(id, class) => format!("keys/{id}/{class}"),
            Self::Decisions => "decisions".to_owned(),
            Self::DecisionClasses(id) => format!("decisions/{id}"),
            Self::DecisionCohorts(id, class) => format!("decisions/{id}/{class}"),
        }
    }

    /// The path as policies name it.
    pub(super) fn pattern(&self) -> &'static str {
        match self {
            Self::Channels => "channels",
            Self::Keys => "keys",
            Self::Classes(_) => "keys/+",
            Self::Months(..) => "keys/+/+",
            Self::Decisions => "decisions",
            Self::DecisionClasses(_) => "decisions/+",
            Self::DecisionCohorts(..) => "decisions/+/+",
        }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// The path of a record in the key-value store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPath {
    path: String,
    pattern: &'static str,
}

impl RecordPath {
    /// A Channel's record, `channels/<id>`.
    pub fn channel(id: &ChannelId) -> Self {
        Self { path: format!("channels/{id}"), pattern: "channels/+" }
    }

    /// The record of the keys of a data class whose cohorts begin in one month, `keys/<id>/<class>/<month>`.
    pub fn keys(id: &ChannelId, class: &ClassName, month: &MonthName) -> Self {
        Self { path: format!("keys/{id}/{class}/{month}"), pattern: "keys/+/+/+" }
    }

    /// The decision about one data key, `decisions/<id>/<class>/<cohort>`. Only the destroyer may write it.
    pub fn decision(id: &ChannelId, class: &ClassName, cohort: Cohort) -> Self {
        Self { path: format!("decisions/{id}/{class}/{cohort}"), pattern: "decisions/+/+/+" }
    }

    /// The destroyer's own record, `destroyer`. Only the destroyer may write it.
    pub fn destroyer() -> Self {
        Self { path: "destroyer".to_owned(), pattern: "destroyer" }
    }

    /// Which AccessRoles were reviewed, `reviews`. The granter alone writes it.
    pub fn reviews() -> Self {
        Self { path: "reviews".to_owned(), pattern: "reviews" }
    }

    /// Which AccessRevocations were released, and which entities they disabled, `revocations`. The granter alone writes it.
    pub fn revocations() -> Self {
        Self { path: "revocations".to_owned(), pattern: "revocations" }
    }

    /// Who used break-glass, `break-glass`. The granter alone writes it, and nobody else reads it.
    pub fn break_glass() -> Self {
        Self { path: "break-glass".to_owned(), pattern: "break-glass" }
    }

    /// Which AccessGrants were given, `grants`. The granter alone writes it.
    pub fn grants() -> Self {
        Self { path: "grants".to_owned(), pattern: "grants" }
    }

    /// The identity of the Channel that the record belongs to, if any.
    pub fn identity(&self) -> Option<&str> {
        self.path.split('/').nth(1)
    }

    /// The record of the store itself, `domain`.
    pub fn domain() -> Self {
        Self { path: "domain".to_owned(), pattern: "domain" }
    }

    /// The findings about the keys of all Channels, `key-findings`.
    pub fn key_findings() -> Self {
        Self { path: "key-findings".to_owned(), pattern: "key-findings" }
    }

    /// The path below the mount.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The path as policies name it.
    pub(super) fn pattern(&self) -> &'static str {
        self.pattern
    }
}

impl fmt::Display for RecordPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_')
}

fn is_identifier(value: &str, also: fn(char) -> bool) -> bool {
    (1..=128).contains(&value.len()) && value.chars().all(|c| c.is_ascii_alphanumeric() || also(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What must never become part of a path, whatever the type.
    const HOSTILE: [&str; 16] = [
        "",
        ".",
        "..",
        "../sys/mounts/evil",
        "a/../b",
        "a//b",
        "/a",
        "a/",
        "a%2fb",
        "a?list=true",
        "a#b",
        "a b",
        "a\nb",
        "a\0b",
        "ä",
        "a*",
    ];

    #[test]
    fn hostile_texts_are_refused_by_every_name() {
        for text in HOSTILE {
            assert!(TransitKeyName::new(text).is_err(), "key {text:?}");
            assert!(MountPath::new(text).is_err(), "mount {text:?}");
            assert!(RoleName::new(text).is_err(), "role {text:?}");
            assert!(GroupName::new(text).is_err(), "group {text:?}");
            assert!(PolicyName::new(text).is_err(), "policy {text:?}");
            assert!(AliasName::new(text).is_err(), "alias {text:?}");
            assert!(AliasId::new(text).is_err(), "alias id {text:?}");
            assert!(MountAccessor::new(text).is_err(), "accessor {text:?}");
            assert!(ClassName::new(text).is_err(), "class {text:?}");
            assert!(MonthName::new(text).is_err(), "month {text:?}");
        }
        assert!(TransitKeyName::new("a/b").is_err());
        assert!(TransitKeyName::new("a..b").is_err());
        assert!(TransitKeyName::new("a.").is_err());
        assert!(ClassName::new("a/b").is_err());
    }

    #[test]
    fn names_subrosa_mints_are_accepted() {
        assert!(TransitKeyName::new("abcdefgh234567ab.call-recording.2026w47").is_ok());
        assert!(TransitKeyName::new("abcdefgh234567ab.ca").is_ok());
        assert!(AliasName::new("6f1f2b1e-5a0b-4f57-9d9a-0c8c5a3d2f10").is_ok());
        assert!(MountAccessor::new("auth_kubernetes_fbf9457a").is_ok());
        assert!(MountPath::new("team-a/transit_2").is_ok());
        let id: ChannelId = "abcdefgh234567ab".parse().unwrap();
        assert_eq!(RecordPath::channel(&id).as_str(), "channels/abcdefgh234567ab");
        let (class, month) =
            (ClassName::new("call-recording").unwrap(), MonthName::new("open-2026m11").unwrap());
        assert_eq!(
            RecordPath::keys(&id, &class, &month).as_str(),
            "keys/abcdefgh234567ab/call-recording/open-2026m11"
        );
    }

    #[test]
    fn every_cohort_has_one_decision_with_a_path_of_four_segments() {
        let id: ChannelId = "abcdefgh234567ab".parse().unwrap();
        let class = ClassName::new("call-recording").unwrap();
        let texts = ["20261122", "2026w47", "2026m11", "2026q4", "2026", "open-2026m11"];
        for text in texts {
            let path = RecordPath::decision(&id, &class, text.parse().unwrap());
            assert_eq!(path.as_str(), format!("decisions/abcdefgh234567ab/call-recording/{text}"));
            assert_eq!(path.as_str().split('/').count(), path.pattern().split('/').count());
            assert_eq!(path.identity(), Some(id.as_str()));
        }
        assert_eq!(
            (RecordPath::destroyer().as_str(), RecordPath::destroyer().identity()),
            ("destroyer", None)
        );
        let folder = Folder::DecisionCohorts(id, class);
        assert_eq!(folder.to_string(), "decisions/abcdefgh234567ab/call-recording");
    }

    #[test]
    fn what_is_no_cohort_never_comes_into_the_path_of_a_decision() {
        for text in HOSTILE.iter().chain(&["2026m13", "2026-11", "open-", "open-open-2026", "2026/../2027"]) {
            assert!(text.parse::<Cohort>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_mount_may_not_shadow_vaults_own_api() {
        for text in ["sys", "sys/raw", "identity", "cubbyhole", "auth", "auth/kubernetes"] {
            assert!(MountPath::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_quotes_only_the_beginning_of_what_it_refuses() {
        let message = match RoleName::new("A".repeat(500)) {
            Ok(name) => panic!("accepted {name}"),
            Err(error) => error.to_string(),
        };
        assert!(message.len() < 250, "{message}");
        assert!(message.contains("role name"), "{message}");
    }
}
