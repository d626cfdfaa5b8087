//! The conformance suite of the store ports: what every system of record must do.
//!
//! It owns the cases; the store under test owns how it is made. A store crate writes
//! `testkit::store_suite_tests!(#[tokio::test(flavor = "multi_thread")] make_bench);` where
//! `async fn make_bench() -> Bench` makes an empty store, and gets one test per case. A test that wants
//! them all at once awaits [`run_all`]. A case never sleeps and never looks below the ports.

pub(crate) mod bench;
mod commit_one;
mod dead_letters;
mod detection;
mod exits;
mod following;
mod holds;
mod keys;
mod leases;
mod ledger;
mod people;
mod permits;
mod reports;
mod revisits;
mod settling;
mod signing;
mod tasks;
mod wallets;
pub(crate) mod world;

use std::{future::Future, pin::Pin};

pub use bench::{Bench, CaseResult, Failure, Job, Spawn};

use crate::checkers;

/// A named promise and how it is tried on a fresh store.
pub struct Case {
    /// Module and function, as in `holds::a_hold_ends_by_itself`.
    pub name: &'static str,
    /// Tries it. Whether the store keeps its invariants afterwards is not looked at.
    pub run: fn(Bench) -> Pin<Box<dyn Future<Output = CaseResult> + Send>>,
}

