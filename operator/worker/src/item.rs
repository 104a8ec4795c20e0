//! The item that a sealed file belongs to, so that sealed files cannot be swapped.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};

/// The longest id, in characters.
const LONGEST: usize = 128;
/// Characters of an id made from a name: 26 of base32 are 130 bits.
const FROM_NAME: usize = 26;

/// An opaque id of the sealed item, such as a recording. Everybody can read it in the file's header, so it must say
/// nothing about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemId(String);

/// The text is not an item id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no item id: expected 1 to {LONGEST} letters, digits, '.', '_' and '-', such as a UUID, that say nothing about a person"
)]
pub struct ItemIdError(String);

impl ItemId {
    /// The id of the item with this file name (without directories): a digest, because a name may contain a person's
    /// number.
    pub fn of_name(name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update("subrosa item\0");
        hash.update(name);
        let mut text = BASE32_NOPAD.encode(&hash.finalize()).to_ascii_lowercase();
        text.truncate(FROM_NAME);
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Associated data for transit that binds a wrapped file key to this item.
    pub fn associated_data(&self) -> Vec<u8> {
        format!("subrosa/v1 item {}", self.0).into_bytes()
    }
}

impl FromStr for ItemId {
    type Err = ItemIdError;

    fn from_str(text: &str) -> Result<Self, ItemIdError> {
        let fits = (1..=LONGEST).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err(ItemIdError(text.chars().take(LONGEST).collect())) }
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_id_and_it_is_one() {
        let id = ItemId::of_name("call-0001.wav");
        assert_eq!(id.as_str().len(), FROM_NAME);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert_ne!(id, ItemId::of_name("call-0002.wav"));
    }

    #[test]
    fn no_item_is_bound_as_a_canary_is() {
        let canary = subrosa_records::vault::canary::ASSOCIATED_DATA.as_bytes();
        let begin = b"subrosa/v1 item ";
        assert!(!canary.starts_with(begin) && !begin.starts_with(canary));
        let longest = "9".repeat(LONGEST);
        for text in ["a", "canary", "subrosa", "v1", ".", "-", "_", longest.as_str()] {
            assert!(text.parse::<ItemId>().unwrap().associated_data().starts_with(begin), "{text}");
        }
        assert!(ItemId::of_name("subrosa/v1 canary").associated_data().starts_with(begin));
        assert!("subrosa/v1 canary".parse::<ItemId>().is_err());
    }

    #[test]
    fn an_id_is_one_word() {
        for text in ["", " ", "a b", "a/b", "a\n", "é", &"a".repeat(129)] {
            assert!(text.parse::<ItemId>().is_err(), "{text:?}");
        }
        assert!("6c1e6e0a-2c4e-4a52-9a0e-0123456789ab".parse::<ItemId>().is_ok());
    }
}
