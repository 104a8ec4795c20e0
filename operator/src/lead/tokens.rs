//! The Vault tokens of this epoch, recorded so that the next epoch can revoke them.
//!
//! An annotation of the Lease has the accessors of the tokens, with which a token can be revoked but not used. An
//! accessor is recorded **before** its token is used, so no token in use is missing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::{Notify, watch};

use subrosa_records::vault::auth::TokenRegister;

/// How many of this epoch's tokens of a domain are kept: the current one and, after another login, those that a
/// request in progress may still use.
const OWN: usize = 3;
/// How long writing the Lease may take before a login fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// Accessors by trust domain.
type ByDomain = BTreeMap<String, Vec<String>>;

/// The token accessors of this epoch and of earlier ones.
pub struct TokenAccessors {
    listed: Mutex<Listed>,
    /// Triggers a write of the Lease.
    pub(super) changed: Notify,
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Listed {
    /// Counts the changes.
    edition: u64,
    inherited: ByDomain,
    own: ByDomain,
}

impl Default for TokenAccessors {
    fn default() -> Self {
        Self { listed: Mutex::default(), changed: Notify::new(), written: watch::Sender::new(0) }
    }
}

impl TokenAccessors {
    /// The register for one trust domain.
    pub fn of(self: &Arc<Self>, domain: &str) -> Arc<dyn TokenRegister> {
        Arc::new(DomainTokens { tokens: Arc::clone(self), domain: domain.to_owned() })
    }

    /// Takes over the accessors of earlier epochs from the Lease.
    pub(super) fn inherit(&self, text: &str) {
        self.listed().inherited = parse(text);
    }

    /// The content for the Lease, and its edition.
    pub(super) fn text(&self) -> (u64, String) {
        let listed = self.listed();
        let entries = listed.inherited.iter().chain(&listed.own);
        let entries = entries.flat_map(|(domain, all)| all.iter().map(move |one| format!("{domain}={one}")));
        (listed.edition, entries.collect::<Vec<_>>().join(","))
    }

    /// Notes that this edition is in the Lease.
    pub(super) fn written(&self, edition: u64) {
        self.written.send_if_modified(|last| edition > std::mem::replace(last, edition.max(*last)));
    }

    /// Drops a deleted trust domain.
    pub fn forget(&self, domain: &str) {
        let mut listed = self.listed();
        listed.inherited.remove(domain);
        listed.own.remove(domain);
        listed.edition += 1;
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn note(&self, domain: &str, accessor: &str) -> Result<Vec<String>, String> {
        if !is_plain(accessor) {
            return Err("Vault named the token's accessor in a way that cannot be written down".into());
        }
        let (edition, inherited) = {
            let mut listed = self.listed();
            let own = listed.own.entry(domain.to_owned()).or_default();
            own.push(accessor.to_owned());
            let surplus = own.len().saturating_sub(OWN);
            own.drain(..surplus);
            listed.edition += 1;
            (listed.edition, listed.inherited.get(domain).cloned().unwrap_or_default())
        };
        self.changed.notify_one();
        let mut written = self.written.subscribe();
        match tokio::time::timeout(PATIENCE, written.wait_for(|last| *last >= edition)).await {
            Ok(Ok(_)) => Ok(inherited),
            Ok(Err(_)) | Err(_) => Err(format!(
                "the Lease {} could not be written, where the token's accessor has to stand first",
                crate::grants::LEASE
            )),
        }
    }

    fn strike(&self, domain: &str, accessor: &str) {
        let mut listed = self.listed();
        let Listed { inherited, own, .. } = &mut *listed;
        for accessors in [inherited, own] {
            if let Some(all) = accessors.get_mut(domain) {
                all.retain(|one| one != accessor);
            }
            accessors.retain(|_, all| !all.is_empty());
        }
        listed.edition += 1;
    }
}

struct DomainTokens {
    tokens: Arc<TokenAccessors>,
    domain: String,
}

impl TokenRegister for DomainTokens {
    fn note<'a>(&'a self, accessor: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>> {
        self.tokens.note(&self.domain, accessor).boxed()
    }

    fn strike(&self, accessor: &str) {
        self.tokens.strike(&self.domain, accessor);
    }
}

/// Skips entries that this operator cannot have written.
fn parse(text: &str) -> ByDomain {
    let mut found = ByDomain::new();
    for entry in text.split(',').filter(|entry| !entry.is_empty()) {
        match entry.split_once('=') {
            Some((domain, accessor)) if is_plain(domain) && is_plain(accessor) => {
                found.entry(domain.to_owned()).or_default().push(accessor.to_owned());
            }
            _ => {
                tracing::warn!("an entry of the Lease's Vault accessors is not <domain>=<accessor>: ignored")
            }
        }
    }
    found
}

fn is_plain(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=253).contains(&text.len()) && text.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the Lease whenever asked.
    fn with_a_lease() -> Arc<TokenAccessors> {
        let tokens = Arc::new(TokenAccessors::default());
        let lease = Arc::clone(&tokens);
        tokio::spawn(async move {
            loop {
                lease.changed.notified().await;
                let (edition, _) = lease.text();
                lease.written(edition);
            }
        });
        tokens
    }

    #[tokio::test]
    async fn what_was_left_is_revoked_by_the_next_epoch_and_then_struck_out() {
        let tokens = with_a_lease();
        tokens.inherit("amstel=a1,rhine=r1,amstel=a2,nonsense,=,x=y z");
        let (amstel, rhine) = (tokens.of("amstel"), tokens.of("rhine"));
        assert_eq!(amstel.note("a3").await.unwrap(), ["a1", "a2"]);
        assert_eq!(tokens.text().1, "amstel=a1,amstel=a2,rhine=r1,amstel=a3");
        amstel.strike("a1");
        amstel.strike("a2");
        assert_eq!(amstel.note("a4").await.unwrap(), Vec::<String>::new());
        assert_eq!(rhine.note("r2").await.unwrap(), ["r1"]);
        assert_eq!(tokens.text().1, "rhine=r1,amstel=a3,amstel=a4,rhine=r2");
        tokens.forget("amstel");
        assert_eq!(tokens.text().1, "rhine=r1,rhine=r2");
    }

    #[tokio::test]
    async fn the_book_does_not_grow_with_logins() {
        let tokens = with_a_lease();
        for login in 0..20 {
            tokens.of("amstel").note(&format!("a{login}")).await.unwrap();
        }
        assert_eq!(tokens.text().1, "amstel=a17,amstel=a18,amstel=a19");
    }

    #[tokio::test]
    async fn a_token_is_of_no_use_before_its_accessor_stands_in_the_lease() {
        let tokens = Arc::new(TokenAccessors::default());
        let listed = tokens.of("amstel");
        let soon = tokio::time::timeout(Duration::from_millis(100), listed.note("a1")).await;
        assert!(soon.is_err(), "nobody has written the Lease");
        assert!(listed.note("a 1").await.is_err());
    }
}
