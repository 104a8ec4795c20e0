//! `age-plugin-subrosa`, with which age and rage seal and open Subrosa's files. It is `subrosa` called by another
//! name.
//!
//! A recipient contains the path of `sealing.yaml` and a class, an identity only the path. Neither is secret: Vault
//! decides by the login who may open.
//! open is decided in Vault, by the login.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
};

use age_core::{
    format::{FileKey, Stanza},
    primitives::bech32_encode,
};
use age_plugin::{Callbacks, PluginHandler, identity, recipient, run_state_machine};
use bech32::Hrp;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, SecretBox};
use subrosa_crds::names::DataKeyName;
use subrosa_records::vault::{TransitKeyName, sealing::SealingKeys};
use tokio::runtime::Runtime;

use crate::{
    age::header::file_key,
    cohort,
    item::ItemId,
    seal::{self, Doing},
    session, settings,
    stanza::SealedKey,
};

/// The program that age and rage search on the `PATH`.
pub const PROGRAM: &str = "age-plugin-subrosa";
/// The plugin's name, which is part of its program's name, of recipients and of identities.
const NAME: &str = "subrosa";
/// Separates path and class in a recipient.
const BETWEEN: char = '\n';

/// Runs the plugin protocol with age or rage; `machine` is the requested state machine.
///
/// # Errors
/// When the connection ends, or the request is not one for plugins.
pub fn run(machine: &str) -> io::Result<()> {
    run_state_machine(machine, Plugin)
}

/// A recipient for a data class of the Channel with settings `config`.
///
/// # Errors
/// When the path is not valid text.
pub fn recipient_text(config: &Path, class: &str) -> io::Result<String> {
    encoded("age1subrosa", &format!("{}{BETWEEN}{class}", text_of(config)?))
}

/// An identity that opens what the Channel with these settings may open.
///
/// # Errors
/// When the path is not valid text.
pub fn identity_text(config: &Path) -> io::Result<String> {
    Ok(encoded("age-plugin-subrosa-", text_of(config)?)?.to_uppercase())
}

fn text_of(config: &Path) -> io::Result<&str> {
    config.to_str().ok_or_else(|| io::Error::other("the path of the settings is no UTF-8 text"))
}

fn encoded(prefix: &str, text: &str) -> io::Result<String> {
    let prefix = Hrp::parse(prefix).map_err(io::Error::other)?;
    Ok(bech32_encode(prefix, text.as_bytes()))
}

/// Both halves of the plugin.
struct Plugin;

impl PluginHandler for Plugin {
    type RecipientV1 = Recipients;
    type IdentityV1 = Identities;

    fn recipient_v1(self) -> io::Result<Recipients> {
        Ok(Recipients::default())
    }

    fn identity_v1(self) -> io::Result<Identities> {
        Ok(Identities::default())
    }
}

/// Wraps file keys.
#[derive(Default)]
pub struct Recipients {
    recipients: Vec<(PathBuf, String)>,
}

impl recipient::RecipientPluginV1 for Recipients {
    fn add_recipient(&mut self, index: usize, name: &str, bytes: &[u8]) -> Result<(), recipient::Error> {
        let read = || {
            let (path, class) = std::str::from_utf8(bytes).ok()?.split_once(BETWEEN)?;
            (name == NAME && !class.is_empty()).then(|| (PathBuf::from(path), class.to_owned()))
        };
        let message = "it is no recipient of Subrosa: make one with age-plugin-subrosa recipient".to_owned();
        self.recipients.push(read().ok_or(recipient::Error::Recipient { index, message })?);
        Ok(())
    }

    fn add_identity(&mut self, index: usize, _: &str, _: &[u8]) -> Result<(), recipient::Error> {
        let message = "an identity names no class to seal for: give a recipient with -r".to_owned();
        Err(recipient::Error::Identity { index, message })
    }

    /// A unique label, so that age rejects any other recipient beside this one: data that another recipient can open
    /// would not end with the key in Vault.
    fn labels(&mut self) -> HashSet<String> {
        let mut bytes = [0; 16];
        // Without random bytes the label is still ours, only not unique among our recipients.
        let _ = SystemRandom::new().fill(&mut bytes);
        HashSet::from([format!("subrosa-{}", HEXLOWER.encode(&bytes))])
    }

