//! What WhatsApp says about this account's limits: the lock on first messages to strangers, and how many chats it may
//! begin. Asked after each login, after a refusal because of them, and when a lock should be over; heard when WhatsApp
//! tells by itself. The library knows the first question only; the other goes through its generic queries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{
    Clock, Timestamp,
    port::EngineSignal,
    session::{LimitNews, NewChatQuota, ReachoutLock},
};
use serde_json::{Value, json};
use whatsapp_rust::{Client, MexRequest, types::events::MexNotification};

use crate::{runtime::ConnectionTasks, signals::SideSignals};

/// The name of the persisted query for new chats, for logs.
const NEW_CHATS_NAME: &str = "MessageCappingInfo";
/// Its number: read in another client, the library does not have it.
const NEW_CHATS_DOC: &str = "24503548349331633";
/// How WhatsApp tells that the lock has changed.
const LOCK_CHANGED: &str = "NotificationUserReachoutTimelockUpdate";
/// How WhatsApp tells that the number of new chats has changed.
const NEW_CHATS_CHANGED: &str = "MessageCappingInfoNotification";
/// After the end of a lock, before it is asked for again: clocks differ.
const AFTER_THE_END: Duration = Duration::from_secs(5);
/// The longest wait for the end of a lock; longer ones are asked for again in between.
const RECHECK_MAX: Duration = Duration::from_secs(24 * 3600);

/// Watches the limits of one connection's account.
#[derive(Clone)]
pub(crate) struct LimitWatch {
    client: Arc<Client>,
    said: SideSignals,
    tasks: ConnectionTasks,
    clock: Arc<dyn Clock>,
    /// A question is under way: many refusals ask once.
    asking: Arc<AtomicBool>,
    /// The end that is waited for, epoch milliseconds; 0 for none.
    waits_for: Arc<AtomicI64>,
}

impl LimitWatch {
    pub fn new(
        client: &Arc<Client>,
        said: &SideSignals,
        tasks: &ConnectionTasks,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            client: client.clone(),
            said: said.clone(),
            tasks: tasks.clone(),
            clock: clock.clone(),
            asking: Arc::default(),
            waits_for: Arc::default(),
        }
    }

    /// Asks WhatsApp, in a task of its own.
    pub fn ask(&self) {
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let watch = self.clone();
        self.tasks.start(async move {
            // Before the answers: a refusal from now on asks anew.
            watch.asking.store(false, Ordering::Release);
            match Box::pin(watch.client.mex().fetch_reachout_timelock()).await {
                Ok(lock) => watch.learn_lock(
                    lock.is_active == Some(true),
                    lock.enforcement_type,
                    lock.time_enforcement_ends.as_deref().and_then(seconds),
                ),
                Err(error) => {
                    tracing::debug!(%error, "WhatsApp did not say whether it locks first messages");
                }
            }
            let variables = json!({ "input": { "type": "INDIVIDUAL_NEW_CHAT_MSG" } });
            let request = MexRequest::new(NEW_CHATS_NAME, NEW_CHATS_DOC, variables);
            match Box::pin(watch.client.mex().query(request)).await {
                Ok(answer) => {
                    let quota = answer.data.as_ref().map(|data| &data["xwa2_message_capping_info"]);
                    watch.learn_quota(quota.unwrap_or(&Value::Null));
                }
                Err(error) => {
                    tracing::debug!(%error, "WhatsApp did not say how many chats may begin");
                }
            }
        });
    }

    /// WhatsApp tells by itself.
    pub fn heard(&self, news: &MexNotification) {
        let data = &news.payload["data"];
        match news.op_name.as_str() {
            LOCK_CHANGED => {
                let lock = &data["xwa2_notify_account_reachout_timelock"];
                let ends = lock["time_enforcement_ends"].as_str().and_then(seconds);
                let enforcement = lock["enforcement_type"].as_str().map(str::to_owned);
                self.learn_lock(lock["is_active"] == true, enforcement, ends);
            }
            NEW_CHATS_CHANGED => {
                self.learn_quota(&data["xwa2_notify_new_chat_messages_capping_info_update"]);
            }
            _ => {}
        }
    }

    fn learn_lock(&self, active: bool, enforcement: Option<String>, ends: Option<Timestamp>) {
        let lock = active.then(|| ReachoutLock {
            enforcement: enforcement.unwrap_or_else(|| "DEFAULT".to_owned()),
            ends,
        });
        if let Some(ends) = ends.filter(|_| active) {
            self.ask_after(ends);
        }
        self.said.say(EngineSignal::Limits(LimitNews::Reachout(lock)));
    }

    fn learn_quota(&self, said: &Value) {
        let quota = quota(said);
        if let Some(ends) =
            quota.as_ref().filter(|quota| quota.is_used_up()).and_then(|quota| quota.cycle_ends)
        {
            self.ask_after(ends);
        }
        self.said.say(EngineSignal::Limits(LimitNews::NewChats(quota)));
    }

    /// One task waits at a time, for the end that was told last.
    fn ask_after(&self, ends: Timestamp) {
        if self.waits_for.swap(ends.millis(), Ordering::AcqRel) == ends.millis() {
            return;
        }
        let watch = self.clone();
        self.tasks.start(async move {
            let wait = ends.since(watch.clock.now()).min(RECHECK_MAX);
            tokio::time::sleep(wait + AFTER_THE_END).await;
            let still = watch.waits_for.compare_exchange(
                ends.millis(),
                0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if still.is_ok() {
                watch.ask();
            }
        });
    }
}

fn quota(said: &Value) -> Option<NewChatQuota> {
    let number = |name: &str| said[name].as_u64().and_then(|count| u32::try_from(count).ok());
    Some(NewChatQuota {
        total: number("total_quota")?,
        used: number("used_quota").unwrap_or_default(),
        status: said["capping_status"].as_str().map(str::to_owned),
        cycle_ends: said["cycle_end_timestamp"].as_str().and_then(seconds),
    })
}

/// WhatsApp writes times as texts, epoch seconds.
fn seconds(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|seconds| *seconds > 0).map(Timestamp::from_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_where_there_is_one() {
        let said = json!({
            "total_quota": 50, "used_quota": 45, "cycle_end_timestamp": "1790841600",
            "capping_status": "FIRST_WARNING",
        });
        let read = quota(&said).unwrap();
        assert_eq!((read.used, read.total, read.remaining()), (45, 50, 5));
        assert_eq!(read.cycle_ends, Some(Timestamp::from_seconds(1_790_841_600)));
        assert_eq!(quota(&Value::Null), None);
        assert_eq!(quota(&json!({ "used_quota": 3 })), None);
    }

    #[test]
    fn a_time_that_is_none_is_no_time() {
        assert_eq!(seconds("0"), None);
        assert_eq!(seconds("soon"), None);
    }
}
