//! What every ledger has to do, whatever database is under it. `storage` runs this suite on each of its stores.
//!
//! Development only; nothing here is in the product's build.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up should stop at once")]

pub mod approvals;
pub mod batches;
pub mod brake;
pub mod changes;
pub mod chats;
pub mod events;
pub mod groups;
pub mod house;
pub mod idempotency;
pub mod identities;
pub mod ingress;
pub mod keys;
pub mod labels;
pub mod lanes;
pub mod log;
pub mod logins;
pub mod media;
pub mod messages;
pub mod model;
pub mod pacing;
pub mod people;
pub mod plugins;
pub mod retention;
pub mod search;
pub mod sessions;
pub mod shared;
pub mod standing;
pub mod statuses;
pub mod templates;
pub mod transfer;
pub mod upkeep;
pub mod webhooks;

use std::time::Duration;

use domain::{
    SessionId,
    event::{Event, EventDraft},
    port::{
        ApiKeyStore, ApprovalStore, AutomationStore, BatchStore, BrakeStore, DeliveryQueue,
        DeviceKeys, GroupStore, IdempotencyStore, IngressStore, LabelStore, Lease, Ledger,
        LogStore, LoginStore, MediaRecords, MessageStore, PacingStore, Page, PeopleStore,
        PluginStore, PluginValues, ProcessStore, SearchStore, SessionStore, StatsStore,
        StatusStore, TemplateStore, TransferStore, WebhookStore, Write, WriteOutcome,
    },
    webhook::Webhook,
};

use testkit::{START, build};

/// What the cases of the lanes need: also a queue that is put over a ledger has it.
pub trait LaneStore: Ledger + SessionStore + WebhookStore + DeliveryQueue + Clone {}

impl<T> LaneStore for T where T: Ledger + SessionStore + WebhookStore + DeliveryQueue + Clone {}

/// All ports of a ledger.
pub trait Store:
    Ledger
    + SessionStore
    + MessageStore
    + WebhookStore
    + ApiKeyStore
    + ApprovalStore
    + LoginStore
    + DeliveryQueue
    + DeviceKeys
    + PeopleStore
    + GroupStore
    + TemplateStore
    + IdempotencyStore
    + PacingStore
    + BatchStore
    + MediaRecords
    + LogStore
    + PluginStore
    + PluginValues
    + IngressStore
    + StatsStore
    + SearchStore
    + AutomationStore
    + TransferStore
    + StatusStore
    + LabelStore
    + BrakeStore
    + ProcessStore
    + Clone
{
}

impl<T> Store for T where
    T: Ledger
        + SessionStore
        + MessageStore
        + WebhookStore
        + ApiKeyStore
        + ApprovalStore
        + LoginStore
        + DeliveryQueue
        + DeviceKeys
        + PeopleStore
        + GroupStore
        + TemplateStore
        + IdempotencyStore
        + PacingStore
        + BatchStore
        + MediaRecords
        + LogStore
        + PluginStore
        + PluginValues
        + IngressStore
        + StatsStore
        + SearchStore
        + AutomationStore
        + TransferStore
        + StatusStore
        + LabelStore
        + BrakeStore
        + ProcessStore
        + Clone
{
}

