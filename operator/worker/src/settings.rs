//! Reads the settings for sealing from the mounted ConfigMap `CHANNEL-sealing`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use subrosa_crds::sealing::Sealing;

use crate::{session::LoginAs, shown};

/// The default path of the settings.
pub const CONFIG: &str = "/etc/subrosa/sealing.yaml";
/// The default path of the ServiceAccount token for Vault.
pub const TOKEN_FILE: &str = "/var/run/secrets/subrosa/token";
/// The environment variable for another path of the settings.
pub const CONFIG_VARIABLE: &str = "SUBROSA_SEALING";
/// The environment variable for another path of the token.
pub const TOKEN_VARIABLE: &str = "SUBROSA_TOKEN_FILE";

/// The environment variable for the auth mount of ServiceAccounts that AccessRoles name.
pub const ACCESS_MOUNT_VARIABLE: &str = "SUBROSA_ACCESS_MOUNT";

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error(
        "{} cannot be read: {source}; mount ConfigMap CHANNEL-sealing there, or name another file",
        shown(path)
    )]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its content is invalid.
    #[error("{}: {problem}", shown(path))]
    Malformed {
        /// Which.
        path: PathBuf,
        /// The problem and its position.
        problem: String,
    },
}

/// Reads the settings.
///
/// # Errors
/// When the file cannot be read or is invalid.
pub fn load(path: &Path) -> Result<Sealing, SettingsError> {
    let text = fs::read_to_string(path)
        .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
    serde_saphyr::from_str(&text).map_err(|error| SettingsError::Malformed {
        path: path.to_owned(),
        // The other lines draw the position.
        problem: error.to_string().lines().next().unwrap_or_default().to_owned(),
    })
}

/// A person's token from the environment variables that other Vault tools use; else the ServiceAccount's.
pub fn identity(token_file: &Path) -> LoginAs {
    let token = ["VAULT_TOKEN", "BAO_TOKEN"].into_iter().find_map(|name| env::var(name).ok());
    match token.filter(|token| !token.is_empty()) {
        Some(token) => LoginAs::Token(SecretString::from(token)),
        None => LoginAs::ServiceAccount(token_file.to_owned()),
    }
}

/// The path in an environment variable, or the default.
pub fn path(variable: &str, otherwise: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| PathBuf::from(otherwise), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
channel: {namespace: cc-front, name: voice}
id: abcdefghijklmnop
vault: {address: 'https://openbao.security.svc:8200', transit: transit, auth: kubernetes, role: subrosa-workload, audience: vault}
timeZone: Europe/Amsterdam
classes:
- {name: call-recording, cohort: Week, anchor: CreatedAt, keep: 90d}
";

    fn loaded(text: &str) -> Result<Sealing, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        load(file.path())
            .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
    }

    #[test]
    fn settings_are_read() {
        let sealing = loaded(TEXT).unwrap();
        assert_eq!(sealing.class("call-recording").map(|class| class.keep.as_str()), Some("90d"));
    }

    #[test]
    fn what_is_wrong_is_named_on_one_line() {
        for (from, to, named) in [
            ("keep: 90d", "kept: 90d", "`keep`"),
            ("abcdefghijklmnop", "short", "short"),
            ("Week", "Fortnight", "Fortnight"),
        ] {
            let error = loaded(&TEXT.replace(from, to)).unwrap_err();
            assert!(error.starts_with("FILE: ") && error.contains(named) && !error.contains('\n'), "{error}");
        }
    }
}
