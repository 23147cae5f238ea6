//! What WhatsApp says about an account's limits: the lock on first messages to strangers, and how many new chats an
//! account may begin in a while. A test sets them; the account's devices are told at once, may ask, and are refused
//! with 463 where a limit is met. Nobody who has written to the account is a stranger.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use whatsapp_rust::wacore_binary::{Node, NodeRef};

use crate::{
    hub::Hub,
    state::{DeviceKey, ServerState},
    wire::{Build, attr, child, child_bytes, now_seconds, result, server_jid},
};

/// Code of a refusal because of a limit.
const COLD_REFUSED: u16 = 463;
/// The persisted query for the lock on first messages.
const TIMELOCK_QUERY: &str = "23983697327930364";
/// The persisted query for new chats.
const NEW_CHATS_QUERY: &str = "24503548349331633";

/// The lock on first messages to strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timelock {
    /// WhatsApp's word for the reason, like `DEFAULT` or `BIZ_QUALITY`.
    pub enforcement: String,
    /// When it ends, epoch seconds; nothing is told when it is not known.
    pub ends: Option<u64>,
}

/// How many new chats an account may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewChats {
    /// Begun in this cycle.
    pub used: u32,
    /// As many as it may begin.
    pub total: u32,
    /// When the next cycle begins, epoch seconds.
    pub cycle_ends: Option<u64>,
}

/// The limits of all accounts, by phone number.
#[derive(Default)]
pub(crate) struct Limits {
    accounts: Mutex<HashMap<String, AccountLimits>>,
}

#[derive(Default)]
struct AccountLimits {
    timelock: Option<Timelock>,
    new_chats: Option<NewChats>,
    /// Strangers who were written to; they count once.
    reached: HashSet<String>,
}

impl Limits {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, AccountLimits>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets or lifts the lock of an account, and tells its devices.
pub(crate) fn set_timelock(hub: &Hub, phone: &str, timelock: Option<Timelock>) -> Result<()> {
    let told = json!({ "xwa2_notify_account_reachout_timelock": timelock_json(timelock.as_ref()) });
    hub.state().account(phone)?;
    hub.limits.lock().entry(phone.to_owned()).or_default().timelock = timelock;
    tell(hub, phone, "NotificationUserReachoutTimelockUpdate", &told)
}

/// Sets or lifts the number of new chats of an account, and tells its devices.
pub(crate) fn set_new_chats(hub: &Hub, phone: &str, new_chats: Option<NewChats>) -> Result<()> {
    let told = new_chats_json(new_chats.as_ref());
    let told = json!({ "xwa2_notify_new_chat_messages_capping_info_update": told });
    hub.state().account(phone)?;
    {
        let mut accounts = hub.limits.lock();
        let limits = accounts.entry(phone.to_owned()).or_default();
        (limits.new_chats, limits.reached) = (new_chats, HashSet::new());
    }
    tell(hub, phone, "MessageCappingInfoNotification", &told)
}

fn tell(hub: &Hub, phone: &str, operation: &str, data: &Value) -> Result<()> {
    let body = json!({ "data": data }).to_string().into_bytes();
    let update = Build::new("update").attr("op_name", operation).bytes(body).build();
    let notification = Build::new("notification")
        .attr("from", server_jid())
        .attr("type", "mex")
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .children([update])
        .build();
    let notification = Arc::new(notification);
    let mut state = hub.state();
    let devices: Vec<u16> = state.account(phone)?.devices.keys().copied().collect();
    for device in devices {
        hub.deliver(&mut state, &DeviceKey::new(phone, device), notification.clone());
    }
    Ok(())
}

/// Whether a request asks for limits.
pub(crate) fn is_asked(request: &NodeRef<'_>) -> bool {
    let query = request.get_optional_child("query").and_then(|query| attr(query, "query_id"));
    matches!(query.as_deref(), Some(TIMELOCK_QUERY | NEW_CHATS_QUERY))
}

/// Answers a request for limits.
pub(crate) fn answer(hub: &Hub, id: &str, who: &DeviceKey, request: &NodeRef<'_>) -> Result<Node> {
    let query = child(request, "query")?;
    let accounts = hub.limits.lock();
    let limits = accounts.get(&who.phone);
    let data = match attr(query, "query_id").context("a query without an id")?.as_str() {
        TIMELOCK_QUERY => {
            let timelock = limits.and_then(|limits| limits.timelock.as_ref());
            json!({ "xwa2_fetch_account_reachout_timelock": timelock_json(timelock) })
        }
        _ => {
            // It says which kind of limit it is about; there is one.
            child_bytes(request, "query")?;
            let new_chats = limits.and_then(|limits| limits.new_chats.as_ref());
            json!({ "xwa2_message_capping_info": new_chats_json(new_chats) })
        }
    };
    let body = json!({ "data": data }).to_string().into_bytes();
    Ok(result(id).children([Build::new("result").bytes(body).build()]).build())
}

/// Why a message of a device is refused, if a limit stands against it.
pub(crate) fn refusal(hub: &Hub, state: &ServerState, who: &DeviceKey, to: &str) -> Option<u16> {
    let mut accounts = hub.limits.lock();
    let limits = accounts.get_mut(&who.phone)?;
    let phone = &state.accounts.get(&who.phone)?.handset.phone;
    let heard = |message: &crate::phone::ReceivedMessage| {
        message.from_phone == to && message.group.is_none()
    };
    if to == who.phone || phone.inbox.find(heard).is_some() {
        return None;
    }
    if limits.timelock.is_some() {
        return Some(COLD_REFUSED);
    }
    let new_chats = limits.new_chats.as_mut()?;
    if limits.reached.contains(to) {
        return None;
    }
    if new_chats.used >= new_chats.total {
        return Some(COLD_REFUSED);
    }
    new_chats.used += 1;
    limits.reached.insert(to.to_owned());
    None
}

fn timelock_json(timelock: Option<&Timelock>) -> Value {
    match timelock {
        None => json!({ "is_active": false }),
        Some(lock) => json!({
            "is_active": true,
            "enforcement_type": lock.enforcement,
            "time_enforcement_ends": lock.ends.map(|ends| ends.to_string()),
        }),
    }
}

fn new_chats_json(new_chats: Option<&NewChats>) -> Value {
    let Some(chats) = new_chats else {
        return Value::Null;
    };
    let capped = chats.used >= chats.total;
    json!({
        "total_quota": chats.total,
        "used_quota": chats.used,
        "cycle_end_timestamp": chats.cycle_ends.map(|ends| ends.to_string()),
        "server_sent_timestamp": now_seconds().to_string(),
        "capping_status": if capped { "CAPPED" } else { "NONE" },
    })
}
