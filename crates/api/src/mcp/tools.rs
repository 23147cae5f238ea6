//! The tools of OpenWA's contract, each a route of this API: a tool exists exactly when its route is served.

use axum::http::Method;
use domain::api_key::{ApiKey, Role};
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::Value;

use super::input::{Inputs, inputs_of};

/// What a tool does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    /// It changes nothing.
    Read,
    /// It changes something.
    Write,
    /// It changes something that may have been there before.
    Destructive,
}

use Tier::{Destructive, Read, Write};

const SESSION: &str = "/api/sessions/{sessionId}";

/// Name, method, tier, and the route: of a session when it begins without `/api`.
type ToolRow = (&'static str, &'static str, Tier, &'static str);

/// Every tool of the contract.
#[rustfmt::skip]
const TABLE: &[ToolRow] = &[
    ("SessionFindAll", "GET", Read, "/api/sessions"),
    ("SessionFindOne", "GET", Read, ""),
    ("SessionGetChats", "GET", Read, "/chats"),
    ("SessionGetStats", "GET", Read, "/api/sessions/stats/overview"),
    ("SessionGetPresence", "GET", Read, "/presence/{chatId}"),
    ("SessionSubscribePresence", "POST", Write, "/presence/subscribe"),
    ("SessionMarkChatRead", "POST", Write, "/chats/read"),
    ("SessionMarkChatUnread", "POST", Write, "/chats/unread"),
    ("SessionSendChatState", "POST", Write, "/chats/typing"),
    ("MessageList", "GET", Read, "/messages"),
    ("MessageHistory", "GET", Read, "/messages/{chatId}/history"),
    ("MessageSearch", "GET", Read, "/api/search"),
    ("MessageGetReactions", "GET", Read, "/messages/{chatId}/{messageId}/reactions"),
    ("MessageSendText", "POST", Write, "/messages/send-text"),
    ("MessageSendImage", "POST", Write, "/messages/send-image"),
    ("MessageSendVideo", "POST", Write, "/messages/send-video"),
    ("MessageSendAudio", "POST", Write, "/messages/send-audio"),
    ("MessageSendDocument", "POST", Write, "/messages/send-document"),
    ("MessageSendLocation", "POST", Write, "/messages/send-location"),
    ("MessageSendContact", "POST", Write, "/messages/send-contact"),
    ("MessageSendSticker", "POST", Write, "/messages/send-sticker"),
    ("MessageSendTemplate", "POST", Write, "/messages/send-template"),
    ("MessageReply", "POST", Write, "/messages/reply"),
    ("MessageForward", "POST", Write, "/messages/forward"),
    ("MessageReact", "POST", Write, "/messages/react"),
    ("ContactFindAll", "GET", Read, "/contacts"),
    ("ContactFindOne", "GET", Read, "/contacts/{contactId}"),
    ("ContactCheckNumber", "GET", Read, "/contacts/check/{number}"),
    ("ContactResolvePhone", "GET", Read, "/contacts/{contactId}/phone"),
    ("ContactGetProfilePicture", "GET", Read, "/contacts/{contactId}/profile-picture"),
    ("ContactBlock", "POST", Write, "/contacts/{contactId}/block"),
    ("ContactUnblock", "DELETE", Write, "/contacts/{contactId}/block"),
    ("GroupFindAll", "GET", Read, "/groups"),
    ("GroupFindOne", "GET", Read, "/groups/{groupId}"),
    // It reads, but who has the code can join: only where changes are allowed.
    ("GroupGetInviteCode", "GET", Write, "/groups/{groupId}/invite-code"),
    ("GroupCreate", "POST", Write, "/groups"),
    ("GroupAddParticipants", "POST", Write, "/groups/{groupId}/participants"),
    ("GroupSetSubject", "PUT", Destructive, "/groups/{groupId}/subject"),
    ("GroupSetDescription", "PUT", Destructive, "/groups/{groupId}/description"),
    ("WebhooksList", "GET", Read, "/api/webhooks"),
    ("WebhookFindBySession", "GET", Read, "/webhooks"),
    ("WebhookFindOne", "GET", Read, "/webhooks/{id}"),
    ("LabelFindAll", "GET", Read, "/labels"),
    ("LabelFindOne", "GET", Read, "/labels/{labelId}"),
    ("LabelListChats", "GET", Read, "/labels/{labelId}/chats"),
    ("LabelListForChat", "GET", Read, "/labels/chat/{chatId}"),
    ("LabelUpsert", "PUT", Destructive, "/labels/{labelId}"),
    ("LabelDelete", "DELETE", Destructive, "/labels/{labelId}"),
    ("LabelAddToChat", "POST", Write, "/labels/chat/{chatId}"),
    ("LabelRemoveFromChat", "DELETE", Destructive, "/labels/chat/{chatId}/{labelId}"),
    ("AutomationRuleFindAll", "GET", Read, "/automation-rules"),
    ("AutomationRuleFindOne", "GET", Read, "/automation-rules/{ruleId}"),
];

/// A tool whose route is served.
#[derive(Debug, Clone)]
pub struct ServedTool {
    /// As clients see it.
    pub tool: Tool,
    pub method: Method,
    /// The route, with its parameters in braces.
    pub route: String,
    /// Where each argument goes.
    pub inputs: Inputs,
    needs: Needs,
}

/// What the route asks of a key, as its operation says it.
#[derive(Debug, Clone, Copy)]
struct Needs {
    role: Role,
    unscoped: bool,
    in_chat: bool,
}

/// The tools that exist, in the order of the table.
pub fn served(document: &Value, read_only: bool) -> Vec<ServedTool> {
    let rows = TABLE.iter().filter(|(_, _, tier, _)| !read_only || *tier == Read);
    rows.filter_map(|row| serve(document, *row)).collect()
}

fn serve(document: &Value, (name, method, tier, route): ToolRow) -> Option<ServedTool> {
    let route = if route.starts_with("/api") { route.into() } else { format!("{SESSION}{route}") };
    let mut paths = document["paths"].as_object()?.iter();
    let (route, item) = paths.find(|(path, _)| shape(path) == shape(&route))?;
    let operation = item.get(method.to_lowercase())?;
    let inputs = inputs_of(document, operation);
    let text = |field: &str| operation[field].as_str().unwrap_or_default();
    let description = match text("description") {
        "" => text("summary").to_owned(),
        more => format!("{} {more}", text("summary")),
    };
    let mut tool = Tool::new(name, description, inputs.schema.clone());
    tool.title = Some(title(name));
    tool.annotations = Some(
        ToolAnnotations::with_title(title(name))
            .read_only(method == "GET")
            .destructive(tier == Destructive)
            .idempotent(matches!(method, "GET" | "PUT" | "DELETE"))
            .open_world(true),
    );
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    Some(ServedTool { tool, method, route: route.clone(), inputs, needs: Needs::of(operation) })
}

impl Needs {
    fn of(operation: &Value) -> Self {
        let words = operation["security"][0]["X-API-Key"].as_array();
        let words: Vec<&str> = words.into_iter().flatten().filter_map(Value::as_str).collect();
        Self {
            role: words.iter().find_map(|word| Role::parse(word)).unwrap_or(Role::Admin),
            unscoped: words.contains(&"unscoped"),
            in_chat: words.contains(&"chat"),
        }
    }
}

impl ServedTool {
    /// Whether a key could use it at all. The route itself decides again, about each call.
    pub fn is_for(&self, key: &ApiKey) -> bool {
        key.role >= self.needs.role
            && (self.needs.in_chat || key.allowed_chats.is_empty())
            && (!self.needs.unscoped || key.allowed_sessions.is_empty())
    }
}

/// A route whatever its parameters are called.
fn shape(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// A name, split into its words.
fn title(name: &str) -> String {
    let mut title = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !title.is_empty() {
            title.push(' ');
        }
        title.push(letter);
    }
    title
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_tool_of_the_contract_has_a_row() {
        let names: BTreeSet<&str> = TABLE.iter().map(|(name, ..)| *name).collect();
        assert_eq!((TABLE.len(), names.len()), (52, 52));
        let writes = TABLE.iter().filter(|(_, _, tier, _)| *tier != Read).count();
        assert_eq!(writes, 27);
        assert!(TABLE.iter().all(|(_, method, tier, _)| *method == "GET" || *tier != Read));
        assert_eq!(title("GroupGetInviteCode"), "Group Get Invite Code");
    }

    #[test]
    fn tools_are_what_their_routes_say() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        let tools = served(&document, false);
        let one = |name: &str| tools.iter().find(|tool| tool.tool.name == name).unwrap();
        let send = one("MessageSendText");
        assert_eq!(send.route, "/api/sessions/{sessionId}/messages/send-text");
        let schema = Value::Object((*send.tool.input_schema).clone());
        for name in ["sessionId", "chatId", "text", "idempotencyKey"] {
            assert!(schema["properties"][name].is_object(), "{name}: {schema}");
        }
        let required = schema["required"].as_array().unwrap();
        assert!(required.contains(&"sessionId".into()) && required.contains(&"chatId".into()));
        assert!(!schema.to_string().contains("#/components"));
        let (viewer, operator) =
            (testkit::build::api_key(1, Role::Viewer), testkit::build::api_key(2, Role::Operator));
        assert!(!send.is_for(&viewer) && send.is_for(&operator));
        assert!(one("MessageList").is_for(&viewer));
        for tool in &tools {
            assert!(tool.tool.title.is_some() && tool.tool.description.is_some());
        }
        let reads = served(&document, true);
        assert!(reads.iter().all(|tool| tool.method == Method::GET));
        assert!(!reads.iter().any(|tool| tool.tool.name == "GroupGetInviteCode"));
    }
}
