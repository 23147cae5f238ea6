//! What a ledger that comes from a backup must not do again.
//!
//! The copy is older than what the outside has seen since. The gateway went on after it, and so did WhatsApp, the
//! phones and the receivers. So:
//! - Ratchets (pairwise sessions, sender keys) are dropped, as the engine says which they are: going on with an old one
//!   would use keys a second time that were used for something else. Both sides begin new ones. The identity stays, so
//!   the device stays linked.
//! - What was on its way out is not sent again: it may have gone out after the copy. Messages have failed as `expired`,
//!   batches are cancelled, changes of messages and released approvals are given up. An ack or a receipt that comes
//!   later proves a message all the same.
//! - Sequences and positions of events jump, and everything up to there counts as pruned: numbers that were given after
//!   the copy are not given to other events, and whoever reads on is told that something is missing.
//! - Leases end and their numbers grow; logins of browsers end.
//!
//! What is delivered to webhooks is delivered again where the copy does not know better, with the same ids: at least
//! once, as always.

use std::sync::Arc;

use domain::{
    Entropy, EventId, SessionId, Timestamp,
    approval::{ApprovalAnswer, ApprovalChange, ApprovalState, ApprovalWrite},
    batch::BatchChange,
    event::{self, AckReport},
    failure::SendFailure,
    message::{Message, MessageStatus},
    port::{ApprovalStore as _, BatchStore as _, Ledger as _, LoginStore as _, MessageStore as _},
    port::{SessionStore as _, StoreResult, Write},
};

use crate::{
    db, device_key,
    error::{Doing as _, corrupt, not_owner},
    open::LedgerStore,
    writer::Unit,
};

/// More events than a session, or an installation, has between a backup and its restore.
const SEQUENCES_SKIPPED: i64 = 10_000_000;
const POSITIONS_SKIPPED: i64 = 1_000_000_000;
/// Approvals that are looked at in one go.
const APPROVALS_AT_ONCE: u32 = 100;
/// What the route would have answered: nobody knows what became of it.
const UNKNOWN_OUTCOME: u16 = 409;

const DOING: &str = "making a restored ledger ready";

db::statements! {
    SESSIONS = both("select id from session order by id");
    RENEW_SESSIONS = both("update session set lease_owner = null, lease_until = null, lease_epoch = lease_epoch + 1, \
         pruned_sequence = last_sequence + $1, last_sequence = last_sequence + $1");
    SKIP_POSITIONS = DialectPair {
        sqlite: "update counter set value = value + $1 where name = 'event_position' returning value",
        postgres: "select setval('event_position', last_value + $1) from event_position",
    };
    ALL_PRUNED = both("insert into counter (name, value) values ('event_pruned', $1) \
         on conflict (name) do update set value = excluded.value");
    DROP_CHANGES = both("delete from open_change where session_id = $1");
}

/// Makes the device of a session new from what is stored of it; nothing where it cannot be read.
pub type DeviceRenewal = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// What is dropped and renewed.
#[derive(Clone)]
pub struct Revival {
    /// Namespaces of the engine's keys that are dropped.
    pub forget: &'static [&'static str],
    /// Namespace and name of the device.
    pub device: (&'static str, &'static str),
    /// What becomes of the device.
    pub renew: DeviceRenewal,
    /// The time of the restore.
    pub now: Timestamp,
    /// For the ids of events.
    pub entropy: Arc<dyn Entropy>,
}

/// What was dropped and renewed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revived {
    /// All sessions of the ledger.
    pub sessions: u64,
    /// Those with a linked device, which begin new ratchets.
    pub devices: u64,
    /// Keys that are no more.
    pub keys: u64,
    /// Messages that had been on their way and have failed as `expired`.
    pub messages: u64,
    /// Edits, reactions and deletions that were given up.
    pub changes: u64,
    /// Batches that were cancelled.
    pub batches: u64,
    /// Released sends that were given up.
    pub approvals: u64,
}

impl LedgerStore {
    /// Makes a ledger that comes from a backup safe to run. Doing it twice does no harm.
    ///
    /// # Errors
    /// `NotOwner` while a gateway runs one of its sessions; else those of the database.
    pub async fn revive(&self, revival: &Revival) -> StoreResult<Revived> {
        if !self.held_sessions(revival.now).await?.is_empty() {
            return Err(not_owner(DOING));
        }
        let own = revival.clone();
        // One transaction: a ledger in which some ratchets are old must not be left behind.
        let job =
            self.writer.run(DOING, move |unit| Box::pin(async move { renew(unit, &own).await }));
        let (mut revived, sessions) = job.await?;
        self.caches.forget_lanes();
        for session in sessions {
            revived.messages += self.give_up_sends(session, revival).await?;
            revived.batches += self.cancel_batches(session, revival).await?;
        }
        revived.approvals = self.give_up_approvals(revival).await?;
        // All that there are: each ends at some time.
        self.delete_expired_logins(Timestamp::from_millis(i64::MAX)).await?;
        Ok(revived)
    }

