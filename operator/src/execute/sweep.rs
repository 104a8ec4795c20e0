//! The sweep: withdraws access of deleted Channels, found by the records of a trust domain.

use std::collections::BTreeSet;

use subrosa_crds::{Channel, names::ChannelId, trust_domain::Orphans};
use subrosa_plan::{access::orphans, status::trust_domain::Swept, world::fault::Fault};
use subrosa_records::vault::VaultError;

use super::withdraw::{self, Held, Orphan};
use crate::{
    context::Context,
    observe::{DomainVault, vaults},
    subject::Subject,
};

/// Withdraws access from records without a Channel in `domain`. Keys stay. A failure does not stop the others: the
/// result comes with the first fault.
pub async fn orphans(ctx: &Context, domain: &str, vault: &DomainVault) -> (Swept, Result<(), Fault>) {
    let (asked, moves) = (ctx.sweeps.asked(), ctx.cluster.read(|world| world.moves));
    let last = ctx.sweeps.last(domain);
    let came_back = |orphans: &Orphans| {
        let known = ctx.cluster.read(|world| orphans::known(domain, world));
        orphans.first.iter().any(|one| known.iter().any(|id| one.starts_with(id.as_str())))
    };
    if !ctx.sweeps.due(domain, moves) && !last.orphans.as_ref().is_some_and(came_back) {
        return (last, Ok(()));
    }
    let recorded = match vault.channel_records.list().await {
        Ok(recorded) => recorded,
        Err(error) => return (last, Err(vaults::fault(&error))),
    };
    let mut search =
        Search { ctx, domain, vault, swept: Swept::default(), outcome: Ok(()), by_effect: BTreeSet::new() };
    search.recorded(&recorded).await;
    let searches_aliases = ctx.sweeps.aliases_due(domain);
    if searches_aliases {
        search.unrecorded(&recorded).await;
    }
    search.by_effect().await;
    let Search { mut swept, outcome, .. } = search;
    if searches_aliases && outcome.is_ok() && swept.setup.is_none() {
        ctx.sweeps.aliases_done(domain);
    }
    match &outcome {
        Ok(()) => ctx.sweeps.done(domain, (asked, moves), swept.clone()),
        // An incomplete search keeps the result of the last complete one.
        Err(_) => {
            swept.orphans = swept.orphans.or(last.orphans);
            swept.setup = swept.setup.or(last.setup);
        }
    }
    (swept, outcome)
}

/// One search for access that belongs to no Channel.
struct Search<'a> {
    ctx: &'a Context,
    domain: &'a str,
    vault: &'a DomainVault,
    /// The result.
    swept: Swept,
    /// The first fault.
    outcome: Result<(), Fault>,
    /// Identities without a readable record, whose access must be found in Vault itself.
    by_effect: BTreeSet<ChannelId>,
}

