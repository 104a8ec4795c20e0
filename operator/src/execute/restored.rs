//! Handles a restore of Vault, which brings back access that was withdrawn after the snapshot.

use subrosa_crds::{Channel, Reason};
use subrosa_destroyer::cluster::Told;

use crate::{
    context::Context,
    observe::{DomainVault, due_keys},
    subject::Subject,
};

/// Repeats every withdrawal of trust domain `domain`, once for each restore that the destroyer reported: clears the
/// cache, and searches for deleted Channels, also among aliases.
pub fn look(ctx: &Context, domain: &str, vault: &DomainVault) {
    let Some(digest) = ctx.cluster.read(|world| due_keys::told(domain, world)).and_then(restored) else {
        return;
    };
    if !vault.was_restored(&digest) {
        return;
    }
    tracing::warn!(domain, "Vault was restored: all access that Channels have is looked at again");
    vault.forget_all();
    ctx.sweeps.restored(domain);
    let channels: Vec<_> = ctx.cluster.read(|world| {
        let namespaces = world.namespaces_of(domain).map(|(namespace, _)| namespace);
        let channels = namespaces.flat_map(|namespace| world.channels_of(namespace));
        channels.map(|channel| channel.name().clone()).collect()
    });
    channels.into_iter().for_each(|name| ctx.wake(Subject::of::<Channel>(name)));
}

/// The digest that identifies the restore and that Approvals repeat.
fn restored(told: Told) -> Option<String> {
    let frozen = told.frozen?;
    (Reason::read(&frozen.reason) == Some(Reason::StoreRestored)).then_some(frozen.digest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_restore_of_vault_asks_for_it() {
        let told = |reason: &str| {
            let frozen =
                json!({"reason": reason, "message": "m", "since": "2026-11-22T12:00:00Z", "digest": "d"});
            restored(serde_json::from_value(json!({"version": 3, "frozen": frozen})).unwrap())
        };
        assert_eq!(told("StoreRestored").as_deref(), Some("d"));
        assert_eq!(told("ClockJumped"), None);
        assert_eq!(told("StateRestored"), None);
        assert_eq!(restored(Told::default()), None);
    }
}
