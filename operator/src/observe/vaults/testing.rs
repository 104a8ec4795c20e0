//! A Vault for tests: whatever answers at an address.

use std::sync::Mutex;

use subrosa_records::{
    aliases::AliasLocks,
    channels::ChannelRecords,
    store::Store,
    vault::{MountPath, Vault, VaultAddress, VaultConfig, auth::SessionState, kv::Kv, transit::Transit},
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::DomainVault;

/// The Vault at `address`, as one is logged in there.
pub fn vault_at(address: &str) -> DomainVault {
    let address = VaultAddress::parse(address, true).unwrap();
    let vault = Vault::new(VaultConfig::new(address)).unwrap();
    vault.set_token(&"t".to_owned().into()).unwrap();
    let mount = |text: &str| MountPath::new(text).unwrap();
    let kv = Kv::new(vault.clone(), mount("subrosa"));
    DomainVault {
        transit: Transit::new(vault.clone(), mount("transit")),
        channel_records: ChannelRecords::new(kv.clone()),
        key_records: Store::new(kv.clone()),
        key_findings: Store::new(kv.clone()),
        key_watch: Default::default(),
        stores: Store::new(kv.clone()),
        store: tokio::sync::Mutex::default(),
        kv,
        vault,
        auth_mount: mount("kubernetes"),
        aliases: OnceCell::new(),
        alias_locks: AliasLocks::default(),
        keys: Mutex::default(),
        granted: Mutex::default(),
        unsigned: Mutex::default(),
        settled: Mutex::default(),
        lost: Mutex::default(),
        session: tokio::sync::watch::channel(SessionState::LoggedIn).1,
        stop: CancellationToken::new(),
    }
}
