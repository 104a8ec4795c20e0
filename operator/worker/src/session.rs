//! A login to Vault, for one command.

use std::path::PathBuf;

use secrecy::SecretString;
use subrosa_crds::sealing::Sealing;
use subrosa_records::vault::{
    MountPath, RoleName, Vault, VaultAddress, VaultConfig, VaultError,
    auth::{Login, Session, token_file},
    name::InvalidName,
    sealing::SealingKeys,
};

/// The identity for a login.
#[derive(Clone, Debug)]
pub enum LoginAs {
    /// A pod, with the ServiceAccount token in this file. The file is read for each login, because the kubelet
    /// replaces it.
    ServiceAccount(PathBuf),
    /// A person, with a Vault token.
    Token(SecretString),
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A setting cannot be part of a request.
    #[error("sealing.yaml: {0}")]
    Name(#[from] InvalidName),
    /// Vault refuses, or is unreachable.
    #[error("{}; {}", .0, next_step(.0))]
    Vault(#[from] VaultError),
}

/// The next step for somebody who seals or opens; Vault's own error texts address the operator's administrator.
pub fn next_step(error: &VaultError) -> String {
    let text = match error {
        VaultError::Sealed => "unseal Vault, and try again",
        VaultError::TokenRejected => {
            "log in again: look whether the ServiceAccount's token is mounted and fresh, or set VAULT_TOKEN anew"
        }
        VaultError::LoginRefused { .. } => {
            "look whether the token is of the ServiceAccount that the Channel's workload.serviceAccountName names, in a namespace \
             of the trust domain, and has the audience that sealing.yaml names"
        }
        VaultError::PermissionDenied { .. } => {
            "a workload seals with the keys of its own Channel, and opens where that has encryption.workloadMay: [Seal, Open]"
        }
        VaultError::CasConflict { .. } | VaultError::NotReady { .. } => "try again",
        VaultError::Fault { .. } => "read Vault's own log, and try again",
        other => return other.next_step(),
    };
    text.to_owned()
}

/// Logs in with the settings in `sealing`, for a command that ends before the token expires.
///
/// # Errors
/// When a setting is invalid, the token cannot be read, or Vault refuses it.
pub async fn connect(sealing: &Sealing, identity: &LoginAs) -> Result<SealingKeys, SessionError> {
    let (keys, session) = open(sealing, identity)?;
    session.login().await?;
    Ok(keys)
}

/// The keys, and a session that logs in and keeps the token alive while it [runs](Session::run).
///
/// # Errors
/// When a setting is invalid.
pub fn open(sealing: &Sealing, identity: &LoginAs) -> Result<(SealingKeys, Session), SessionError> {
    let settings = &sealing.vault;
    let transit: MountPath = settings.transit.parse()?;
    let (mount, role): (MountPath, RoleName) = (settings.auth.parse()?, settings.role.parse()?);
    let address = VaultAddress::parse(&settings.address, settings.allow_insecure)?;
    let mut config = VaultConfig::new(address);
    config.ca_bundle.clone_from(&settings.ca_bundle);
    let vault = Vault::new(config)?;
    let login = match identity {
        LoginAs::ServiceAccount(path) => Login::Kubernetes { mount, role, jwt: token_file(path.clone()) },
        LoginAs::Token(token) => Login::Token(token.clone()),
    };
    Ok((SealingKeys::new(vault.clone(), transit), Session::new(vault, login)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_seals_is_not_told_what_the_operator_does() {
        let path = || "transit/encrypt/a".to_owned();
        let refused = VaultError::LoginRefused { mount: "m".into(), role: "r".into(), detail: "d".into() };
        let denied = VaultError::PermissionDenied { method: "POST".into(), path: path(), line: "l".into() };
        let fault = VaultError::Fault { path: path(), status: 500, messages: vec![] };
        for error in [VaultError::TokenRejected, refused, denied, fault, VaultError::Sealed] {
            let told = SessionError::from(error).to_string();
            for of_others in ["operator", "vault-setup", "by itself", "is made again", "policy"] {
                assert!(!told.contains(of_others), "{told}");
            }
        }
    }
}
