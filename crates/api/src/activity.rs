//! When a session was last heard of.

use domain::{Timestamp, log::Activity};
use serde::Serialize;
use utoipa::ToSchema;

/// When a session was last heard of. An addition to OpenWA.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SessionActivity)]
pub struct ActivityBody {
    /// When WhatsApp last said something.
    #[schema(required)]
    last_engine_event_at: Option<String>,
    /// When an event was last stored.
    #[schema(required)]
    last_stored_at: Option<String>,
    /// When a webhook last took an event.
    #[schema(required)]
    last_delivered_at: Option<String>,
}

impl ActivityBody {
    /// Nothing for a session that was never heard of.
    pub fn of(activity: Activity) -> Option<Self> {
        (activity != Activity::default()).then(|| Self {
            last_engine_event_at: activity.engine_event.map(Timestamp::iso),
            last_stored_at: activity.stored.map(Timestamp::iso),
            last_delivered_at: activity.delivered.map(Timestamp::iso),
        })
    }
}
