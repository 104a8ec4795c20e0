//! Real users and the operator's own token try what they may and may not, on a real API server.
//!
//! The cluster is installed from `deploy/` as a reader of the README would do it.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed helper fails its test")]
#![allow(clippy::print_stderr, reason = "how much was tried")]

mod adoption;
mod author;
mod backup;
mod deletion;
mod destroyer;
mod destruction;
mod escalation;
mod grant;
mod granter;
mod guarded;
mod membership;
mod operator;
mod people;
mod request;
mod revocation;
mod rights;
mod workload;
mod world;

use anyhow::{Result, ensure};
use world::{DESTROYER, GRANTER, OPERATOR, World};

/// One cluster for all: what a part leaves behind is in namespaces of its own.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_do_what_was_granted_and_nothing_else() -> Result<()> {
    let world = World::start().await?;
    rights::are_exactly_the_table(&world).await?;
    guarded::sees_every_edit(&world).await?;
    people::hold_what_their_roles_say(&world).await?;
    destruction::is_approved_by_people_in_their_own_names(&world).await?;
    destruction::is_listed_by_the_operator_and_told_by_the_destroyer(&world).await?;
    destruction::is_held_until_the_release_is_approved(&world).await?;
    adoption::is_asked_for_in_ones_own_name_and_approved_by_others(&world).await?;
    destroyer::keeps_its_memory_to_itself(&world).await?;
    destroyer::cannot_escalate(&world).await?;
    granter::writes_status_and_the_office_writes_roles(&world).await?;
    granter::cannot_escalate(&world).await?;
    granter::binds_groups_to_named_channels_only(&world).await?;
    author::gives_no_more_than_they_may(&world).await?;
    grant::is_asked_for_in_ones_own_name_and_approved_by_others(&world).await?;
    revocation::stands_until_its_release_is_approved(&world).await?;
    membership::is_decided_by_who_governs(&world).await?;
    operator::binds_itself_where_it_governs(&world).await?;
    operator::writes_its_own_objects_only(&world).await?;
    workload::are_restarted_and_nothing_else(&world).await?;
    backup::workers_have_one_form(&world).await?;
    escalation::cannot_escalate(&world).await?;
    deletion::has_to_be_confirmed(&world).await?;
    deletion::goes_with_a_confirmed_namespace(&world).await?;
    deletion::is_asked_of_the_garbage_collector(&world).await?;
    for who in [OPERATOR, GRANTER, DESTROYER] {
        let refused = world.refusals(who);
        eprintln!("{who}: {refused} different requests refused");
        ensure!(refused >= 40, "{who}: only {refused} different requests refused");
    }
    rights::cover_what_was_done(&world)
}
