//! The canary of a data key: a ciphertext that only this key opens, sealed by the destroyer while the key is in use.
//!
//! If the canary opened once and the same identity with the same rights is later told "key not found", the key is
//! gone. The destroyer's policy lets it seal and open only with this associated data, which no item of data has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use subrosa_crds::names::DataKeyName;

use super::destroy::{DestroyableKeys, checked};
use super::endpoint::{Capability, Op};
use super::error::VaultError;
use super::refusal::{KEY_NOT_FOUND, NOT_AUTHENTIC, SOFT_DELETED};
use super::sealing::ask;

/// The associated data of canaries. It never belongs to an item of data, whose associated data begins with
/// `subrosa/v1 item `.
pub const ASSOCIATED_DATA: &str = "subrosa/v1 canary";
/// The plaintext of canaries, which is of no interest to anybody.
pub const PLAINTEXT: &str = "subrosa canary";

/// Transit's messages where the key of this name did not seal the ciphertext.
const DOES_NOT_FIT: [&str; 2] = [NOT_AUTHENTIC, "version is too new"];

/// Vault's answer to opening a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CanaryAnswer {
    /// It opened to the expected plaintext: the key exists and is in use.
    Opened,
    /// Vault has no key of that name.
    KeyNotFound,
    /// The key exists and is soft-deleted.
    SoftDeleted,
    /// A key of that name exists but did not seal this ciphertext, or the ciphertext was changed.
    DoesNotFit,
    /// This identity has no right to ask.
    NoRight {
        /// The line a policy needs for it.
        line: String,
    },
    /// Any other answer, which proves nothing.
    Otherwise {
        /// What.
        problem: String,
    },
}

impl DestroyableKeys {
    /// Seals a canary with the newest version of a key; returns the ciphertext, such as `vault:v1:…`.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when the key does not exist; other errors when Vault does not answer, the key is
    /// soft-deleted, or this identity has no right.
    pub async fn seal_canary(&self, name: &DataKeyName) -> Result<String, VaultError> {
        let path = format!("{}/encrypt/{}", self.mount, checked(name)?);
        let op = Op::new("transit.canary", format!("{}/encrypt/+", self.mount), &[Capability::Update]);
        let body = Seal { plaintext: plaintext(), associated_data: associated_data() };
        let sealed = match ask::<_, Sealed>(&self.vault, &op, &path, body, None).await {
            Ok(answer) => answer.ciphertext,
            // Sealing with a missing key would create it, for which nobody has the right: distinguish that case from
            // a missing right.
            Err(error @ VaultError::PermissionDenied { .. }) => {
                let absent = matches!(self.read_key(name).await, Ok(None));
                return Err(if absent { VaultError::NotFound { path } } else { error });
            }
            Err(error) => return Err(error),
        };
        if sealed.starts_with("vault:v") {
            return Ok(sealed);
        }
        Err(VaultError::Unexpected {
            path,
            problem: "the canary is not of the form vault:v1:<base64>".into(),
        })
    }

    /// Opens a canary. Every refusal by Vault about the key is an answer, not an error.
    ///
    /// # Errors
    /// When Vault gave no answer about the key: it is unreachable, sealed or failing, or the token is dead. Such an
    /// error proves nothing.
    pub async fn open_canary(
        &self,
        name: &DataKeyName,
        ciphertext: &str,
    ) -> Result<CanaryAnswer, VaultError> {
        let path = format!("{}/decrypt/{}", self.mount, checked(name)?);
        let op = Op::new("transit.canary", format!("{}/decrypt/+", self.mount), &[Capability::Update]);
        let body = Open { ciphertext, associated_data: associated_data() };
        match ask::<_, Opened>(&self.vault, &op, &path, body, None).await {
            Ok(opened) if opened.plaintext == plaintext() => Ok(CanaryAnswer::Opened),
            Ok(_) => Ok(CanaryAnswer::Otherwise { problem: format!("{path} opened it as another text") }),
            Err(error) => judged(error),
        }
    }
}

fn judged(error: VaultError) -> Result<CanaryAnswer, VaultError> {
    let messages: &[String] = match &error {
        VaultError::Invalid { status: 400, messages, .. } | VaultError::Fault { messages, .. } => messages,
        _ => &[],
    };
    let says = |text: &str| messages.iter().any(|message| message.contains(text));
    // The only answer that proves destruction must match exactly: one message, word for word, with this status.
    if matches!(&error, VaultError::Invalid { status: 400, .. }) && messages == [KEY_NOT_FOUND] {
        return Ok(CanaryAnswer::KeyNotFound);
    }
    if says(SOFT_DELETED) {
        return Ok(CanaryAnswer::SoftDeleted);
    }
    if DOES_NOT_FIT.iter().any(|text| says(text)) {
        return Ok(CanaryAnswer::DoesNotFit);
    }
    match error {
        VaultError::PermissionDenied { line, .. } => Ok(CanaryAnswer::NoRight { line }),
        error if error.is_transient() => Err(error),
        error => Ok(CanaryAnswer::Otherwise { problem: error.to_string() }),
    }
}

/// The associated data, encoded for requests and the policy.
pub(super) fn associated_data() -> String {
    STANDARD.encode(ASSOCIATED_DATA)
}

/// The plaintext, encoded for requests and the policy.
pub(super) fn plaintext() -> String {
    STANDARD.encode(PLAINTEXT)
}

#[derive(Serialize)]
struct Seal {
    plaintext: String,
    associated_data: String,
}

#[derive(Deserialize)]
struct Sealed {
    ciphertext: String,
}

#[derive(Serialize)]
struct Open<'a> {
    ciphertext: &'a str,
    associated_data: String,
}

#[derive(Deserialize)]
struct Opened {
    plaintext: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> CanaryAnswer {
        let (path, messages) = ("transit/decrypt/a".to_owned(), vec![message.to_owned()]);
        judged(VaultError::Invalid { path, status, messages }).expect("an answer")
    }

    #[test]
    fn only_vaults_own_words_say_that_there_is_no_key() {
        assert_eq!(refused(400, KEY_NOT_FOUND), CanaryAnswer::KeyNotFound);
        for (status, message) in [
            (405, KEY_NOT_FOUND),
            (400, "an encryption key not found here"),
            (400, "encryption key not found: ask somebody else"),
            (400, "no such key"),
        ] {
            let answer = refused(status, message);
            assert!(matches!(answer, CanaryAnswer::Otherwise { .. }), "{status} {message}: {answer:?}");
        }
        let nothing = VaultError::NotFound { path: "transit/decrypt/a".into() };
        assert!(matches!(judged(nothing), Ok(CanaryAnswer::Otherwise { .. })), "there is no such mount");
        let two = vec![KEY_NOT_FOUND.to_owned(), "something else".to_owned()];
        let two = VaultError::Invalid { path: String::new(), status: 400, messages: two };
        assert!(matches!(judged(two), Ok(CanaryAnswer::Otherwise { .. })));
    }

    #[test]
    fn a_vault_that_fails_says_nothing_about_the_key() {
        for error in [
            VaultError::Sealed,
            VaultError::TokenRejected,
            VaultError::Unreachable { reason: "gone".into() },
            VaultError::Fault { path: String::new(), status: 500, messages: vec![KEY_NOT_FOUND.into()] },
        ] {
            assert!(judged(error.clone()).is_err(), "{error}");
        }
    }
}
