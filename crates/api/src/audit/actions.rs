//! Which routes are written down, and as what.

use axum::http::Method;

/// Method, route, action.
const ACTIONS: &[(&str, &str, &str)] = &[
    ("POST", "/api/auth/api-keys", "api_key_created"),
    ("PUT", "/api/auth/api-keys/{id}", "api_key_updated"),
    ("POST", "/api/auth/api-keys/{id}/revoke", "api_key_revoked"),
    ("DELETE", "/api/auth/api-keys/{id}", "api_key_deleted"),
    ("POST", "/api/auth/api-keys/revoke-all", "api_keys_revoked"),
    ("POST", "/api/sends/pause", "sends_paused"),
    ("POST", "/api/sends/resume", "sends_resumed"),
    ("POST", "/api/approvals/{id}/release", "approval_released"),
    ("POST", "/api/approvals/{id}/refuse", "approval_refused"),
    ("POST", "/api/auth/session", "logged_in"),
    ("DELETE", "/api/auth/session", "logged_out"),
    ("POST", "/api/auth/session/link", "login_link_created"),
    ("POST", "/api/sessions", "session_created"),
    ("POST", "/api/sessions/{sessionId}/start", "session_started"),
    ("POST", "/api/sessions/{sessionId}/stop", "session_stopped"),
    ("POST", "/api/sessions/{sessionId}/logout", "session_logged_out"),
    ("POST", "/api/sessions/{sessionId}/force-kill", "session_force_killed"),
    ("DELETE", "/api/sessions/{sessionId}", "session_deleted"),
    ("PATCH", "/api/sessions/{sessionId}/config", "session_config_updated"),
    ("PATCH", "/api/sessions/{sessionId}/proxy", "session_config_updated"),
    ("GET", "/api/sessions/{sessionId}/qr", "session_qr_generated"),
    ("POST", "/api/sessions/{sessionId}/pairing-code", "session_qr_generated"),
    ("POST", "/api/sessions/{sessionId}/passkey/response", "session_qr_generated"),
    ("POST", "/api/sessions/{sessionId}/passkey/confirm", "session_qr_generated"),
    ("POST", "/api/sessions/{sessionId}/webhooks", "webhook_created"),
    ("PUT", "/api/infra/config", "infra_config_saved"),
    ("POST", "/api/infra/restart", "infra_restart_requested"),
    ("GET", "/api/infra/export-data", "infra_data_exported"),
    ("POST", "/api/infra/import-data", "infra_data_imported"),
    ("GET", "/api/infra/storage/archive", "infra_storage_exported"),
    ("POST", "/api/infra/storage/import", "infra_storage_imported"),
    ("POST", "/api/plugins/install", "plugin_installed"),
    ("POST", "/api/plugins/install-url", "plugin_installed"),
    ("POST", "/api/plugins/{id}/update", "plugin_updated"),
    ("DELETE", "/api/plugins/{id}", "plugin_deleted"),
    ("POST", "/api/plugins/{id}/enable", "plugin_enabled"),
    ("POST", "/api/plugins/{id}/disable", "plugin_disabled"),
    ("PUT", "/api/plugins/{id}/config", "plugin_config_updated"),
    ("PUT", "/api/plugins/{id}/config/{sessionId}", "plugin_config_updated"),
    ("PUT", "/api/plugins/{id}/sessions", "plugin_sessions_updated"),
    ("POST", "/api/integration/plugins/{pluginId}/instances", "integration_instance_created"),
    (
        "PATCH",
        "/api/integration/plugins/{pluginId}/instances/{instanceId}",
        "integration_instance_updated",
    ),
    (
        "DELETE",
        "/api/integration/plugins/{pluginId}/instances/{instanceId}",
        "integration_instance_deleted",
    ),
    (
        "POST",
        "/api/integration/plugins/{pluginId}/instances/{instanceId}/regenerate-secret",
        "integration_instance_secret_regenerated",
    ),
    (
        "POST",
        "/api/integration/instances/{pluginId}/{instanceId}/redrive",
        "integration_instance_redriven",
    ),
    ("PUT", "/api/sessions/{sessionId}/webhooks/{id}", "webhook_updated"),
    ("DELETE", "/api/sessions/{sessionId}/webhooks/{id}", "webhook_deleted"),
    ("POST", "/api/sessions/{sessionId}/webhooks/{id}/test", "webhook_triggered"),
    ("POST", "/api/sessions/{sessionId}/webhooks/{id}/pause", "webhook_paused"),
    ("POST", "/api/sessions/{sessionId}/webhooks/{id}/resume", "webhook_resumed"),
    ("POST", "/api/webhooks/{id}/replay", "webhook_redriven"),
    ("POST", "/api/webhooks/delivery-failures/redrive", "webhook_redriven"),
    ("POST", "/api/sessions/{sessionId}/messages/delete", "message_deleted"),
    ("POST", "/api/sessions/{sessionId}/messages/edit", "message_edited"),
    ("POST", "/api/sessions/{sessionId}/messages/send-bulk", "batch_created"),
    ("POST", "/api/sessions/{sessionId}/messages/send-bulk/import", "batch_created"),
    ("POST", "/api/sessions/{sessionId}/messages/batch/{batchId}/cancel", "batch_cancelled"),
    ("POST", "/api/sessions/{sessionId}/messages/batch/{batchId}/pause", "batch_paused"),
    ("POST", "/api/sessions/{sessionId}/messages/batch/{batchId}/resume", "batch_resumed"),
    ("POST", "/api/sessions/{sessionId}/chats/delete", "chat_deleted"),
    ("DELETE", "/api/sessions/{sessionId}/chats/{chatId}/messages", "chat_cleared"),
    ("DELETE", "/api/sessions/{sessionId}/contacts/{contactId}/data", "contact_erased"),
    ("POST", "/api/sessions/{sessionId}/automation-rules", "automation_rule_created"),
    ("PUT", "/api/sessions/{sessionId}/automation-rules/{ruleId}", "automation_rule_updated"),
    ("DELETE", "/api/sessions/{sessionId}/automation-rules/{ruleId}", "automation_rule_deleted"),
    ("POST", "/api/sessions/{sessionId}/messages/click-button", "message_sent"),
    ("POST", "/api/sessions/{sessionId}/status/send-text", "status_posted"),
    ("POST", "/api/sessions/{sessionId}/status/send-image", "status_posted"),
    ("POST", "/api/sessions/{sessionId}/status/send-video", "status_posted"),
    ("POST", "/api/sessions/{sessionId}/status/send-voice", "status_posted"),
    ("DELETE", "/api/sessions/{sessionId}/status/{id}", "status_deleted"),
    ("POST", "/api/sessions/{sessionId}/channels", "channel_created"),
    ("POST", "/api/sessions/{sessionId}/channels/subscribe", "channel_subscribed"),
    ("DELETE", "/api/sessions/{sessionId}/channels/{channelId}", "channel_unsubscribed"),
    ("POST", "/api/sessions/{sessionId}/channels/{channelId}/delete", "channel_deleted"),
    ("POST", "/api/sessions/{sessionId}/channels/{channelId}/mute", "channel_muted"),
    (
        "POST",
        "/api/sessions/{sessionId}/channels/{channelId}/admins/demote",
        "channel_admin_demoted",
    ),
    (
        "POST",
        "/api/sessions/{sessionId}/channels/{channelId}/owner/transfer",
        "channel_transferred",
    ),
    ("PUT", "/api/sessions/{sessionId}/labels/{labelId}", "label_saved"),
    ("DELETE", "/api/sessions/{sessionId}/labels/{labelId}", "label_deleted"),
    ("POST", "/api/sessions/{sessionId}/labels/chat/{chatId}", "label_added"),
    ("DELETE", "/api/sessions/{sessionId}/labels/chat/{chatId}/{labelId}", "label_removed"),
    ("PUT", "/api/sessions/{sessionId}/contacts/{contactId}", "contact_saved"),
    ("DELETE", "/api/sessions/{sessionId}/contacts/{contactId}", "contact_deleted"),
    ("POST", "/api/sessions/{sessionId}/contacts/{contactId}/block", "contact_blocked"),
    ("DELETE", "/api/sessions/{sessionId}/contacts/{contactId}/block", "contact_unblocked"),
    ("PUT", "/api/sessions/{sessionId}/profile/name", "profile_updated"),
    ("PUT", "/api/sessions/{sessionId}/profile/status", "profile_updated"),
    ("PUT", "/api/sessions/{sessionId}/profile/picture", "profile_updated"),
    ("DELETE", "/api/sessions/{sessionId}/profile/picture", "profile_updated"),
    ("POST", "/api/sessions/{sessionId}/calls/{callId}/reject", "call_rejected"),
    ("POST", "/api/sessions/{sessionId}/groups", "group_created"),
    ("POST", "/api/sessions/{sessionId}/groups/join", "group_joined"),
    ("POST", "/api/sessions/{sessionId}/groups/{groupId}/leave", "group_left"),
    ("PUT", "/api/sessions/{sessionId}/groups/{groupId}/picture", "group_updated"),
    ("DELETE", "/api/sessions/{sessionId}/groups/{groupId}/picture", "group_updated"),
    ("PUT", "/api/sessions/{sessionId}/groups/{groupId}/subject", "group_updated"),
    ("PUT", "/api/sessions/{sessionId}/groups/{groupId}/description", "group_updated"),
    ("PUT", "/api/sessions/{sessionId}/groups/{groupId}/settings", "group_updated"),
    (
        "POST",
        "/api/sessions/{sessionId}/groups/{groupId}/invite-code/revoke",
        "group_invite_revoked",
    ),
    (
        "POST",
        "/api/sessions/{sessionId}/groups/{groupId}/participants",
        "group_participants_changed",
    ),
    (
        "DELETE",
        "/api/sessions/{sessionId}/groups/{groupId}/participants",
        "group_participants_changed",
    ),
    (
        "POST",
        "/api/sessions/{sessionId}/groups/{groupId}/participants/promote",
        "group_participants_changed",
    ),
    (
        "POST",
        "/api/sessions/{sessionId}/groups/{groupId}/participants/demote",
        "group_participants_changed",
    ),
    (
        "POST",
        "/api/sessions/{sessionId}/groups/{groupId}/membership-requests/approve",
        "group_requests_decided",
    ),
    (
        "POST",
        "/api/sessions/{sessionId}/groups/{groupId}/membership-requests/reject",
        "group_requests_decided",
    ),
    ("POST", "/api/sessions/{sessionId}/templates", "template_created"),
    ("PUT", "/api/sessions/{sessionId}/templates/{id}", "template_updated"),
    ("DELETE", "/api/sessions/{sessionId}/templates/{id}", "template_deleted"),
];
/// The action of [`SENDS`].
pub(super) const SENT: &str = "message_sent";
/// Routes that send one message: what follows the session in their path begins so. Each send is an entry; they are
/// written soon, not before the answer: the message itself is in the ledger already.
const SENDS: [&str; 3] = ["/messages/send-", "/messages/reply", "/messages/forward"];

/// What a route does, if that is written down.
pub(super) fn action(method: &Method, route: &str) -> Option<&'static str> {
    let listed = |(verb, path, _): &&(&str, &str, &str)| *path == route && *verb == method.as_str();
    if let Some((.., action)) = ACTIONS.iter().find(listed) {
        return Some(action);
    }
    let of_session = route.strip_prefix("/api/sessions/{sessionId}")?;
    let sends = method == Method::POST && SENDS.iter().any(|prefix| of_session.starts_with(prefix));
    sends.then_some(SENT)
}