/// Makes a test of every case of the suite. `$open` is an async function that gives an empty store and something that
/// is dropped after it.
#[macro_export]
macro_rules! store_conformance {
    ($open:path) => {
        $crate::lane_conformance!($open);
        $crate::store_conformance! { @modules $open;
            events: [
                sequences_are_dense_per_session, a_unit_is_all_or_nothing_in_order, events_need_a_session,
                a_duplicate_message_records_nothing, acks_move_forward_only, metadata_is_merged,
                concurrent_writers_leave_no_gap,
            ];
            changes: [
                a_change_goes_into_its_row, a_change_told_twice_is_one, changes_wait_for_their_message_in_order,
                a_held_text_that_was_cleared_stays_cleared, what_never_came_is_told_alone,
                what_may_not_wait_is_dropped, a_readable_message_replaces_one_that_was_not,
                what_was_taken_back_does_not_come_back, a_message_that_stays_unreadable_changes_in_the_end,
                sends_are_kept_until_they_are_settled, a_send_that_is_known_changes_nothing_of_its_key,
                every_content_goes_out_again_as_it_was,
                a_change_is_open_until_its_outcome_is_known,
            ];
            approvals: [
                an_approval_lives_once, the_same_request_waits_once, budgets_are_counted_by_day,
                approvals_are_listed_and_pruned,
            ];
            chats: [
                a_chat_moves_along_with_its_messages, chats_are_listed_newest_first,
                chats_are_named_by_what_is_known_best, marks_are_kept, unread_messages_are_the_newest,
                deleted_and_cleared_chats_lose_their_messages,
            ];
            people: [
                identities_are_learned_once, the_spelling_of_a_number_is_remembered, a_contact_reads_back_as_it_was_learned, contacts_are_listed_by_id,
                what_was_filed_under_a_privacy_id_moves, two_chats_of_one_person_become_one, the_newer_chat_wins,
                writes_find_the_canonical_id_themselves, messages_are_found_by_either_id,
                the_same_message_under_both_ids_is_one, people_and_chats_need_a_session,
                a_pair_is_told_once, a_block_list_is_whole, what_is_wanted_of_presences_is_kept,
            ];
            groups: [
                a_group_reads_back_as_it_was, what_happened_since_counts_more, groups_begin_and_end,
                what_is_told_twice_is_one_event,
            ];
            media: [
                a_file_reads_back_as_it_was, an_upload_is_found_by_its_bytes_while_it_is_young, a_download_is_settled_once, a_file_that_is_there_from_the_start_is_shown,
                due_downloads_are_offered_oldest_first, files_go_with_their_message,
            ];
            house: [
                receipts_are_kept_by_recipient, a_receipt_waits_for_its_message, a_recipient_under_two_ids_is_one,
                messages_are_counted_by_hour_and_chat, a_rule_reads_back_as_it_was,
                a_rule_answers_a_chat_once_per_cooldown,
            ];
            search: [
                messages_are_found_by_their_words, the_search_follows_changes_and_deletes,
                a_search_is_narrowed_before_it_is_paged, parts_of_words_are_found_where_that_is_on,
                what_was_there_before_is_indexed_in_portions,
            ];
            transfer: [what_is_exported_is_imported, an_import_is_all_or_nothing];
            labels: [
                labels_read_back_and_change_once, a_chat_may_have_a_label_that_is_told_later,
                labels_follow_a_person_to_their_number,
            ];
            statuses: [
                statuses_are_listed_for_a_while, an_audience_is_kept_with_its_status, old_statuses_go_with_their_files,
            ];
            templates: [
                a_template_reads_back_as_it_was, names_are_unique_in_a_session, templates_are_listed_newest_first,
                templates_are_replaced_and_deleted,
            ];
            plugins: [
                a_plugin_reads_back_as_it_was, a_change_needs_the_revision_it_is_based_on, what_plugins_remember_is_limited,
                keys_are_found_by_their_beginning, an_instance_reads_back_as_it_was, chats_are_tied_to_conversations,
                a_plugin_takes_everything_along, a_session_takes_along_what_plugins_have_of_it,
            ];
            ingress: [
                a_call_is_stored_once, calls_of_one_key_go_one_after_another, a_claim_that_ran_out_is_somebody_elses,
                dead_calls_wait_again, old_calls_are_forgotten,
            ];
            upkeep: [
                a_file_goes_with_its_last_reference, files_of_nothing_are_noted,
                a_large_session_is_hidden_at_once_and_goes_in_portions,
                a_large_chat_is_empty_at_once_and_goes_in_portions, old_messages_go_where_that_is_asked_for,
                a_person_is_erased_under_all_their_ids,
            ];
            idempotency: [
                a_key_is_taken_once, one_of_many_callers_gets_the_key, outcomes_are_kept, old_keys_are_free_again, old_keys_go_in_portions,
            ];
            pacing: [
                places_are_counted, a_chat_with_messages_is_not_cold, parallel_callers_share_the_places,
                outcomes_move_the_breaker, what_never_left_gives_its_slot_back,
                people_who_are_added_to_a_group_share_the_places, the_counters_of_many_are_read_at_once,
            ];
            batches: [
                a_batch_reads_back_as_it_was, items_move_and_the_last_one_ends_the_batch, a_cancel_is_final,
                a_failed_item_is_corrected, a_correction_does_not_revive_a_batch,
                holds_have_their_order, errors_end_a_batch_that_stops_at_them, strangers_are_told_from_acquaintances,
            ];
            log: [
                positions_follow_the_order_of_commits, the_log_reads_by_session, a_page_of_deliveries_follows_its_cursor,
                filters_of_the_delivery_log_narrow, tries_are_told_with_their_excerpts, a_replay_leaves_beside_its_lane,
                what_waits_is_not_replayed, dead_letters_are_told_until_they_are_replayed,
                a_redrive_is_recorded_at_once,
                the_audit_reads_back_and_is_pruned, lags_are_measured,
                messages_are_counted_as_they_come_change_and_go, activity_never_moves_back,
            ];
            standing: [
                what_a_lane_waits_for_is_told, an_open_breaker_is_what_lanes_wait_for, lanes_are_listed_page_by_page,
                lanes_are_found_by_what_they_are,
            ];
            retention: [
                old_events_go_and_their_numbers_stay, a_clock_that_ran_ahead_does_not_stop_the_marks,
                dead_letters_that_stay_cost_the_writer_nothing, one_of_many_takes_a_turn, what_is_needed_is_not_pruned,
                replays_keep_their_event_and_go_with_it,
            ];
            messages: [
                a_message_reads_back_as_it_was, filters_are_exact, pages_and_cursors_agree, times_of_whatsapp_sort,
                sessions_do_not_see_each_other,
            ];
            sessions: [
                a_session_reads_back_as_it_was, names_are_unique, lists_are_newest_first, patches_change_what_they_name,
                a_repeated_change_tells_its_event_once, a_lease_has_one_owner, who_lost_a_session_writes_nothing,
                a_wish_reaches_the_owner, what_only_an_idle_session_allows, wanted_sessions_that_nobody_holds_are_found,
                who_runs_a_session_is_told, deleting_takes_everything_along,
            ];
            webhooks: [
                a_webhook_reads_back_as_it_was, the_cap_is_exact, updates_apply_to_the_next_event, lists_are_per_session_or_all,
            ];
            logins: [
                a_login_reads_back_as_it_was, a_link_is_taken_once, logins_that_are_over_go, logins_go_with_their_key,
                the_newest_logins_of_a_key_stay,
            ];
            brake: [
                a_pause_is_one_and_reads_back, listeners_hear_of_pauses, processes_are_told_with_what_they_hold,
                all_other_keys_are_revoked_at_once,
            ];
            keys: [
                an_api_key_reads_back_as_it_was, uses_are_counted, device_keys_read_back, changes_are_one_unit,
                prefixes_are_exact, expired_keys_go, a_purge_spares_other_sessions,
            ];
        }
    };
    (@modules $open:path; $($module:ident: [$($case:ident),* $(,)?];)*) => {
        $(mod $module {
            $(#[tokio::test]
            async fn $case() {
                let (store, _keep) = $open().await;
                $crate::$module::$case(&store).await;
            })*
        })*
    };
}

