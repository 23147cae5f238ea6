//! The ports, one line for each call: it asks the trouble, then the store.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    ChatId, DeliveryId, EventId, MediaId, PhoneNumber, SessionId, Timestamp, WaMessageId,
    WebhookId,
    api_key::{ApiKey, KeyHash},
    approval::{Approval, ApprovalState},
    automation::AutomationRule,
    batch::{Batch, BatchId, BatchItem, BatchState, ItemContent},
    brake::SendsPause,
    chat::{Chat, Contact, KnownForm},
    content::Media,
    delivery::{Attempt, ClaimedLane, Delivery, LaneId, LanePage, LaneQuery},
    idempotency::IdempotencyRecord,
    ids::{ApiKeyId, ApprovalId, AutomationRuleId, TemplateId},
    label::{Label, LabelId},
    log::{
        Activity, AuditEntry, AuditQuery, DeliveryQuery, DeliveryRecord, DoubtfulCounts,
        FailureQuery, LogBounds, LoggedEvent, MessageCounts, NewReplay, PruneLimits, Pruned,
        PrunedSession, ReplayCandidate, WebhookLag, WriterStats,
    },
    login::{Login, LoginKind},
    media::MediaRecord,
    message::Message,
    pacing::{PacingOutcome, PacingRules, PacingState, Refusal, StrangersRefusal},
    plugin::{
        Handover, IngressCall, IngressOutcome, IngressStored, Instance, Mapping, MappingKey,
        Plugin, PluginId,
    },
    port::{
        ApiKeyStore, ApprovalQuery, ApprovalStore, AuditLog, AutomationStore, BatchStore,
        BrakeStore, BulkFacts, ClaimedIngress, Created, DeliveryLog, DeliveryQueue, DeviceKeys,
        EnabledPlugin, Erased, EventLog, GroupStore, Held, Holder, IdempotencyStore, IngressStore,
        KeyChange, KeyEntry, KnownGroup, LabelStore, LaneLog, Lease, Ledger, LoginStore,
        MediaRecords, MessagePage, MessageQuery, MessageStore, NewBatch, OpenChange, OpenItem,
        PacingStore, Page, PauseListener, PeopleStore, PluginStore, PluginValues, ProcessStore,
        QueueServer, QueueStats, RecipientScope, SearchStore, SessionStore, Settled, Settlement,
        StatsStore, StatusStore, StoreResult, Telemetry, TemplateStore, TransferStore,
        UnresolvedSend, Upkeep, ValueStored, WebhookStore, WishListener, Write, WriteOutcome,
    },
    presence::PresenceWishes,
    process::ProcessRecord,
    receipt::RecipientTimes,
    search::{SearchMatch, SearchPage, SearchQuery},
    session::Session,
    stats::{ChatCount, MessageNumbers, StatsBucket},
    template::Template,
    transfer::{TransferCursor, TransferPage, TransferRefused, TransferTables},
    webhook::Webhook,
};
use serde_json::Value;

use super::{Erring, StoreParts};

/// `and` has what passes through as it is; `of` names the part of [`StoreParts`] that answers.
macro_rules! erring {
    ($port:ident $(of $part:ident)? {
        $(fn $call:ident(&self $(, $arg:ident: $kind:ty)*) -> $answer:ty;)*
    } $(and { $($plain:item)* })?) => {
        #[async_trait]
        impl<S: $port + ?Sized> $port for Erring<S> {
            $(async fn $call(&self $(, $arg: $kind)*) -> StoreResult<$answer> {
                let call = concat!(stringify!($port), "::", stringify!($call));
                self.trouble.through(call, self.store.$call($($arg),*)).await
            })*
            $($($plain)*)?
        }

        parted! { $port $(of $part)? {
            $(fn $call(&self $(, $arg: $kind)*) -> $answer;)*
        } }
    };
}

/// What [`StoreParts`] hands on, for ports in which nothing passes through as it is.
macro_rules! parted {
    ($port:ident of $part:ident {
        $(fn $call:ident(&self $(, $arg:ident: $kind:ty)*) -> $answer:ty;)*
    }) => {
        #[async_trait]
        impl $port for StoreParts {
            $(async fn $call(&self $(, $arg: $kind)*) -> StoreResult<$answer> {
                self.$part.$call($($arg),*).await
            })*
        }
    };
    ($($by_hand:tt)*) => {};
}