/// Hands the list of all cases to another macro: `module: [case, ...];` and so on.
#[doc(hidden)]
#[macro_export]
macro_rules! store_suite_cases {
    ($then:ident! $(($($argument:tt)*))?) => {
        $crate::$then! {
            $(($($argument)*))?
            following: [
                what_is_added_comes_back,
                a_wallet_has_one_account,
                a_leader_keeps_its_baseline,
                an_account_follows_a_leader_once,
                wallets_copy_each_other_in_no_circle,
                the_users_word_is_kept,
                every_policy_is_kept,
                deposits_are_cash,
                a_difference_is_booked_once,
                the_watcher_sees_all_that_is_not_stopped,
                every_change_raises_the_version,
                wallets_and_tokens_are_looked_up,
                changes_are_told_to_their_owner,
            ];
            holds: [
                a_pause_stops_the_very_next_signature,
                a_stopped_relationship_signs_nothing,
                nothing_is_signed_once_a_pause_has_returned,
                a_hold_stops_entries_in_its_scope,
                a_hold_stops_exits_if_it_says_so,
                a_hold_ends_by_itself,
                a_hold_for_a_cause_is_placed_once,
                a_hold_of_an_instance_ends_with_it,
                lifting_a_hold_resumes_nothing,
                a_hold_names_something,
                an_owner_holds_its_own,
            ];
            keys: [
                sealed_keys_come_back_bit_by_bit,
                an_account_and_its_key_are_added_both_or_neither,
                keys_are_rewrapped_all_or_none,
                a_removed_account_loses_its_key_and_keeps_its_books,
                what_is_busy_is_not_removed,
                a_key_is_replaced_by_a_newer_one_alone,
                the_wallet_of_a_session_key_comes_back_with_another_key,
            ];
            people: [
                users_come_back_and_change_once,
                names_wallets_and_owners_belong_to_one_user,
                one_administrator_is_left,
                sessions_are_found_replaced_and_ended,
                tokens_are_found_and_revoked,
                tickets_work_once_and_for_a_while,
                recovery_codes_work_once,
                passkeys_count_their_uses,
                wrong_answers_are_compared_and_set,
                notes_are_read_by_owner_from_the_newest,
                what_is_over_is_removed,
                an_erased_user_leaves_his_books_alone,
            ];
            detection: [
                cursors_move_where_they_are_put,
                headers_are_those_of_our_chain,
                groups_are_replaced_and_found_with_their_kin,
                unsettled_groups_are_found,
                groups_are_found_from_a_block_on,
                fills_count_while_their_block_is_canonical,
                progress_of_parts_never_goes_back,
                markets_are_replaced,
                own_orders_are_told_apart,
                the_newest_factor_of_a_block_stands,
                the_exit_basis_is_what_followers_hold,
                a_buy_still_open_counts_for_what_it_filled,
            ];
            revisits: [
                a_note_is_due_once_and_in_order,
                a_look_counts_while_its_version_stands,
                what_was_blocked_is_looked_at_at_once,
                orders_and_ends_note_exits,
                the_newest_sale_has_the_highest_block,
                what_is_missed_is_synced_once,
                what_is_to_be_sold_is_looked_at,
            ];
            commit_one: [
                a_copy_makes_intent_reservation_and_work,
                a_sale_reserves_nothing_and_goes_first,
                a_skip_makes_a_decision_only,
                a_repeated_commit_changes_nothing,
                the_stored_decision_stands,
                intents_come_in_the_order_of_the_decisions,
                a_changed_configuration_writes_nothing,
                a_lost_lease_writes_nothing,
                a_refused_commit_writes_nothing,
                earlier_parts_are_added_up,
                chunks_of_five_hundred_are_taken,
                events_are_written_with_the_commit,
            ];
            signing: [
                a_signed_attempt_comes_back_bit_by_bit,
                outcomes_come_in_the_order_of_the_attempts,
                a_repeated_commit_two_loses_and_reads_again,
                one_of_many_workers_wins_each_intent,
                an_order_id_exists_once,
                waiting_intents_come_by_due_time,
                only_what_waits_is_loaded_and_put_off,
                an_ended_intent_gives_its_money_back_once,
                an_exit_has_one_attempt_after_the_other,
                a_fill_on_its_way_is_not_sold_again,
            ];
            dead_letters: [
                failures_are_counted_while_a_job_waits,
                a_dead_letter_is_in_nobodys_way_and_keeps_its_money,
            ];
            exits: [
                what_another_exit_may_give_is_promised,
                a_batch_sells_no_more_than_is_held,
                one_of_two_workers_sells_what_is_held,
                what_is_promised_ends_with_its_attempt,
                a_reversal_after_the_plan_is_noticed,
                a_sale_that_is_not_booked_yet_is_promised,
                others_promise_nothing,
            ];
            permits: [
                a_permit_is_out_until_it_comes_back,
                a_permit_ends_with_its_instance,
                a_taken_over_order_is_not_sent_by_its_old_holder,
                a_granted_permit_raises_the_version,
                a_permit_lasts_as_long_as_the_bytes_since_they_were_committed,
                work_is_claimed_when_due_and_free,
                work_of_an_ended_instance_is_free_at_once,
                an_ended_instance_goes_on_with_nothing,
                a_wrong_clock_steals_no_work,
                only_one_of_many_claims_an_order,
            ];
            settling: [
                the_next_due_order_is_known,
                an_update_needs_the_version_it_was_computed_from,
                a_reply_is_kept_until_replaced,
                the_first_word_on_a_stage_stands,
                venue_trades_are_summed_by_their_state,
                trades_that_are_gone_count_no_more,
                chain_fills_are_evidence_while_canonical,
                changed_fills_are_news_until_an_update,
                work_goes_where_the_update_says,
                late_news_of_an_old_attempt_leaves_the_new_one_alone,
                a_next_attempt_is_leased_by_nobody,
                changes_of_orders_are_told_once,
                open_outcomes_name_their_accounts,
                an_account_is_hurried_where_nobody_holds_its_work,
                foreign_orders_are_told_once,
            ];
            ledger: [
                a_lost_order_is_adopted_once,
                a_fill_is_booked_everywhere,
                a_sale_and_its_reversal_leave_no_trace,
                a_sale_is_booked_from_the_position_that_stands,
                a_refused_update_books_nothing,
                a_reservation_comes_back_once,
                exposure_is_cost_and_reservations,
                exposure_nobody_expects_raises_the_version,
                redemptions_wait_for_finality_in_order,
                a_redemption_is_booked_once,
                as_much_is_booked_as_was_paid_for,
                amounts_beyond_computing_are_refused_whole,
                nothing_held_is_an_empty_position,
                what_anybody_holds_is_listed,
            ];
            wallets: [
                a_transaction_comes_back_bit_by_bit,
                a_wallet_has_one_open_transaction,
                a_higher_fee_joins_the_same_nonce,
                the_end_of_one_ends_all_of_its_nonce,
                what_takes_long_is_told,
                what_pays_nothing_is_booked_without_a_transaction,
            ];
            leases: [
                a_lease_has_one_holder_at_a_time,
                a_late_renewal_keeps_the_fence,
                a_released_lease_is_free_and_its_fence_dead,
                only_one_of_many_takes_a_lease,
                who_was_seen_to_end_holds_no_lease,
                instances_run_until_they_are_seen_to_end,
            ];
            tasks: [
                a_task_is_claimed_when_due_and_free,
                a_task_that_ran_out_is_somebody_elses,
                only_one_of_many_runs_a_task,
                a_failure_is_counted_and_told,
                who_was_seen_to_end_runs_no_task,
                old_events_go_once_everybody_has_read_them,
                old_skips_are_summed_and_copies_stay,
                the_newest_decision_keeps_its_number,
            ];
            reports: [
                lists_are_read_page_by_page,
                the_ledger_is_read_by_intent,
                groups_are_found_by_the_start_of_their_transaction,
                orders_are_found_by_the_start_of_their_id,
                an_owner_sees_his_own_rows_only,
                an_owner_changes_his_own_rows_only,
                events_wait_for_every_subscriber,
                commits_are_counted,
            ];
        }
    };
}

