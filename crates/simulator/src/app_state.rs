//! The shared app state of an account: encrypted changes in numbered patches, chained by a homomorphic hash.
//!
//! The server only stores and numbers patches. Reading and writing them is the phone's part, which holds the key.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use whatsapp_rust::{
    buffa::{Message as _, MessageField},
    wacore::appstate::{
        ExpandedAppStateKeys, Mutation, encode_record, expand_app_state_keys,
        hash::{HashState, generate_patch_mac},
        process_patch,
        schemas::{Collection, Schema},
    },
    waproto::{whatsapp as wa, whatsapp::syncd_mutation::SyncdOperation},
};

use crate::state::AppKey;

/// The name of a kind of change's collection.
pub(crate) const fn collection_name(schema: &Schema) -> &'static str {
    match schema.collection {
        Collection::Regular => "regular",
        Collection::RegularLow => "regular_low",
        Collection::RegularHigh => "regular_high",
        Collection::CriticalBlock => "critical_block",
        Collection::CriticalUnblockLow => "critical_unblock_low",
    }
}

/// Where a collection stands after its patches.
struct CollectionState {
    state: HashState,
    values: HashMap<Vec<u8>, Vec<u8>>,
    keys: Arc<ExpandedAppStateKeys>,
}

impl CollectionState {
    fn after(key: &AppKey, collection: &str, patches: &[Vec<u8>]) -> Result<Self> {
        let keys = Arc::new(expand_app_state_keys(&key.data));
        let mut standing = Self { state: HashState::default(), values: HashMap::new(), keys };
        for patch in patches {
            let patch = wa::SyncdPatch::decode_from_slice(patch)?;
            standing.take(collection, &patch)?;
        }
        Ok(standing)
    }

    /// Applies a patch, with every code in it verified.
    fn take(&mut self, collection: &str, patch: &wa::SyncdPatch) -> Result<Vec<Mutation>> {
        let done = process_patch(
            patch,
            &mut self.state,
            |_| Ok(self.keys.clone()),
            |index| Ok(self.values.get(index).cloned()),
            true,
            collection,
        )
        .context("the patch does not fit")?;
        for mac in done.added_macs {
            self.values.insert(mac.index_mac, mac.value_mac);
        }
        for index in done.removed_index_macs {
            self.values.remove(&index);
        }
        Ok(done.mutations)
    }
}

/// Verifies a patch on top of the known ones and returns what it changes: index and value.
pub(crate) fn read(
    key: &AppKey,
    collection: &str,
    known: &[Vec<u8>],
    patch: &wa::SyncdPatch,
) -> Result<Vec<(Vec<String>, Value)>> {
    let mut standing = CollectionState::after(key, collection, known)?;
    let mutations = standing.take(collection, patch)?;
    Ok(mutations
        .into_iter()
        .map(|mutation| {
            let value = match mutation.operation {
                SyncdOperation::REMOVE => Value::Null,
                _ => mutation.action_value.as_ref().map_or(Value::Null, summary),
            };
            (mutation.index, value)
        })
        .collect())
}

/// One change of the shared state, as the phone writes it.
pub(crate) struct PhoneChange<'a> {
    pub(crate) operation: SyncdOperation,
    pub(crate) index: &'a [&'a str],
    pub(crate) value: &'a wa::SyncActionValue,
    pub(crate) version: i32,
}

/// A patch with one change, on top of the known ones.
pub(crate) fn write(
    key: &AppKey,
    collection: &str,
    known: &[Vec<u8>],
    change: &PhoneChange<'_>,
) -> Result<wa::SyncdPatch> {
    let PhoneChange { operation, index, value, version } = *change;
    let CollectionState { mut state, values, keys } =
        CollectionState::after(key, collection, known)?;
    let index = serde_json::to_vec(index)?;
    let iv: [u8; 16] = rand::random();
    let (mutation, _) = encode_record(operation, &index, value, &keys, &key.id, &iv, version);
    let mutations = vec![mutation];
    let (_, updated) = state.update_hash(&mutations, |index, _| Ok(values.get(index).cloned()));
    updated?;
    state.version = known.len() as u64 + 1;
    let mut patch = wa::SyncdPatch {
        version: MessageField::some(wa::SyncdVersion { version: Some(state.version) }),
        mutations,
        snapshot_mac: Some(state.generate_snapshot_mac(collection, &keys.snapshot_mac)),
        key_id: MessageField::some(wa::KeyId { id: Some(key.id.to_vec()) }),
        ..Default::default()
    };
    patch.patch_mac = Some(generate_patch_mac(&patch, collection, &keys.patch_mac, state.version));
    Ok(patch)
}

/// What a change says, as far as tests ask.
fn summary(value: &wa::SyncActionValue) -> Value {
    let mut shown = serde_json::Map::new();
    if let Some(action) = value.archive_chat_action.as_option() {
        shown.insert("archived".to_owned(), json!(action.archived));
        shown.insert("messages".to_owned(), messages(action.message_range.as_option()));
    }
    if let Some(action) = value.pin_action.as_option() {
        shown.insert("pinned".to_owned(), json!(action.pinned));
    }
    if let Some(action) = value.mute_action.as_option() {
        shown.insert("muted".to_owned(), json!(action.muted));
        shown.insert("until".to_owned(), json!(action.mute_end_timestamp));
    }
    if let Some(action) = value.mark_chat_as_read_action.as_option() {
        shown.insert("read".to_owned(), json!(action.read));
        shown.insert("messages".to_owned(), messages(action.message_range.as_option()));
    }
    if let Some(action) = value.star_action.as_option() {
        shown.insert("starred".to_owned(), json!(action.starred));
    }
    if let Some(action) = value.delete_chat_action.as_option() {
        shown.insert("messages".to_owned(), messages(action.message_range.as_option()));
    }
    if let Some(action) = value.clear_chat_action.as_option() {
        shown.insert("messages".to_owned(), messages(action.message_range.as_option()));
    }
    if let Some(action) = value.delete_message_for_me_action.as_option() {
        shown.insert("timestamp".to_owned(), json!(action.message_timestamp));
    }
    if let Some(action) = value.label_edit_action.as_option() {
        shown.insert("name".to_owned(), json!(action.name));
        shown.insert("color".to_owned(), json!(action.color));
        shown.insert("deleted".to_owned(), json!(action.deleted));
    }
    if let Some(action) = value.label_association_action.as_option() {
        shown.insert("labeled".to_owned(), json!(action.labeled));
    }
    if let Some(action) = value.contact_action.as_option() {
        shown.insert("name".to_owned(), json!(action.full_name));
    }
    Value::Object(shown)
}

/// Ids of the messages up to which a change is meant.
fn messages(range: Option<&wa::sync_action_value::SyncActionMessageRange>) -> Value {
    let messages = range.map(|range| &range.messages);
    let ids = messages.into_iter().flatten().filter_map(|message| message.key.id.clone());
    json!(ids.collect::<Vec<_>>())
}
