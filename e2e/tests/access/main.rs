//! Who may open what: people with tokens of an identity provider, a real OpenBao, the operator and the granter with identities of
//! their own. The provider is a key of this test: its tokens have the claims that a real one would give. `keycloak` is a real one.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.
#![allow(clippy::print_stdout, reason = "what was measured")]

mod accounts;
mod actions;
mod attempts;
mod authors;
mod break_glass;
mod cost;
mod crash;
mod factors;
mod forged;
mod grants;
mod hurried;
mod keycloak;
mod kubernetes;
mod lasting;
mod leavers;
mod operations;
mod provider;
mod refused;
mod replayed;
mod reviews;
mod scale;
mod thread;
mod told;
mod undeclared;
mod unlogged;
mod uses;
mod world;

use world::World;

// The parts of a test stand in this order, since a slot that became free rests for ten minutes: each part finds the roles of those
// before it. Two tests, for they run at the same time.

#[tokio::test(flavor = "multi_thread")]
async fn people_open_what_an_access_role_names() {
    let mut world = World::start().await;
    thread::who_is_in_the_group_opens_after_the_right_login_and_nobody_else(&world).await;
    lasting::nothing_outlives_its_reason_whatever_else_is_renewed(&world).await;
    replayed::an_old_token_of_the_provider_ends_with_its_time(&world).await;
    kubernetes::groups_get_the_named_channels_and_nothing_else(&world).await;
    operations::a_role_can_do_what_it_says_and_nothing_else(&world).await;
    actions::each_action_gives_what_it_says_and_nothing_else(&world).await;
    kubernetes::what_somebody_changes_is_put_right(&world).await;
    kubernetes::a_role_that_an_older_one_excludes_gives_nothing(&world).await;
    reviews::an_overdue_role_gives_nothing_until_it_is_reviewed(&world).await;
    factors::a_level_of_authentication_is_asked_for_in_its_exact_spelling(&world).await;
    factors::a_login_without_a_second_factor_gives_until_its_last_day(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_ends() {
    let mut world = World::start_by_the_clock().await;
    thread::who_is_in_the_group_opens_after_the_right_login_and_nobody_else(&world).await;
    leavers::who_leaves_opens_nothing_from_the_next_request_on(&world).await;
    hurried::a_revocation_waits_for_no_role(&world).await;
    hurried::revocations_are_done_while_a_tenth_of_everything_fails(&world).await;
    hurried::many_leavers_are_swept_with_few_requests(&world, 40).await;
    break_glass::it_opens_while_nothing_else_runs_and_is_told_until_it_is_reviewed(&mut world).await;
    grants::one_person_opens_it_until_vault_ends_it(&mut world).await;
    told::what_is_not_given_is_told_with_the_next_step(&world).await;
    attempts::neither_writer_can_do_the_other_ones_part_nor_more(&world).await;
    crash::a_crash_after_any_write_of_the_granter_hurts_nothing(&mut world).await;
    thread::what_a_role_no_longer_says_ends(&mut world).await;
    undeclared::what_a_login_gave_ends_with_the_login(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn service_accounts_open_what_an_access_role_names() {
    let mut world = accounts::world().await;
    accounts::a_service_account_opens_what_its_role_names(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_more_by_an_access_role_than_they_may() {
    let mut world = authors::world().await;
    authors::an_author_whom_nobody_checks_is_told(&world).await;
    authors::a_role_that_nobody_may_give_gives_nothing(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vault_refuses_of_one_holds_up_no_other() {
    let mut world = World::start_by_the_clock().await;
    refused::a_grant_ends_whatever_vault_refuses_of_others(&mut world).await;
    forged::a_forged_record_opens_nothing_that_nobody_approved(&world).await;
    uses::what_was_opened_is_counted_from_the_audit_log(&world).await;
    unlogged::without_the_audit_log_it_opens_only_by_an_exception(&world).await;
    leavers::who_else_is_hit_is_told_before_it_is_done(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn a_thousand_leavers_cost_little() {
    let world = World::start().await;
    hurried::many_leavers_are_swept_with_few_requests(&world, 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn what_an_opening_costs_by_the_number_of_slots() {
    cost::of_an_opening().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn a_thousand_roles_are_ready_as_fast_as_they_are_written() {
    scale::a_thousand_roles().await;
}
