//! What transit's refusals mean. Vault has no codes for them, so its messages are matched here, and only here.

use super::error::VaultError;

/// Transit's message where the key does not exist (OpenBao 2.7.2, HashiCorp Vault).
pub(super) const KEY_NOT_FOUND: &str = "encryption key not found";
/// OpenBao 2.7.2's message for a soft-deleted key.
pub(super) const SOFT_DELETED: &str = "refusing to use soft-deleted key";
/// Transit's message where the key of this name did not seal the ciphertext, or the ciphertext was changed.
pub(super) const NOT_AUTHENTIC: &str = "message authentication failed";
/// Transit's message where the ciphertext cannot be parsed.
const NO_CIPHERTEXT: &str = "invalid ciphertext";

/// Why transit did not seal or open with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRefusal {
    /// There is no such key.
    NotFound,
    /// The key is soft-deleted.
    SoftDeleted,
    /// The key of this name did not seal the text, or the text was changed.
    DoesNotFit,
}

impl KeyRefusal {
    /// What a refused request says about the key. `None` where it says nothing about it.
    pub fn of(error: &VaultError) -> Option<Self> {
        let VaultError::Invalid { messages, .. } = error else { return None };
        let says = |text: &str| messages.iter().any(|message| message.contains(text));
        if says(NOT_AUTHENTIC) || says(NO_CIPHERTEXT) {
            Some(Self::DoesNotFit)
        } else if says(KEY_NOT_FOUND) {
            Some(Self::NotFound)
        } else if says(SOFT_DELETED) {
            Some(Self::SoftDeleted)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_in_transits_words_says_something_of_the_key() {
        let refused = |message: &str| {
            let (path, messages) = ("transit/decrypt/a".to_owned(), vec![message.to_owned()]);
            KeyRefusal::of(&VaultError::Invalid { path, status: 400, messages })
        };
        assert_eq!(refused("cipher: message authentication failed"), Some(KeyRefusal::DoesNotFit));
        assert_eq!(refused("invalid ciphertext: no prefix"), Some(KeyRefusal::DoesNotFit));
        assert_eq!(refused("encryption key not found"), Some(KeyRefusal::NotFound));
        assert_eq!(refused("refusing to use soft-deleted key"), Some(KeyRefusal::SoftDeleted));
        assert_eq!(refused("no such thing"), None);
        let failed =
            VaultError::Fault { path: String::new(), status: 500, messages: vec![KEY_NOT_FOUND.to_owned()] };
        assert_eq!(KeyRefusal::of(&failed), None, "a failure says nothing");
    }
}
