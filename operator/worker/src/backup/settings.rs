//! What a worker is told: the mounted settings, the store's credentials, and the window of a moment.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};
use secrecy::{ExposeSecret as _, SecretString};
use subrosa_crds::{
    backup::{BackupSettings, WINDOW},
    cohort::Cohort,
    names::is_dns_label,
    zone,
};
use subrosa_records::vault::{
    MountPath, RoleName, Vault, VaultAddress, VaultConfig,
    auth::{Login, Session, token_file},
    backup::BackupKeys,
};

use super::problem::{BackupError, BackupProblem};
use crate::{session::LoginAs, shown};

/// The default path of the settings.
pub const BACKUP_CONFIG: &str = "/etc/subrosa/backup.yaml";
/// The default path of the directory with the store's credentials.
pub const CREDENTIALS: &str = "/var/run/secrets/subrosa-backup";
/// The files in it.
pub const ACCESS_KEY_ID: &str = "accessKeyId";
/// The other one.
pub const SECRET_ACCESS_KEY: &str = "secretAccessKey";

/// Who the worker is to the store.
pub struct StoreCredentials {
    /// The name of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: SecretString,
}

/// Reads the settings.
///
/// # Errors
/// When the file cannot be read, or says something that cannot be followed.
pub fn load(path: &Path) -> Result<BackupSettings, BackupError> {
    let invalid = |problem: String| BackupProblem::ConfigInvalid.with(format!("{}: {problem}", shown(path)));
    let text = fs::read_to_string(path).map_err(|error| {
        invalid(format!("it cannot be read: {error}; mount ConfigMap CHANNEL-backup, or name another file"))
    })?;
    let settings = BackupSettings::from_yaml(&text)
        .map_err(|error| invalid(error.to_string().lines().next().unwrap_or_default().to_owned()))?;
    if let Some(odd) = settings.volumes.iter().find(|name| !is_dns_label(name)) {
        return Err(invalid(format!("volumes: {odd:?} is not the name of a claim; expected a DNS label")));
    }
    for source in &settings.databases {
        let odd = source.names.iter().find(|name| !is_plain(name));
        if let Some(odd) = odd.or_else(|| Some(&source.name).filter(|name| !is_dns_label(name))) {
            let what =
                format!("databases: {odd:?} cannot be the name of a file; expected letters, digits, _ and -");
            return Err(invalid(what));
        }
    }
    zone(&settings)?;
    Ok(settings)
}

/// Whether it can be a part of a file's name without meaning more.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Reads the store's credentials from the directory in which the Secret is mounted.
///
/// # Errors
/// When a file is missing, empty or no text.
pub fn credentials(directory: &Path) -> Result<StoreCredentials, BackupError> {
    let read = |name: &str| {
        let path = directory.join(name);
        let missing = |problem: &str| {
            BackupProblem::CredentialsMissing.with(format!(
                "{} {problem}; expected a Secret with {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY} mounted there",
                shown(&path)
            ))
        };
        // What cannot be read is no secret, and its error is of the file system.
        let text = fs::read_to_string(&path).map_err(|error| missing(&format!("cannot be read: {error}")))?;
        let text = SecretString::from(text.trim());
        if text.expose_secret().is_empty() {
            return Err(missing("is empty"));
        }
        Ok(text)
    };
    Ok(StoreCredentials {
        access_key_id: read(ACCESS_KEY_ID)?.expose_secret().to_owned(),
        secret_access_key: read(SECRET_ACCESS_KEY)?,
    })
}

/// The window of `now`, in the time zone of the settings.
///
/// # Errors
/// When the time zone is unknown.
pub fn window(settings: &BackupSettings, now: Timestamp) -> Result<Cohort, BackupError> {
    Ok(Cohort::current(now, &zone(settings)?, WINDOW))
}

pub(super) fn zone(settings: &BackupSettings) -> Result<TimeZone, BackupError> {
    zone::named(&settings.time_zone).map_err(|_| {
        let message =
            format!("timeZone: {:?} is not known; write one such as Europe/Amsterdam", settings.time_zone);
        BackupProblem::ConfigInvalid.with(message)
    })
}

/// The keys in Vault, and a session to log in with, again before each use that may come hours later.
///
/// # Errors
/// When a setting cannot be part of a request.
pub fn connect(settings: &BackupSettings, identity: &LoginAs) -> Result<(BackupKeys, Session), BackupError> {
    let invalid = |problem: String| BackupProblem::ConfigInvalid.with(format!("vault: {problem}"));
    let vault = &settings.vault;
    let transit: MountPath = vault.transit.parse().map_err(|error| invalid(format!("transit: {error}")))?;
    let mount: MountPath = vault.auth.parse().map_err(|error| invalid(format!("auth: {error}")))?;
    let role: RoleName = vault.role.parse().map_err(|error| invalid(format!("role: {error}")))?;
    let address = VaultAddress::parse(&vault.address, vault.allow_insecure)?;
    let mut config = VaultConfig::new(address);
    config.ca_bundle.clone_from(&vault.ca_bundle);
    let client = Vault::new(config)?;
    let login = match identity {
        LoginAs::ServiceAccount(path) => {
            Login::Kubernetes { mount, role, jwt: token_file(PathBuf::from(path)) }
        }
        LoginAs::Token(token) => Login::Token(token.clone()),
    };
    Ok((BackupKeys::new(client.clone(), transit), Session::new(client, login)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_are_missing_are_named_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(ACCESS_KEY_ID), "AK\n").unwrap();
        let error = credentials(directory.path()).err().unwrap();
        assert_eq!(error.problem, BackupProblem::CredentialsMissing);
        assert!(error.message.contains(SECRET_ACCESS_KEY), "{error}");
        fs::write(directory.path().join(SECRET_ACCESS_KEY), " \n").unwrap();
        assert!(credentials(directory.path()).err().unwrap().message.contains("is empty"));
        fs::write(directory.path().join(SECRET_ACCESS_KEY), "a secret\n").unwrap();
        let read = credentials(directory.path()).ok().unwrap();
        assert_eq!((read.access_key_id.as_str(), read.secret_access_key.expose_secret()), ("AK", "a secret"));
    }
}
