//! Names that reach Vault: minted or validated, never a tenant's free text.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{cohort::Cohort, rules};

/// The longest DNS label (RFC 1123).
pub const DNS_LABEL_LENGTH: usize = 63;

/// Whether `text` is a DNS label as Kubernetes has names: a-z, 0-9 and '-', not at either end, at most
/// [`DNS_LABEL_LENGTH`] characters.
pub fn is_dns_label(text: &str) -> bool {
    (1..=DNS_LABEL_LENGTH).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The data class of the keys that encrypt backups. No RetentionPolicy may name it.
pub const BACKUP_CLASS: &str = "subrosa-backup";
/// What stands behind the identity in the names of these keys, so that no right to data keys reaches them.
const BACKUP_MARK: char = 'b';

/// Characters of an identity: 16 of base32 are 80 bits.
const ID_LENGTH: usize = 16;

/// The identity of a Channel in Vault.
///
/// The first 16 characters of the lower-case base32 of SHA-256(namespace UID, NUL, Channel name).
/// A Channel deleted and applied again finds its keys; a recreated namespace, whose UID is another,
/// does not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelId(String);

/// Why a text is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no Channel identity: expected {ID_LENGTH} characters of a-z and 2-7")]
pub struct ChannelIdError(String);

impl ChannelId {
    /// The identity of Channel `channel` in the namespace with UID `namespace_uid`.
    pub fn mint(namespace_uid: &str, channel: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(namespace_uid);
        hash.update([0]);
        hash.update(channel);
        let mut text = BASE32_NOPAD.encode(&hash.finalize()).to_ascii_lowercase();
        text.truncate(ID_LENGTH);
        Self(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its certificate authority's key, on the transit mount for authorities.
    pub fn authority_key(&self) -> String {
        self.0.clone()
    }

    /// The name of its certificate authority's key in earlier releases, on the transit mount of data keys.
    pub fn earlier_authority_key(&self) -> String {
        format!("{}.ca", self.0)
    }

    /// The name of the transit key of a class and cohort. Neither contains a dot, so names are unique. Keys of backups
    /// ([`BACKUP_CLASS`]) have a prefix of their own, `<id>b.`: a policy that lets somebody use `<id>.*` does not let
    /// them open backups, and one for `<id>b.*` opens nothing else.
    pub fn data_key(&self, class: &str, cohort: &str) -> String {
        data_key_name(&self.0, class, cohort)
    }

    /// The path of its record below the KV mount.
    pub fn record_path(&self) -> String {
        format!("channels/{}", self.0)
    }
}

/// As [`ChannelId::data_key`], where the identity is a text that is read or shown as it is.
pub fn data_key_name(id: &str, class: &str, cohort: &str) -> String {
    match class {
        BACKUP_CLASS => format!("{id}{BACKUP_MARK}.{class}.{cohort}"),
        _ => format!("{id}.{class}.{cohort}"),
    }
}

impl FromStr for ChannelId {
    type Err = ChannelIdError;

    fn from_str(text: &str) -> Result<Self, ChannelIdError> {
        let valid =
            text.len() == ID_LENGTH && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        if valid { Ok(Self(text.to_owned())) } else { Err(ChannelIdError(text.to_owned())) }
    }
}

impl TryFrom<String> for ChannelId {
    type Error = ChannelIdError;

    fn try_from(text: String) -> Result<Self, ChannelIdError> {
        text.parse()
    }
}

impl From<ChannelId> for String {
    fn from(id: ChannelId) -> Self {
        id.0
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the name of a data key says: `<id>.<class>.<cohort>`, or `<id>b.subrosa-backup.<window>` for one of backups.
///
/// Where such a name comes out of a sealed file it is read by this type before it is part of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKeyName {
    /// The Channel's identity.
    pub id: ChannelId,
    /// The class of data.
    pub class: String,
    /// The cohort.
    pub cohort: Cohort,
}

/// Why a text names no data key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no data key: expected <id>.<class>.<cohort>, such as abcdefghijklmnop.call-recording.2026w48"
)]
pub struct DataKeyNameError(String);

impl FromStr for DataKeyName {
    type Err = DataKeyNameError;

    fn from_str(text: &str) -> Result<Self, DataKeyNameError> {
        let read = || {
            let mut parts = text.split('.');
            let (id, class, cohort) = (parts.next()?, parts.next()?, parts.next()?);
            let id = if class == BACKUP_CLASS { id.strip_suffix(BACKUP_MARK)? } else { id };
            let key = Self { id: id.parse().ok()?, class: class.to_owned(), cohort: cohort.parse().ok()? };
            (is_dns_label(class) && parts.next().is_none()).then_some(key)
        };
        read().ok_or_else(|| DataKeyNameError(text.chars().take(DNS_LABEL_LENGTH).collect()))
    }
}

impl fmt::Display for DataKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id.data_key(&self.class, &self.cohort.to_string()))
    }
}

/// A namespaced name: `namespace/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ChannelRef {
    /// The namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::DNS_LABEL))]
    pub namespace: String,
    /// The Channel's name.
    #[schemars(length(min = 1, max = 36), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
}

impl ChannelRef {
    /// Names Channel `name` of `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ChannelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for ChannelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_data_key_is_read_back() {
        for name in [
            "abcdefghijklmnop.call-recording.2026w48",
            "abcdefghijklmnop.chat.open-2026m11",
            "abcdefghijklmnopb.subrosa-backup.2026m12",
        ] {
            let key: DataKeyName = name.parse().unwrap();
            assert_eq!(key.to_string(), name);
            assert_eq!(data_key_name(key.id.as_str(), &key.class, &key.cohort.to_string()), name);
        }
        for other in [
            "",
            "abcdefghijklmnop.ca",
            "abcdefghijklmnop.chat",
            "abcdefghijklmnop.chat.2026m13",
            "abcdefghijklmnop.chat.2026.2026",
            "abcdefghijklmnop./chat.2026",
            "ABCDEFGHIJKLMNOP.chat.2026",
            "short.chat.2026",
            "abcdefghijklmnop.subrosa-backup.2026m12",
            "abcdefghijklmnopb.chat.2026m12",
        ] {
            assert!(other.parse::<DataKeyName>().is_err(), "{other}");
        }
    }

    #[test]
    fn a_dns_label_is_what_kubernetes_has() {
        for label in ["a", "0", "a-b", "a--b", "cc-front", &"a".repeat(63)] {
            assert!(is_dns_label(label), "{label}");
        }
        for other in ["", "-a", "a-", "A", "a.b", "a_b", "a/b", "a b", "é", "a\n", &"a".repeat(64)] {
            assert!(!is_dns_label(other), "{other:?}");
        }
    }
}
