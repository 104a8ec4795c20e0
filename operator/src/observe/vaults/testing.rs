//! A Vault for tests: whatever answers at an address.

use subrosa_records::{
    aliases::AliasLocks,
    vault::{MountPath, Vault, VaultAddress, VaultConfig, auth::SessionState},
};
use tokio_util::sync::CancellationToken;

use super::{Connected, DomainVault};

/// The Vault at `address`, as one is logged in there.
pub fn vault_at(address: &str) -> DomainVault {
    let address = VaultAddress::parse(address, true).unwrap();
    let vault = Vault::new(VaultConfig::new(address)).unwrap();
    vault.set_token(&"t".to_owned().into()).unwrap();
    let mount = |text: &str| MountPath::new(text).unwrap();
    DomainVault::new(Connected {
        transit: mount("transit"),
        authorities: mount("transit-ca"),
        kv: mount("subrosa"),
        auth: mount("kubernetes"),
        alias_locks: AliasLocks::default(),
        session: tokio::sync::watch::channel(SessionState::LoggedIn).1,
        stop: CancellationToken::new(),
        vault,
    })
}