    fn wrap_file_keys(
        &mut self,
        file_keys: Vec<FileKey>,
        _: impl Callbacks<recipient::Error>,
    ) -> io::Result<Result<Vec<Vec<Stanza>>, Vec<recipient::Error>>> {
        let [(config, class)] = self.recipients.as_slice() else {
            let message = "a file has one recipient of Subrosa: the key in Vault".to_owned();
            return Ok(Err(vec![recipient::Error::Internal { message }]));
        };
        let wrapped = runtime()?.block_on(wrap(config, class, &file_keys));
        Ok(wrapped.map_err(|message| vec![recipient::Error::Recipient { index: 0, message }]))
    }
}

async fn wrap(config: &Path, class: &str, file_keys: &[FileKey]) -> Result<Vec<Vec<Stanza>>, String> {
    let sealing = settings::load(config).map_err(text)?;
    let key = cohort::choose(&sealing, class, None, false, Timestamp::now()).map_err(text)?;
    let keys = connected(&sealing).await?;
    let name = transit_name(&key)?;
    let mut stanzas = Vec::new();
    for file_key in file_keys {
        // age does not tell the file's name.
        let item = random_item()?;
        let bytes = SecretBox::new(Box::new(*file_key.expose_secret()));
        let wrapped = keys.wrap(&name, &bytes, &item.associated_data()).await;
        let wrapped = wrapped.map_err(|error| text(seal::refused(error, &key, Doing::Seal)))?;
        stanzas.push(vec![SealedKey { key: key.clone(), item, wrapped }.stanza()]);
    }
    Ok(stanzas)
}

/// Opens wrapped file keys.
#[derive(Default)]
pub struct Identities {
    configs: Vec<PathBuf>,
}

impl identity::IdentityPluginV1 for Identities {
    fn add_identity(&mut self, index: usize, name: &str, bytes: &[u8]) -> Result<(), identity::Error> {
        let path = std::str::from_utf8(bytes).ok().filter(|path| name == NAME && !path.is_empty());
        let message = "it is no identity of Subrosa: make one with age-plugin-subrosa identity".to_owned();
        self.configs.push(path.map(PathBuf::from).ok_or(identity::Error::Identity { index, message })?);
        Ok(())
    }

    fn unwrap_file_keys(
        &mut self,
        files: Vec<Vec<Stanza>>,
        _: impl Callbacks<identity::Error>,
    ) -> io::Result<HashMap<usize, Result<FileKey, Vec<identity::Error>>>> {
        let runtime = runtime()?;
        let mut found = HashMap::new();
        for (file_index, stanzas) in files.iter().enumerate() {
            let mut errors = Vec::new();
            for (stanza_index, stanza) in stanzas.iter().enumerate() {
                let error = |message| identity::Error::Stanza { file_index, stanza_index, message };
                match SealedKey::of_stanza(stanza) {
                    // A stanza of another plugin or of age itself.
                    Ok(None) => {}
                    Err(problem) => errors.push(error(problem.to_string())),
                    Ok(Some(sealed)) => match runtime.block_on(unwrap(&self.configs, &sealed)) {
                        Ok(key) => {
                            found.insert(file_index, Ok(key));
                            break;
                        }
                        Err(problem) => errors.push(error(problem)),
                    },
                }
            }
            if !errors.is_empty() {
                found.entry(file_index).or_insert(Err(errors));
            }
        }
        Ok(found)
    }
}

async fn unwrap(configs: &[PathBuf], sealed: &SealedKey) -> Result<FileKey, String> {
    let mut problem = "no identity of Subrosa was given".to_owned();
    for config in configs {
        let sealing = settings::load(config).map_err(text)?;
        let keys = connected(&sealing).await?;
        let SealedKey { key, item, wrapped } = sealed;
        match keys.unwrap(&transit_name(key)?, wrapped, &item.associated_data()).await {
            Ok(bytes) => {
                return file_key(bytes.expose_secret())
                    .ok_or_else(|| "the file key has another length".into());
            }
            Err(error) => problem = text(seal::refused(error, key, Doing::Open)),
        }
    }
    Err(problem)
}

async fn connected(sealing: &subrosa_crds::sealing::Sealing) -> Result<SealingKeys, String> {
    let token = settings::path(settings::TOKEN_VARIABLE, settings::TOKEN_FILE);
    session::connect(sealing, &settings::identity(&token)).await.map_err(text)
}

