//! What a session sent today.

use domain::{Timestamp, pacing::DaySends};
use serde::Serialize;
use utoipa::ToSchema;

/// What a session sent on this day of UTC, against what `SEND_PACING_*` lets it send. An addition to OpenWA.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SendsToday, example = json!({
    "sent": 12, "sentMax": 20, "newChats": 3, "newChatsMax": 5, "resetsAt": "2026-10-02T00:00:00.000Z"
}))]
pub struct DaySendsBody {
    /// With pacing: the sends of this API that took one of the day's places. Without pacing: messages of the account,
    /// from this API or from another device.
    sent: u64,
    /// How many sends there may be today, by the age of the session; `null` without a limit.
    #[schema(required)]
    sent_max: Option<u32>,
    /// Chats begun today in which nobody had written before; `null` where they are not counted, so without pacing.
    #[schema(required)]
    new_chats: Option<u64>,
    /// How many chats may be begun today, by the age of the session; `null` without a limit.
    #[schema(required)]
    new_chats_max: Option<u32>,
    /// When the day ends and counting begins anew.
    resets_at: String,
}

impl From<DaySends> for DaySendsBody {
    fn from(sends: DaySends) -> Self {
        Self {
            sent: sends.sent,
            sent_max: sends.sent_max,
            new_chats: sends.new_chats,
            new_chats_max: sends.new_chats_max,
            resets_at: Timestamp::iso(sends.resets_at),
        }
    }
}
