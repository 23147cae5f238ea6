//! Events of batches.

use serde_json::{Value, json};

use super::{EventDraft, EventType, session_event};
use crate::{batch::Batch, ids::EventId, time::Timestamp};

/// An event of a batch, with the batch as it is now.
pub fn batch_event(id: EventId, kind: EventType, batch: &Batch, at: Timestamp) -> EventDraft {
    let key = format!("{}_{}_{}_{id}", kind.as_str().replace('.', "_"), batch.session, batch.id);
    session_event(id, batch.session, kind, key, at, batch_data(batch))
}

fn batch_data(batch: &Batch) -> Value {
    let mut data = json!({
        "batchId": batch.id,
        "status": batch.state.as_str(),
        "progress": batch.progress,
        "startedAt": batch.started_at.map(Timestamp::iso),
        "completedAt": batch.completed_at.map(Timestamp::iso),
    });
    if let Some(hold) = batch.hold {
        data["paused"] = json!({ "reason": hold.reason, "until": hold.until.map(Timestamp::iso) });
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::{BatchId, BatchOptions, BatchState, Hold, HoldReason, Progress},
        ids::SessionId,
    };

    #[test]
    fn the_event_of_a_batch_has_its_numbers_and_its_hold() {
        let batch = Batch {
            session: SessionId::from_uuid(uuid::Uuid::nil()),
            id: BatchId::parse("batch_7f3a").unwrap(),
            state: BatchState::Processing,
            hold: Some(Hold { reason: HoldReason::DailyCap, until: Some(Timestamp::default()) }),
            options: BatchOptions::default(),
            progress: Progress { total: 3, sent: 1, failed: 0, pending: 2, cancelled: 0 },
            created_at: Timestamp::default(),
            started_at: Some(Timestamp::default()),
            completed_at: None,
        };
        let id = EventId::from_uuid(uuid::Uuid::nil());
        let event = batch_event(id, EventType::BatchPaused, &batch, Timestamp::default());
        assert_eq!(
            event.data.text(),
            concat!(
                r#"{"batchId":"batch_7f3a","completedAt":null,"#,
                r#""paused":{"reason":"daily_cap","until":"1970-01-01T00:00:00.000Z"},"#,
                r#""progress":{"cancelled":0,"failed":0,"pending":2,"sent":1,"total":3},"#,
                r#""sessionId":"00000000-0000-0000-0000-000000000000","#,
                r#""startedAt":"1970-01-01T00:00:00.000Z","status":"processing"}"#,
            )
        );
    }
}
