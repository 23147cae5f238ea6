//! Events of plugins, in the session whose call led to them.

use serde_json::json;

use super::{EventDraft, EventType, session_event};
use crate::{
    ids::{EventId, SessionId},
    plugin::PluginId,
    time::Timestamp,
};

/// A plugin is not asked until a time, and why.
pub fn plugin_suspended(
    id: EventId,
    (session, plugin): (SessionId, &PluginId),
    (until, reason): (Timestamp, &str),
    at: Timestamp,
) -> EventDraft {
    let data = json!({ "pluginId": plugin.as_str(), "until": until.iso(), "reason": reason });
    let key = format!("plugin_suspended_{session}_{plugin}_{id}");
    session_event(id, session, EventType::PluginSuspended, key, at, data)
}

/// A plugin that was suspended works again.
pub fn plugin_resumed(
    id: EventId,
    (session, plugin): (SessionId, &PluginId),
    at: Timestamp,
) -> EventDraft {
    let data = json!({ "pluginId": plugin.as_str() });
    let key = format!("plugin_resumed_{session}_{plugin}_{id}");
    session_event(id, session, EventType::PluginResumed, key, at, data)
}