    async fn give_up_sends(&self, session: SessionId, revival: &Revival) -> StoreResult<u64> {
        let mut given_up = 0;
        for send in self.unresolved_sends(session).await? {
            self.write(vec![failed(&send.message, revival)]).await?;
            given_up += 1;
        }
        Ok(given_up)
    }

    async fn cancel_batches(&self, session: SessionId, revival: &Revival) -> StoreResult<u64> {
        let mut cancelled = 0;
        for batch in self.unfinished_batches(session).await? {
            let change = Write::Batch {
                session,
                batch: batch.id,
                change: Box::new(BatchChange::Cancel),
                at: revival.now,
                event: revival.event_id(),
            };
            self.write(vec![change]).await?;
            cancelled += 1;
        }
        Ok(cancelled)
    }

    async fn give_up_approvals(&self, revival: &Revival) -> StoreResult<u64> {
        let mut given_up = 0;
        loop {
            let found = self.oldest_approvals(ApprovalState::Released, APPROVALS_AT_ONCE).await?;
            if found.is_empty() {
                return Ok(given_up);
            }
            for approval in found {
                let message = "restored from a backup: nobody knows whether it went out";
                let answer = ApprovalAnswer {
                    status: UNKNOWN_OUTCOME,
                    body: serde_json::json!({ "statusCode": UNKNOWN_OUTCOME, "message": message }),
                };
                let write = ApprovalWrite {
                    id: approval.id,
                    session: approval.session,
                    change: ApprovalChange::Finish { state: ApprovalState::Failed, answer },
                    event: revival.event_id(),
                };
                self.write(vec![Write::Approval(Box::new(write))]).await?;
                given_up += 1;
            }
        }
    }
}

impl Revival {
    fn event_id(&self) -> EventId {
        EventId::at(self.now, &*self.entropy)
    }
}

/// Everything that one statement per session, or for all, can do.
async fn renew(unit: &mut Unit, revival: &Revival) -> StoreResult<(Revived, Vec<SessionId>)> {
    let mut revived = Revived::default();
    let ids: Vec<String> =
        db::query_scalar(&SESSIONS).fetch_all(&mut unit.conn).await.doing(DOING)?;
    let mut sessions = Vec::with_capacity(ids.len());
    for id in ids {
        for namespace in revival.forget {
            revived.keys += device_key::forget(unit, &id, namespace).await?;
        }
        let renewed = device_key::rewrite(unit, &id, revival.device, &*revival.renew).await?;
        revived.devices += u64::from(renewed);
        let dropped = db::query(&DROP_CHANGES).bind(&id).execute(&mut unit.conn).await;
        revived.changes += dropped.doing(DOING)?.rows_affected();
        sessions.push(id.parse().map_err(|_| corrupt(DOING))?);
    }
    revived.sessions = sessions.len() as u64;
    db::query(&RENEW_SESSIONS)
        .bind(SEQUENCES_SKIPPED)
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    let last: Option<i64> = db::query_scalar(&SKIP_POSITIONS)
        .bind(POSITIONS_SKIPPED)
        .fetch_optional(&mut unit.conn)
        .await
        .doing(DOING)?;
    // Without a counter no event was ever recorded.
    if let Some(last) = last {
        db::query(&ALL_PRUNED).bind(last).execute(&mut unit.conn).await.doing(DOING)?;
    }
    Ok((revived, sessions))
}

/// A message that may have gone out, as it is told to the API and the webhooks.
fn failed(message: &Message, revival: &Revival) -> Write {
    let ack = AckReport {
        message: &message.wa_id,
        chat: &message.chat,
        from: &message.from,
        status: MessageStatus::Failed,
        code: None,
    };
    let (session, at) = (message.session, revival.now);
    Write::AdvanceMessage {
        session,
        wa_id: message.wa_id.clone(),
        status: MessageStatus::Failed,
        timestamp: None,
        metadata: SendFailure::Expired.metadata(),
        hold_until: None,
        events: vec![
            event::message_ack(revival.event_id(), session, &ack, at),
            event::message_failed(revival.event_id(), session, &ack, at),
        ],
    }
}
