//! The one recipient of a sealed file: a key in Vault.
//!
//! ```text
//! -> subrosa <id>.<class>.<cohort> <version> <item>
//! <the wrapped file key>
//! ```
//!
//! It does not name a Vault: the reader's settings decide which one is asked, never the file.

use age_core::format::Stanza;
use subrosa_crds::names::DataKeyName;
use subrosa_records::vault::sealing::WrappedKey;

use crate::item::ItemId;

/// The type of the stanza.
pub const TAG: &str = "subrosa";
/// The suffix of stanza types that wrap nothing. rage adds such a stanza so that readers learn to ignore unknown
/// ones.
const GREASE: &str = "-grease";

/// A wrapped file key with what is needed to unwrap it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// The key in Vault that wrapped it.
    pub key: DataKeyName,
    /// The item for which it was wrapped.
    pub item: ItemId,
    /// The wrapped file key and its key version.
    pub wrapped: WrappedKey,
}

/// Why a file is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StanzaError {
    /// No recipient is one of ours.
    #[error("it was not sealed with Subrosa: none of its {0} recipients is a key in Vault")]
    Foreign(usize),
    /// It has further recipients, with which it would still open after the key in Vault is destroyed.
    #[error(
        "it has {0} recipients: a sealed file has one, the key in Vault, since any other opens it after that key is destroyed"
    )]
    Several(usize),
    /// A stanza of ours that does not parse.
    #[error("its recipient is damaged: {0}")]
    Damaged(String),
}

impl SealedKey {
    /// As a stanza for the header.
    pub fn stanza(&self) -> Stanza {
        Stanza {
            tag: TAG.to_owned(),
            args: vec![self.key.to_string(), self.wrapped.version.to_string(), self.item.to_string()],
            body: self.wrapped.bytes.clone(),
        }
    }

    /// Parses a stanza; `None` when it is of another type.
    ///
    /// # Errors
    /// When it is of our type but malformed.
    pub fn of_stanza(stanza: &Stanza) -> Result<Option<Self>, StanzaError> {
        if stanza.tag != TAG {
            return Ok(None);
        }
        let damaged = |problem: &dyn std::fmt::Display| StanzaError::Damaged(problem.to_string());
        let [key, version, item] = stanza.args.as_slice() else {
            return Err(damaged(&"expected the key's name, its version and the item"));
        };
        let number: u32 =
            version.parse().map_err(|_| damaged(&format!("{version:?} is no version of a key")))?;
        if number.to_string() != *version {
            return Err(damaged(&format!("{version:?} is no version of a key")));
        }
        Ok(Some(Self {
            key: key.parse().map_err(|error| damaged(&error))?,
            item: item.parse().map_err(|error| damaged(&error))?,
            wrapped: WrappedKey { version: number, bytes: stanza.body.clone() },
        }))
    }

    /// The only recipient of a file.
    ///
    /// # Errors
    /// When there are others, or it is not ours.
    pub fn only(stanzas: &[Stanza]) -> Result<Self, StanzaError> {
        let (mut ours, mut count) = (None, 0);
        for stanza in stanzas.iter().filter(|stanza| !stanza.tag.ends_with(GREASE)) {
            ours = Self::of_stanza(stanza)?.or(ours);
            count += 1;
        }
        match ours {
            None => Err(StanzaError::Foreign(count)),
            Some(_) if count > 1 => Err(StanzaError::Several(count)),
            Some(sealed) => Ok(sealed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> SealedKey {
        SealedKey {
            key: "abcdefghijklmnop.chat.2026m11".parse().unwrap(),
            item: ItemId::of_name("a.txt"),
            wrapped: WrappedKey { version: 3, bytes: vec![1; 44] },
        }
    }

    #[test]
    fn a_stanza_is_read_back() {
        assert_eq!(SealedKey::of_stanza(&sealed().stanza()), Ok(Some(sealed())));
        assert_eq!(SealedKey::only(&[sealed().stanza()]), Ok(sealed()));
    }

    #[test]
    fn a_file_with_another_way_in_is_refused() {
        let other = || Stanza { tag: "X25519".into(), args: vec!["a".into()], body: vec![] };
        assert_eq!(SealedKey::only(&[other()]), Err(StanzaError::Foreign(1)));
        assert_eq!(SealedKey::only(&[sealed().stanza(), other()]), Err(StanzaError::Several(2)));
        assert_eq!(SealedKey::only(&[other(), sealed().stanza()]), Err(StanzaError::Several(2)));
        // What rage adds wraps nothing.
        let grease = || Stanza { tag: "Pq*-grease".into(), args: vec!["x".into()], body: vec![7; 9] };
        assert_eq!(SealedKey::only(&[sealed().stanza(), grease()]), Ok(sealed()));
        assert_eq!(SealedKey::only(&[grease(), sealed().stanza(), other()]), Err(StanzaError::Several(2)));
    }

    #[test]
    fn what_a_file_names_is_checked_before_it_is_part_of_a_request() {
        for (at, text) in
            [(0, "../sys/policies"), (0, "abcdefghijklmnop.ca"), (1, "0x1"), (1, "+1"), (1, "01"), (2, "a/b")]
        {
            let mut stanza = sealed().stanza();
            stanza.args[at] = text.into();
            assert!(matches!(SealedKey::of_stanza(&stanza), Err(StanzaError::Damaged(_))), "{text}");
        }
    }
}
