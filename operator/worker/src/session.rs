//! A login to Vault, for one command.

use std::{path::PathBuf, sync::Arc};

use secrecy::SecretString;
use subrosa_crds::sealing::Sealing;
use subrosa_records::vault::{
    MountPath, RoleName, Vault, VaultAddress, VaultConfig, VaultError,
    auth::{JwtSource, Login, Session},
    name::InvalidName,
    sealing::SealingKeys,
};

/// Who logs in.
#[derive(Clone, Debug)]
pub enum Identity {
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
    #[error("{}; {}", .0, .0.next_step())]
    Vault(#[from] VaultError),
}

/// Logs in where `sealing` says; enough for a command that ends before the login does.
///
/// # Errors
/// When the settings are wrong, the token cannot be read, or Vault refuses it.
pub async fn connect(sealing: &Sealing, identity: &Identity) -> Result<SealingKeys, SessionError> {
    let (keys, session) = open(sealing, identity)?;
    session.login().await?;
    Ok(keys)
}

/// The keys, and the session that logs in and stays logged in while it [runs](Session::run).
///
/// # Errors
/// When the settings are wrong.
pub fn open(sealing: &Sealing, identity: &Identity) -> Result<(SealingKeys, Session), SessionError> {
    let settings = &sealing.vault;
    let transit: MountPath = settings.transit.parse()?;
    let (mount, role): (MountPath, RoleName) = (settings.auth.parse()?, settings.role.parse()?);
    let address = VaultAddress::parse(&settings.address, settings.allow_insecure)?;
    let mut config = VaultConfig::new(address);
    config.ca_bundle.clone_from(&settings.ca_bundle);
    let vault = Vault::new(config)?;
    let login = match identity {
        Identity::ServiceAccount(path) => Login::Kubernetes { mount, role, jwt: token_file(path.clone()) },
        Identity::Token(token) => Login::Token(token.clone()),
    };
    Ok((SealingKeys::new(vault.clone(), transit), Session::new(vault, login)))
}

fn token_file(path: PathBuf) -> Arc<dyn JwtSource> {
    Arc::new(move || {
        let path = path.clone();
        async move {
            let read = tokio::fs::read_to_string(&path).await;
            read.map(|text| SecretString::from(text.trim())).map_err(|error| {
                format!("{} cannot be read: {error}; mount a ServiceAccount token there", path.display())
            })
        }
    })
}