/// Makes one test per case, in one module per topic. Takes the attribute that runs an async test, and the
/// path of an async function that makes a fresh [`Bench`](crate::store_suite::Bench).
#[macro_export]
macro_rules! store_suite_tests {
    (#[$test:meta] $make:path) => {
        $crate::store_suite_cases! { store_suite_test_modules! (#[$test] $make) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! store_suite_test_modules {
    ($arguments:tt $($module:ident: $cases:tt;)*) => {
        $($crate::store_suite_test_module! { $arguments $module $cases })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! store_suite_test_module {
    ((#[$test:meta] $make:path) $module:ident [$($case:ident,)*]) => {
        mod $module {
            use super::*;
            $(
                #[$test]
                async fn $case() {
                    let name = concat!(stringify!($module), "::", stringify!($case));
                    $crate::store_suite::run(name, $make().await).await;
                }
            )*
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! store_suite_case_table {
    ($($module:ident: [$($case:ident,)*];)*) => {
        /// Every case. A static: the code of a constant is built again by every crate that names it.
        pub static CASES: &[Case] = &[
            $($(Case {
                name: concat!(stringify!($module), "::", stringify!($case)),
                run: |bench| Box::pin($module::$case(bench)),
            },)*)*
        ];
    };
}

store_suite_cases! { store_suite_case_table! }

/// Tries every case on a store of its own.
///
/// # Panics
/// When a case fails, with the names and reasons of all that do.
pub async fn run_all<Made: Future<Output = Bench>>(make: impl Fn() -> Made) {
    let mut failed = Vec::new();
    for case in CASES {
        if let Err(failure) = attempt(case, make().await).await {
            failed.push(format!("{}: {failure}", case.name));
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), CASES.len(), failed.join("\n"));
}

/// Tries the case of this name.
///
/// # Panics
/// When it fails or there is none.
pub async fn run(name: &str, bench: Bench) {
    let case = CASES.iter().find(|case| case.name == name);
    let outcome = match case {
        Some(case) => attempt(case, bench).await,
        None => Err(Failure::new("there is no such case")),
    };
    assert!(
        outcome.is_ok(),
        "{name}: {}",
        outcome.err().map(|failure| failure.to_string()).unwrap_or_default()
    );
}

/// A case, and whether its store still keeps the invariants afterwards. Boxed, so that it is built here, once.
fn attempt(case: &'static Case, bench: Bench) -> Pin<Box<dyn Future<Output = CaseResult> + Send>> {
    Box::pin(async move {
        let store = bench.store.clone();
        (case.run)(bench).await?;
        let violations = checkers::always(store.as_ref()).await?;
        match violations.first() {
            None => Ok(()),
            Some(first) => {
                Err(Failure::new(format!("{} violations afterwards; first: {first}", violations.len())))
            }
        }
    })
}

#[cfg(test)]
mod tests;