/// Makes a test of every case of the lanes, in a module `lanes`. `$open` as for
/// [`store_conformance!`](crate::store_conformance).
#[macro_export]
macro_rules! lane_conformance {
    ($open:path) => {
        $crate::store_conformance! { @modules $open;
            lanes: [
                every_webhook_that_wants_it_gets_a_delivery, a_claim_is_exclusive_until_its_lease_ends,
                a_lane_goes_in_order, a_waiting_head_blocks_its_lane_and_no_other, a_stale_worker_can_record_nothing,
                only_the_head_can_be_settled, an_exhausted_head_lets_the_lane_go_on, a_wait_without_a_try_costs_none, new_lanes_go_before_retries,
                windows_and_counts_are_kept, inactive_webhooks_wait, session_order_is_one_lane, no_order_is_many_lanes,
                a_released_lane_is_offered_again, next_due_names_the_earliest, deleted_webhooks_take_their_deliveries,
                a_held_webhook_is_not_offered, more_reads_on_in_order, many_results_at_once_are_each_recorded,
                the_breaker_and_a_pause_hold_claims_back, a_receiver_that_is_gone_is_switched_off_and_told,
            ];
        }
    };
}

/// Makes a test of every case of what a shared queue asks of a ledger, in a module `shared`. `$open` as for
/// [`store_conformance!`](crate::store_conformance).
#[macro_export]
macro_rules! shared_ledger_conformance {
    ($open:path) => {
        $crate::shared_ledger_conformance! { @cases $open;
            due_lanes_are_told_first_tries_first, named_lanes_are_given_as_by_a_claim,
            why_a_lane_is_not_given_is_told, an_open_breaker_says_until_when,
            waiting_lanes_are_those_that_nobody_holds, opened_lanes_are_told,
        }
    };
    (@cases $open:path; $($case:ident),* $(,)?) => {
        mod shared {
            $(#[tokio::test]
            async fn $case() {
                let (store, session, _keep) = $open().await;
                $crate::shared::$case(&store, session).await;
            })*
        }
    };
}

/// A page with everything.
pub(crate) const ALL: Page = Page { limit: 1000, offset: 0 };

/// Stores session `number`.
pub(crate) async fn new_session<S: SessionStore>(store: &S, number: u32) -> SessionId {
    let session = build::session(number);
    assert!(store.insert_session(&session).await.unwrap());
    session.id
}

/// Stores session `number` and takes its lease: [`build::lease`].
pub(crate) async fn held_session<S: SessionStore>(store: &S, number: u32) -> Lease {
    let session = new_session(store, number).await;
    hold(store, session).await
}

/// Takes the first lease of a session.
pub(crate) async fn hold<S: SessionStore>(store: &S, session: SessionId) -> Lease {
    let day = Duration::from_secs(86_400);
    let held = store.acquire_session(session, "test", START, day).await.unwrap().unwrap();
    assert_eq!(held.lease, build::lease(session));
    held.lease
}

/// Stores a webhook.
pub(crate) async fn new_webhook<S: WebhookStore>(store: &S, webhook: Webhook) -> Webhook {
    assert!(store.insert_webhook(&webhook, 0).await.unwrap());
    webhook
}

/// Records an event by itself.
pub(crate) async fn append<S: Ledger>(store: &S, draft: EventDraft) -> Event {
    let outcome = store.write(vec![Write::Append { event: Box::new(draft) }]).await.unwrap();
    match outcome.into_iter().next() {
        Some(WriteOutcome::Applied(events)) => Event::clone(&events[0]),
        other => panic!("the event was not recorded: {other:?}"),
    }
}
