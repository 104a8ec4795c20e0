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

/// Who logs in.
#[derive(Clone, Debug)]
pub enum LoginAs {
    /// A pod, with the ServiceAccount token in this file. The file is read for each login: the kubelet replaces it.
    ServiceAccount(PathBuf),
    /// A person, with a token of Vault.
    Token(SecretString),
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The settings name something that cannot be part of a request.
    #[error("sealing.yaml: {0}")]
    Name(#[from] InvalidName),
    /// Vault refuses, or is not there.
    #[error("{}; {}", .0, next_step(.0))]
    Vault(#[from] VaultError),
}

/// What who seals or opens does next: an error of Vault speaks to who runs the operator.
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

/// Logs in where `sealing` says; enough for a command that ends before the login does.
///
/// # Errors
/// When the settings are wrong, the token cannot be read, or Vault refuses it.
pub async fn connect(sealing: &Sealing, identity: &LoginAs) -> Result<SealingKeys, SessionError> {
    let (keys, session) = open(sealing, identity)?;
    session.login().await?;
    Ok(keys)
}

/// The keys, and the session that logs in and stays logged in while it [runs](Session::run).
///
/// # Errors
/// When the settings are wrong.
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