impl Search<'_> {
    /// Keeps the first fault and continues.
    fn keep(&mut self, became: Result<(), Fault>) {
        if let (Ok(()), Err(fault)) = (&self.outcome, became) {
            self.outcome = Err(fault);
        }
    }

    /// Withdraws the recorded access of deleted Channels.
    async fn recorded(&mut self, recorded: &[ChannelId]) {
        let Self { ctx, domain, vault, .. } = *self;
        let (candidates, known): (Vec<_>, _) = ctx.cluster.read(|world| {
            let candidates = orphans::candidates(domain, recorded, world).into_iter().cloned().collect();
            (candidates, orphans::known(domain, world))
        });
        for id in &candidates {
            let id = id.clone();
            if let Some(name) = vault.settled(&id)
                && ctx.cluster.secrets.of(&name).is_empty()
            {
                let adopter =
                    ctx.cluster.read(|world| world.earlier.get(domain)?.adopter(&name, &id).cloned());
                if adopter.is_none_or(|by| !known.contains(&by)) {
                    self.swept.add(&id, &name.to_string());
                }
                continue;
            }
            let Some(_working) = ctx.under_way.begin(&id) else {
                self.keep(Err(withdraw::under_way()));
                continue;
            };
            match withdraw::if_orphan(ctx, domain, vault, &id).await {
                Ok(None) => {}
                Ok(Some(found)) => {
                    if found.adopted_by.as_ref().is_none_or(|by| !known.contains(by)) {
                        self.swept.add(&id, &found.name.to_string());
                    }
                    self.note(&id, &found);
                }
                Err(Held::Unreadable(problem)) => {
                    self.swept.unreadable.insert(id.clone(), problem);
                    self.by_effect.insert(id.clone());
                }
                Err(Held::OfThis(fault)) => self.keep(Err(fault)),
                Err(Held::Failed(fault)) => {
                    self.outcome = Err(fault);
                    return;
                }
            }
        }
        if self.outcome.is_ok() {
            self.searched(&candidates);
        }
    }

    /// Notes an orphan with keys, and wakes the Channel of its name to report it.
    fn note(&self, id: &ChannelId, found: &Orphan) {
        if !found.left_keys {
            return;
        }
        let is_new = self.ctx.cluster.write(|world| {
            let earlier = world.earlier.entry(self.domain.to_owned()).or_default();
            earlier.note(&found.name, id, found.adopted_by.as_ref()) && world.channel(&found.name).is_some()
        });
        if is_new {
            self.ctx.wake(Subject::of::<Channel>(found.name.clone()));
        }
    }

    /// Ends a complete search of all records.
    fn searched(&self, gone: &[ChannelId]) {
        let woken = self.ctx.cluster.write(|world| {
            let earlier = world.earlier.entry(self.domain.to_owned()).or_default();
            let changed = earlier.searched(&gone.iter().collect());
            changed.into_iter().filter(|name| world.channel(name).is_some()).collect::<Vec<_>>()
        });
        woken.into_iter().for_each(|name| self.ctx.wake(Subject::of::<Channel>(name)));
    }

    /// Searches for access of Channels that neither exist nor have a record: the record was lost before they were
    /// deleted.
    async fn unrecorded(&mut self, recorded: &[ChannelId]) {
        let named = async { self.vault.aliases().await?.named().await }.await;
        let named = match named {
            Ok(named) => named,
            // The policy of an earlier `vault-setup` lacks this right.
            Err(error @ VaultError::PermissionDenied { .. }) => {
                let what = "access of Channels that are gone and on no record is not searched for";
                self.swept.setup = Some(vaults::outdated(what, &error));
                return;
            }
            Err(error) => return self.keep(Err(vaults::fault(&error))),
        };
        let known = self.ctx.cluster.read(|world| orphans::known(self.domain, world));
        let recorded: BTreeSet<_> = recorded.iter().collect();
        let unrecorded = named.into_iter().filter(|id| !recorded.contains(id) && !known.contains(id));
        self.by_effect.extend(unrecorded);
    }

    /// Withdraws access that no record names: of unreadable records, and of deleted Channels without a record.
    async fn by_effect(&mut self) {
        let Self { ctx, domain, vault, .. } = *self;
        let lost: BTreeSet<_> = ctx.cluster.read(|world| {
            let known = orphans::known(domain, world);
            vault.lost().into_iter().filter(|id| !known.contains(id)).collect()
        });
        self.by_effect.extend(lost.iter().cloned());
        if self.by_effect.is_empty() {
            return;
        }
        let neighbours = ctx.cluster.read(|world| orphans::neighbours(domain, world));
        let mut keep: BTreeSet<_> = neighbours.into_iter().map(Some).collect();
        keep.extend([None, Some(domain.to_owned())]);
        let withdrawn = withdraw::by_effect(ctx, vault, &self.by_effect, &keep).await;
        if withdrawn.is_ok() {
            lost.iter().for_each(|id| vault.find(id));
        }
        self.keep(withdrawn);
    }
}

/// Withdraws the access of every recorded Channel of the TrustDomain `name`, which is being deleted. Keys and
/// policies stay.
///
/// # Errors
/// When some access could not be withdrawn: the first fault, which stopped no other; try again.
pub async fn all_of(ctx: &Context, name: &str, vault: &DomainVault) -> Result<(), Fault> {
    let (mut unreadable, mut done) = (BTreeSet::new(), Ok(()));
    for id in vault.channel_records.list().await.map_err(|error| vaults::fault(&error))? {
        let Some(_working) = ctx.under_way.begin(&id) else {
            done = done.and(Err(withdraw::under_way()));
            continue;
        };
        let withdrawn = match vault.channel_records.get(&id).await {
            Ok(entry) => match &entry.record {
                Some(record) if ctx.cluster.read(|world| orphans::goes_with(name, record, world)) => {
                    withdraw::access(vault, &id).await
                }
                _ => Ok(()),
            },
            Err(error) => Err(error),
        };
        match withdrawn {
            Ok(()) => {}
            Err(error) if error.is_unreadable() => drop(unreadable.insert(id.clone())),
            Err(error) if error.is_of_one_request() => done = done.and(Err(vaults::fault(&error))),
            Err(error) => return Err(vaults::fault(&error)),
        }
    }
    if !unreadable.is_empty() {
        let neighbours = ctx.cluster.read(|world| orphans::neighbours(name, world));
        let keep = neighbours.into_iter().map(Some).collect();
        done = done.and(withdraw::by_effect(ctx, vault, &unreadable, &keep).await);
    }
    done
}
