//! The address book that the account's devices share, in the collection of the app state where WhatsApp keeps it.
//!
//! The library saves names. It has no way to remove an entry, so the patch that does it is built here, with the
//! library's own parts, and applied by the library's own sync like one of another device.

use std::sync::Arc;

use domain::{PhoneNumber, chat::ContactName, port::EngineError};
use whatsapp_rust::{
    Client, Jid, NodeBuilder,
    buffa::MessageField,
    request::{InfoQuery, InfoQueryType},
    schemas::CONTACT,
    sync_task::MajorSyncTask,
    traits::AppSyncStore as _,
    wacore::{
        appstate::{
            ExpandedAppStateKeys, encode_record, expand_app_state_keys,
            hash::generate_index_mac,
            patch_decode::{CollectionSyncError, WAPatchName, parse_patch_list},
        },
        appstate_sync::AppStateProcessor,
        time,
    },
    wacore_binary::{NodeContent, Server},
    waproto::whatsapp::{
        SyncActionValue, SyncdMutation, sync_action_value::ContactAction,
        syncd_mutation::SyncdOperation,
    },
};

use crate::{failure, keys::LedgerBackend, runtime::ConnectionTasks};

/// The collection of the address book.
const COLLECTION: WAPatchName = WAPatchName::CriticalUnblockLow;
/// Tries while other devices change the same collection.
const TRIES: u32 = 4;

/// Saves or renames an entry.
pub(crate) async fn save(
    client: &Client,
    phone: &PhoneNumber,
    name: &ContactName,
) -> Result<(), EngineError> {
    let (full, first) = (Some(name.full()), Some(name.first.clone()));
    let saved =
        client.chat_actions().save_contact(&Jid::pn(phone.digits()), full, first, true).await;
    saved.map_err(failure::of_app_state)
}

/// Removes an entry; one that is not there is fine.
pub(crate) async fn remove(
    client: &Arc<Client>,
    backend: &Arc<LedgerBackend>,
    tasks: &ConnectionTasks,
    phone: &PhoneNumber,
) -> Result<(), EngineError> {
    let processor = AppStateProcessor::new(backend.clone() as _, Arc::new(tasks.clone()) as _);
    let index = serde_json::to_vec(&[CONTACT.name, &Jid::pn(phone.digits()).to_string()]);
    let index = index.map_err(|error| failure::of_any(error.into()))?;
    for _ in 0..TRIES {
        let mutations = removals(backend, &index).await.map_err(failure::of_any)?;
        if mutations.is_empty() {
            return Ok(());
        }
        let built = processor.build_patch(COLLECTION.as_str(), mutations).await;
        let (patch, base) = built.map_err(failure::of_any)?;
        let conflict = send(client, patch, base).await?;
        // Ours comes back with it, and what other devices changed meanwhile.
        let sync = MajorSyncTask::AppStateSync { name: COLLECTION, full_sync: false };
        Box::pin(client.process_sync_task(sync)).await;
        if !conflict {
            return Ok(());
        }
    }
    Err(EngineError::Unanswered(None))
}

/// One removal for each key under which the entry is stored: keys change, and entries stay under theirs.
async fn removals(backend: &LedgerBackend, index: &[u8]) -> anyhow::Result<Vec<SyncdMutation>> {
    let mut mutations = Vec::new();
    for (id, data) in backend.sync_keys().await? {
        let keys = expand_app_state_keys(&data);
        let mac = generate_index_mac(index, &keys.index);
        if backend.get_mutation_mac(COLLECTION.as_str(), &mac).await?.is_some() {
            mutations.push(removal(index, &keys, &id)?);
        }
    }
    Ok(mutations)
}

fn removal(
    index: &[u8],
    keys: &ExpandedAppStateKeys,
    key_id: &[u8],
) -> anyhow::Result<SyncdMutation> {
    let value = SyncActionValue {
        contact_action: MessageField::some(ContactAction::default()),
        timestamp: Some(time::now_millis()),
        ..Default::default()
    };
    let mut iv = [0; 16];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut iv).map_err(|_| anyhow::anyhow!("there is no randomness"))?;
    let version = i32::try_from(CONTACT.version)?;
    let remove = SyncdOperation::REMOVE;
    Ok(encode_record(remove, index, &value, keys, key_id, &iv, version).0)
}

/// Sends a patch; whether another device was faster.
async fn send(client: &Client, patch: Vec<u8>, base: u64) -> Result<bool, EngineError> {
    let collection = NodeBuilder::new("collection")
        .attr("name", COLLECTION.as_str())
        .attr("version", base)
        .attr("return_snapshot", "false")
        .children([NodeBuilder::new("patch").bytes(patch).build()])
        .build();
    let sync = NodeBuilder::new("sync").children([collection]).build();
    let query = InfoQuery {
        namespace: "w:sync:app:state",
        query_type: InfoQueryType::Set,
        to: Jid::new("", Server::Pn),
        target: None,
        id: None,
        content: Some(NodeContent::Nodes(vec![sync])),
        timeout: None,
    };
    let answer = client.send_iq(query).await.map_err(failure::of_request)?;
    // An answer without a word about the collection has taken the patch.
    let Ok(list) = parse_patch_list(&answer.get().to_owned()) else { return Ok(false) };
    match list.error {
        None => Ok(false),
        Some(CollectionSyncError::Conflict { .. }) => Ok(true),
        Some(error) => Err(EngineError::Refused(error.to_string())),
    }
}