erring! { Ledger {
    fn write(&self, writes: Vec<Write>) -> Vec<WriteOutcome>;
    fn release_held(&self, now: Timestamp) -> u64;
    fn ping(&self) -> ();
} }

erring! { DeliveryQueue {
    fn claim_lanes(&self, worker: &str, lanes: u32, window: u32, now: Timestamp, until: Timestamp) -> Vec<ClaimedLane>;
    fn more_of_lane(&self, lane: &LaneId, epoch: u64, window: u32) -> Vec<Delivery>;
    fn record_attempts(&self, settlement: Settlement) -> Settled;
    fn renew_lane(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> bool;
    fn release_lane(&self, lane: &LaneId, epoch: u64) -> ();
    fn hold_webhook(&self, webhook: WebhookId, until: Timestamp) -> ();
    fn next_lane_due(&self, now: Timestamp) -> Option<Timestamp>;
    fn receiver(&self, webhook: WebhookId) -> Option<Arc<Webhook>>;
    fn queue_stats(&self) -> QueueStats;
} and {
    async fn opened_elsewhere(&self) {
        self.store.opened_elsewhere().await;
    }

    fn queue_server(&self) -> Option<QueueServer> {
        self.store.queue_server()
    }
} }

erring! { DeviceKeys of device_keys {
    fn device_key(&self, session: SessionId, namespace: &'static str, key: &str) -> Option<KeyEntry>;
    fn device_keys(&self, session: SessionId, namespace: &'static str, prefix: &str) -> Vec<KeyEntry>;
    fn apply_key_changes(&self, lease: &Lease, changes: Vec<KeyChange>) -> ();
    fn delete_expired_keys(&self, lease: &Lease, namespace: &'static str, cutoff: i64) -> u64;
    fn purge_device_keys(&self, lease: &Lease) -> ();
} }

erring! { SessionStore {
    fn insert_session(&self, session: &Session) -> bool;
    fn session(&self, id: SessionId) -> Option<Session>;
    fn sessions(&self, name: Option<&str>, page: Page) -> Vec<Session>;
    fn sessions_among(&self, ids: &[SessionId]) -> Vec<Session>;
    fn delete_session(&self, id: SessionId) -> bool;
    fn acquire_session(&self, id: SessionId, owner: &str, now: Timestamp, lasts: Duration) -> Option<Held>;
    fn release_session(&self, lease: &Lease) -> ();
    fn unheld_sessions(&self, now: Timestamp, limit: u32) -> Vec<SessionId>;
    fn session_holder(&self, id: SessionId, now: Timestamp) -> Option<Holder>;
    fn held_sessions(&self, now: Timestamp) -> Vec<SessionId>;
    fn announce_process(&self, owner: &str, url: &str, now: Timestamp, forget_before: Timestamp) -> ();
} and {
    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn listen_for_wishes(&self, listener: WishListener) {
        self.store.listen_for_wishes(listener);
    }
} }

erring! { MessageStore of messages {
    fn message(&self, session: SessionId, wa_id: &WaMessageId) -> Option<Message>;
    fn receipts(&self, session: SessionId, wa_id: &WaMessageId) -> Vec<RecipientTimes>;
    fn unresolved_sends(&self, session: SessionId) -> Vec<UnresolvedSend>;
    fn open_changes(&self, session: SessionId) -> Vec<OpenChange>;
    fn messages(&self, session: SessionId, query: &MessageQuery, page: Page) -> Option<MessagePage>;
} }

erring! { WebhookStore of webhooks {
    fn insert_webhook(&self, webhook: &Webhook, most: u32) -> bool;
    fn webhook(&self, id: WebhookId) -> Option<Webhook>;
    fn webhooks(&self, session: Option<SessionId>, page: Page) -> Vec<Webhook>;
    fn webhooks_among(&self, sessions: &[SessionId]) -> Vec<Webhook>;
    fn update_webhook(&self, webhook: &Webhook) -> bool;
    fn update_webhook_if_unchanged(&self, webhook: &Webhook, was: Timestamp) -> bool;
    fn pause_webhook(&self, id: WebhookId, at: Timestamp) -> bool;
    fn resume_webhook(&self, id: WebhookId, now: Timestamp) -> bool;
    fn delete_webhook(&self, id: WebhookId) -> bool;
} }

erring! { ApiKeyStore of api_keys {
    fn insert_api_key(&self, key: &ApiKey) -> ();
    fn api_key_by_hash(&self, hash: KeyHash) -> Option<ApiKey>;
    fn api_key(&self, id: ApiKeyId) -> Option<ApiKey>;
    fn api_keys(&self) -> Vec<ApiKey>;
    fn update_api_key(&self, key: &ApiKey) -> bool;
    fn rehash_api_key(&self, id: ApiKeyId, prefix: &str, hash: KeyHash) -> ();
    fn revoke_other_api_keys(&self, caller: ApiKeyId, kept: Option<ApiKeyId>, login: Option<KeyHash>) -> Option<u64>;
    fn delete_api_key(&self, id: ApiKeyId) -> bool;
    fn touch_api_key(&self, id: ApiKeyId, uses: u64, at: Timestamp) -> ();
} }

erring! { ApprovalStore of approvals {
    fn approval(&self, id: ApprovalId) -> Option<Approval>;
    fn approvals(&self, query: &ApprovalQuery, page: Page) -> Vec<Approval>;
    fn approval_of_request(&self, session: SessionId, key: ApiKeyId, request_key: &str) -> Option<Approval>;
    fn oldest_approvals(&self, state: ApprovalState, limit: u32) -> Vec<Approval>;
    fn take_approval_budget(&self, key: ApiKeyId, day: i64, budget: u32) -> bool;
    fn prune_approvals(&self, before: Timestamp, limit: u32) -> u64;
} }

erring! { LoginStore of logins {
    fn insert_login(&self, login: &Login, most: u32) -> ();
    fn login(&self, hash: KeyHash) -> Option<Login>;
    fn take_login(&self, hash: KeyHash, kind: LoginKind) -> Option<Login>;
    fn touch_login(&self, hash: KeyHash, at: Timestamp) -> ();
    fn delete_expired_logins(&self, now: Timestamp) -> u64;
} }

erring! { BrakeStore {
    fn sends_pause(&self) -> Option<SendsPause>;
    fn pause_sends(&self, pause: &SendsPause) -> SendsPause;
    fn resume_sends(&self) -> bool;
} and {
    fn listen_for_pauses(&self, listener: PauseListener) {
        self.store.listen_for_pauses(listener);
    }
} }

erring! { ProcessStore of processes {
    fn processes(&self, now: Timestamp) -> Vec<ProcessRecord>;
} }

erring! { PeopleStore of people {
    fn contacts(&self, session: SessionId, page: Page) -> Vec<Contact>;
    fn contact(&self, session: SessionId, id: &ChatId) -> Option<Contact>;
    fn phone_of(&self, session: SessionId, lid: &ChatId) -> Option<PhoneNumber>;
    fn lid_of(&self, session: SessionId, phone: &PhoneNumber) -> Option<ChatId>;
    fn presence_wishes(&self, session: SessionId) -> PresenceWishes;
    fn canonical_chat(&self, session: SessionId, id: &ChatId) -> ChatId;
    fn known_form(&self, session: SessionId, asked: &ChatId) -> Option<KnownForm>;
    fn chats(&self, session: SessionId, page: Page) -> Vec<Chat>;
    fn chat(&self, session: SessionId, id: &ChatId) -> Option<Chat>;
    fn unread_messages(&self, session: SessionId, chat: &ChatId, limit: u32) -> Vec<(WaMessageId, Option<ChatId>)>;
} }

erring! { GroupStore of groups {
    fn known_group(&self, session: SessionId, group: &ChatId) -> Option<KnownGroup>;
    fn known_groups(&self, session: SessionId, page: Page) -> Vec<(ChatId, String, Option<ChatId>)>;
} }

erring! { TemplateStore of templates {
    fn insert_template(&self, template: &Template) -> bool;
    fn template(&self, session: SessionId, id: TemplateId) -> Option<Template>;
    fn template_by_name(&self, session: SessionId, name: &str) -> Option<Template>;
    fn templates(&self, session: SessionId) -> Vec<Template>;
    fn update_template(&self, template: &Template) -> Option<bool>;
    fn delete_template(&self, session: SessionId, id: TemplateId) -> bool;
} }

erring! { StatsStore of stats {
    fn message_numbers(&self, session: Option<SessionId>, since: Timestamp, bucket: StatsBucket) -> MessageNumbers;
    fn busiest_chats(&self, session: Option<SessionId>, since: Timestamp, limit: u32) -> Vec<ChatCount>;
    fn counts_of_session(&self, session: SessionId) -> MessageCounts;
    fn sent_since(&self, sessions: &[SessionId], since: Timestamp) -> Vec<(SessionId, u64)>;
    fn prune_stats(&self, before: Timestamp) -> u64;
} }

erring! { SearchStore of search {
    fn search_messages(&self, query: &SearchQuery, page: Page) -> SearchPage;
    fn switch_search(&self, how: SearchMatch, on: bool) -> ();
    fn index_older(&self, how: SearchMatch, limit: u32) -> bool;
} }

erring! { AutomationStore of automation {
    fn insert_rule(&self, rule: &AutomationRule, most: u32) -> bool;
    fn rule(&self, session: SessionId, id: AutomationRuleId) -> Option<AutomationRule>;
    fn rules(&self, session: SessionId) -> Vec<AutomationRule>;
    fn update_rule(&self, rule: &AutomationRule) -> bool;
    fn delete_rule(&self, session: SessionId, id: AutomationRuleId) -> bool;
    fn claim_answer(&self, rule: &AutomationRule, chat: &ChatId, now: Timestamp, cooldown: Duration) -> bool;
} }

erring! { TransferStore {
    fn export_rows(&self, table: &'static str, after: Option<TransferCursor>, limit: u32) -> TransferPage;
    fn import_rows(&self, tables: TransferTables) -> Result<Vec<(&'static str, u64)>, TransferRefused>;
} and {
    fn database_kind(&self) -> &'static str {
        self.store.database_kind()
    }
} }

#[async_trait]
impl TransferStore for StoreParts {
    fn database_kind(&self) -> &'static str {
        self.transfer.database_kind()
    }

    async fn export_rows(
        &self,
        table: &'static str,
        after: Option<TransferCursor>,
        limit: u32,
    ) -> StoreResult<TransferPage> {
        self.transfer.export_rows(table, after, limit).await
    }

    async fn import_rows(
        &self,
        tables: TransferTables,
    ) -> StoreResult<Result<Vec<(&'static str, u64)>, TransferRefused>> {
        self.transfer.import_rows(tables).await
    }
}

erring! { IdempotencyStore of idempotency {
    fn idempotency_record(&self, session: SessionId, key: &str, now: Timestamp) -> Option<IdempotencyRecord>;
    fn finish_idempotency_key(&self, lease: &Lease, key: &str, answer: &Value) -> ();
    fn idempotency_outcome_unknown(&self, lease: &Lease, key: &str) -> ();
    fn free_idempotency_key(&self, lease: &Lease, key: &str) -> ();
    fn expire_idempotency_keys(&self, now: Timestamp, limit: u32) -> u64;
} }

erring! { PacingStore of pacing {
    fn admit_send(&self, lease: &Lease, chat: &ChatId, rules: &PacingRules, now: Timestamp) -> Result<(), Refusal>;
    fn record_send(&self, lease: &Lease, chat: &ChatId, rules: &PacingRules, at: Timestamp, outcome: PacingOutcome, now: Timestamp) -> bool;
    fn admit_strangers(&self, lease: &Lease, people: &[ChatId], rules: &PacingRules, now: Timestamp) -> Result<Vec<ChatId>, StrangersRefusal>;
    fn return_strangers(&self, lease: &Lease, people: &[ChatId], at: Timestamp) -> ();
    fn pacing_states(&self, sessions: &[SessionId]) -> Vec<(SessionId, PacingState)>;
} }

erring! { MediaRecords of media_records {
    fn media(&self, session: SessionId, wa_id: &WaMessageId) -> Option<MediaRecord>;
    fn due_media(&self, sessions: &[SessionId], now: Timestamp, limit: u32) -> Vec<MediaRecord>;
    fn uploaded_since(&self, session: SessionId, file: &MediaId, since: Timestamp) -> Vec<Media>;
    fn media_bytes(&self, session: Option<SessionId>) -> u64;
    fn next_media_due(&self, sessions: &[SessionId]) -> Option<Timestamp>;
} }

erring! { StatusStore of statuses {
    fn statuses(&self, session: SessionId, after: Timestamp, author: Option<&ChatId>, page: Page) -> Vec<Message>;
    fn status_audience(&self, session: SessionId, id: &WaMessageId) -> Option<Vec<ChatId>>;
    fn expire_statuses(&self, before: Timestamp, limit: u32) -> u64;
} }

erring! { LabelStore of labels {
    fn labels(&self, session: SessionId) -> Vec<Label>;
    fn label(&self, session: SessionId, id: &LabelId) -> Option<Label>;
    fn labels_of_chat(&self, session: SessionId, chat: &ChatId) -> Vec<Label>;
    fn chats_of_label(&self, session: SessionId, id: &LabelId, page: Page) -> Vec<Chat>;
} }

erring! { BatchStore of batches {
    fn create_batch(&self, new: NewBatch, most: u32) -> Created;
    fn batch(&self, session: SessionId, id: &BatchId) -> Option<Batch>;
    fn batches(&self, session: SessionId, state: Option<BatchState>, page: Page) -> Vec<Batch>;
    fn batch_items(&self, session: SessionId, id: &BatchId, touched: bool, page: Page) -> Vec<BatchItem>;
    fn bulk_sessions(&self) -> Vec<SessionId>;
    fn unfinished_batches(&self, session: SessionId) -> Vec<Batch>;
    fn batch_time_zones(&self, session: SessionId, id: &BatchId) -> Vec<Option<String>>;
    fn next_batch_item(&self, session: SessionId, id: &BatchId, zones: &[Option<String>], whom: RecipientScope) -> Option<(BatchItem, ItemContent)>;
    fn open_batch_items(&self, session: SessionId) -> Vec<OpenItem>;
    fn bulk_facts(&self, session: SessionId, chats: &[ChatId]) -> BulkFacts;
    fn forget_batches(&self, before: Timestamp) -> u64;
} }

erring! { PluginStore of plugins {
    fn enabled_plugins(&self) -> Vec<EnabledPlugin>;
    fn plugins(&self) -> Vec<Plugin>;
    fn plugin(&self, id: &PluginId) -> Option<Plugin>;
    fn plugin_revision(&self) -> u64;
    fn insert_plugin(&self, plugin: &Plugin, package: &[u8]) -> Option<u64>;
    fn update_plugin(&self, plugin: &Plugin, package: Option<&[u8]>) -> Option<u64>;
    fn plugin_package(&self, id: &PluginId) -> Option<Vec<u8>>;
    fn delete_plugin(&self, id: &PluginId) -> bool;
} }

erring! { PluginValues of plugin_values {
    fn plugin_value(&self, plugin: &PluginId, session: Option<SessionId>, key: &str) -> Option<String>;
    fn set_plugin_value(&self, plugin: &PluginId, session: Option<SessionId>, key: &str, value: &str) -> ValueStored;
    fn delete_plugin_value(&self, plugin: &PluginId, session: Option<SessionId>, key: &str) -> ();
    fn plugin_keys(&self, plugin: &PluginId, session: Option<SessionId>, prefix: &str, limit: u32) -> Vec<String>;
} }

erring! { IngressStore of ingress {
    fn instances(&self, plugin: &PluginId) -> Vec<Instance>;
    fn instance(&self, plugin: &PluginId, id: &str) -> Option<Instance>;
    fn insert_instance(&self, instance: &Instance) -> bool;
    fn update_instance(&self, instance: &Instance) -> bool;
    fn delete_instance(&self, plugin: &PluginId, id: &str) -> bool;
    fn store_ingress(&self, call: &IngressCall, by_digest: bool, waiting_max: u32) -> IngressStored;
    fn claim_ingress(&self, now: Timestamp, until: Timestamp, limit: u32) -> Vec<ClaimedIngress>;
    fn next_ingress(&self) -> Option<Timestamp>;
    fn finish_ingress(&self, id: uuid::Uuid, epoch: u64, outcome: &IngressOutcome, now: Timestamp) -> bool;
    fn redrive_ingress(&self, plugin: &PluginId, instance: &str, now: Timestamp, limit: u32) -> (u32, u32);
    fn forget_ingress(&self, done_before: Timestamp, dead_before: Timestamp, limit: u32) -> u32;
    fn mapping(&self, key: &MappingKey) -> Option<Mapping>;
    fn mapping_of_conversation(&self, plugin: &PluginId, instance: &str, conversation: &str) -> Option<Mapping>;
    fn set_mapping(&self, key: &MappingKey, conversation: &str, now: Timestamp) -> ();
    fn set_handover(&self, key: &MappingKey, state: Handover, now: Timestamp) -> bool;
} }

erring! { EventLog of log {
    fn log_bounds(&self) -> LogBounds;
    fn read_events(&self, after: u64, session: Option<SessionId>, limit: u32) -> Vec<LoggedEvent>;
    fn event(&self, id: EventId) -> Option<LoggedEvent>;
    fn pruned_sessions(&self, limit: u32) -> Vec<PrunedSession>;
    fn mark_time(&self, at: Timestamp, forget_before: Timestamp) -> ();
    fn time_mark(&self, at: Timestamp) -> u64;
    fn prune_events(&self, after: u64, limits: PruneLimits, limit: u32) -> Pruned;
} }

erring! { DeliveryLog of log {
    fn deliveries(&self, webhook: WebhookId, query: &DeliveryQuery, limit: u32) -> Vec<DeliveryRecord>;
    fn delivery(&self, id: DeliveryId) -> Option<DeliveryRecord>;
    fn failures(&self, query: &FailureQuery, page: Page) -> Vec<DeliveryRecord>;
    fn to_redrive(&self, query: &FailureQuery, limit: u32) -> Vec<DeliveryRecord>;
    fn failure_count(&self, query: &FailureQuery) -> u64;
    fn replay_candidates(&self, webhook: &Webhook, after: u64, limit: u32) -> Vec<ReplayCandidate>;
    fn delivery_sequence(&self, webhook: WebhookId, id: DeliveryId) -> Option<u64>;
    fn insert_replays(&self, webhook: WebhookId, replays: Vec<NewReplay>) -> u64;
    fn record_redrives(&self, webhook: WebhookId, replay: NewReplay, attempt: Attempt) -> bool;
} }

erring! { LaneLog of log {
    fn lanes(&self, query: &LaneQuery, now: Timestamp, limit: u32) -> LanePage;
} }

erring! { AuditLog of log {
    fn append_audit(&self, entries: Vec<AuditEntry>) -> ();
    fn audit_entries(&self, query: &AuditQuery, page: Page) -> (Vec<AuditEntry>, u64);
    fn prune_audit(&self, before: Timestamp, limit: u32) -> u64;
} }

erring! { Upkeep of log {
    fn take_upkeep_turn(&self, work: &'static str, now: Timestamp, every: Duration) -> bool;
    fn sweep_removed(&self, limit: u32) -> Option<u64>;
    fn prune_messages(&self, before: Timestamp, limit: u32) -> u64;
    fn erase_person(&self, session: SessionId, person: &ChatId) -> Erased;
    fn files_to_remove(&self, now: Timestamp, from: Timestamp, limit: u32) -> Vec<MediaId>;
    fn files_removed(&self, files: &[MediaId], again: Option<Timestamp>) -> ();
    fn note_lost_files(&self, files: &[MediaId]) -> u64;
} }

erring! { Telemetry {
    fn lags(&self) -> Vec<WebhookLag>;
    fn doubtful_counts(&self) -> DoubtfulCounts;
    fn message_counts(&self) -> MessageCounts;
    fn activities(&self, sessions: &[SessionId]) -> Vec<(SessionId, Activity)>;
    fn keep_activity(&self, activities: Vec<(SessionId, Activity)>) -> ();
} and {
    fn writer(&self) -> WriterStats {
        self.store.writer()
    }
} }
