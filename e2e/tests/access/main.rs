//! Who may open what: people with tokens of an identity provider, a real OpenBao, the operator and the granter with identities of
//! their own. The provider is a key of this test: its tokens have the claims that a real one would give. `keycloak` is a real one.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.
#![allow(clippy::print_stdout, reason = "what was measured")]

mod attempts;
mod break_glass;
mod crash;
mod factors;
mod grants;
mod keycloak;
mod kubernetes;
mod lasting;
mod leavers;
mod operations;
mod provider;
mod replayed;
mod reviews;
mod scale;
mod thread;
mod told;
mod undeclared;
mod world;

use world::World;

/// In this order, since a slot that became free rests for ten minutes: each part finds the roles of those before it.
#[tokio::test(flavor = "multi_thread")]
async fn people_open_what_an_access_role_names() {
    let mut world = World::start().await;
    thread::who_is_in_the_group_opens_after_the_right_login_and_nobody_else(&world).await;
    lasting::nothing_outlives_its_reason_whatever_else_is_renewed(&world).await;
    replayed::an_old_token_of_the_provider_ends_with_its_time(&world).await;
    kubernetes::groups_get_the_named_channels_and_nothing_else(&world).await;
    operations::a_role_can_do_what_it_says_and_nothing_else(&world).await;
    kubernetes::what_somebody_changes_is_put_right(&world).await;
    kubernetes::a_role_that_an_older_one_excludes_gives_nothing(&world).await;
    reviews::an_overdue_role_gives_nothing_until_it_is_reviewed(&world).await;
    factors::a_level_of_authentication_is_asked_for_in_its_exact_spelling(&world).await;
    factors::a_login_without_a_second_factor_gives_until_its_last_day(&mut world).await;
    leavers::who_leaves_opens_nothing_from_the_next_request_on(&world).await;
    leavers::a_revocation_waits_for_no_role(&world).await;
    break_glass::it_opens_while_nothing_else_runs_and_is_told_until_it_is_reviewed(&mut world).await;
    grants::one_person_opens_it_until_vault_ends_it(&mut world).await;
    told::what_is_not_given_is_told_with_the_next_step(&world).await;
    attempts::neither_writer_can_do_the_other_ones_part_nor_more(&world).await;
    crash::a_crash_after_any_write_of_the_granter_hurts_nothing(&mut world).await;
    thread::what_a_role_no_longer_says_ends(&mut world).await;
    undeclared::what_a_login_gave_ends_with_the_login(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn a_thousand_roles_are_ready_as_fast_as_they_are_written() {
    scale::a_thousand_roles().await;
}