fn transit_name(key: &DataKeyName) -> Result<TransitKeyName, String> {
    TransitKeyName::new(key.to_string()).map_err(text)
}

fn random_item() -> Result<ItemId, String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random bytes".to_owned())?;
    HEXLOWER.encode(&bytes).parse().map_err(text)
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use age_core::{plugin, secrecy::SecretString};
    use identity::IdentityPluginV1 as _;

    use super::*;
    use crate::stanza::TAG;

    /// Nobody is asked and nothing is shown.
    struct Silent;

    impl Callbacks<identity::Error> for Silent {
        fn message(&mut self, message: &str) -> plugin::Result<()> {
            panic!("it shows {message}")
        }

        fn confirm(&mut self, message: &str, _: &str, _: Option<&str>) -> plugin::Result<bool> {
            panic!("it asks {message}")
        }

        fn request_public(&mut self, message: &str) -> plugin::Result<String> {
            panic!("it asks {message}")
        }

        fn request_secret(&mut self, message: &str) -> plugin::Result<SecretString> {
            panic!("it asks {message}")
        }

        fn error(&mut self, _: identity::Error) -> plugin::Result<()> {
            panic!("it tells of an error")
        }
    }

    fn stanza(tag: &str, args: &[&str]) -> Stanza {
        let args = args.iter().map(|one| (*one).to_owned()).collect();
        Stanza { tag: tag.to_owned(), args, body: vec![7; 32] }
    }

    /// The number of files of which anything is said, and what is said of each.
    fn said(files: Vec<Vec<Stanza>>) -> HashMap<usize, Vec<String>> {
        let mut identities = Identities::default();
        assert!(identities.add_identity(0, NAME, b"/no/such/sealing.yaml").is_ok());
        let found = identities.unwrap_file_keys(files, Silent).unwrap();
        let told = |errors: Vec<identity::Error>| {
            let message = |error| match error {
                identity::Error::Stanza { file_index, stanza_index, message } => {
                    format!("{file_index}/{stanza_index}: {message}")
                }
                _ => panic!("another error"),
            };
            errors.into_iter().map(message).collect()
        };
        found
            .into_iter()
            .map(|(index, file)| (index, file.map(drop).map_or_else(told, |()| Vec::new())))
            .collect()
    }

    #[test]
    fn not_a_word_is_said_about_what_others_sealed() {
        let foreign = || {
            vec![
                stanza("X25519", &["TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc"]),
                stanza("scrypt", &["bBjlhJVYZeE4aqUdmtRHfw", "18"]),
                stanza("piv-p256", &["ayNjcA", "A0cY"]),
                stanza("Gq7-grease", &["k", "v"]),
                stanza("", &[]),
                // Not even about what is called nearly as ours is.
                stanza("Subrosa", &["x"]),
                stanza("subrosa2", &["x"]),
                stanza("subrosa-grease", &[]),
            ]
        };
        assert!(said(vec![foreign(), Vec::new()]).is_empty());
        // Of ours it says what is wrong, of that alone, and of the file that has it.
        let damaged = foreign().into_iter().chain([stanza(TAG, &["x"])]).collect();
        let found = said(vec![foreign(), damaged]);
        assert_eq!(found.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(found[&1].len(), 1, "{found:?}");
        assert!(found[&1][0].starts_with("1/8: its recipient is damaged"), "{found:?}");
        let ours = stanza(TAG, &["abcdefghijklmnop.call.2026m11", "1", "0001.wav"]);
        let found = said(vec![vec![stanza("X25519", &["k"]), ours]]);
        assert!(found[&0][0].starts_with("0/1: ") && found[&0].len() == 1, "{found:?}");
    }

    #[test]
    fn identities_and_recipients_of_others_are_refused() {
        let mut identities = Identities::default();
        for (name, bytes) in [("yubikey", &b"/a"[..]), (NAME, b""), (NAME, b"\xff")] {
            assert!(identities.add_identity(0, name, bytes).is_err(), "{name}");
        }
        let mut recipients = Recipients::default();
        for (name, bytes) in
            [("yubikey", &b"/a\ncall"[..]), (NAME, b"/a"), (NAME, b"/a\n"), (NAME, b"\xff\ncall")]
        {
            assert!(recipient::RecipientPluginV1::add_recipient(&mut recipients, 0, name, bytes).is_err());
        }
    }
}
