//! Channels, which WhatsApp calls newsletters: described and administered by stored queries, their posts by stanzas
//! that nobody encrypts.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use whatsapp_rust::{
    wacore::iq::mex_operations::{
        change_newsletter_owner, create_newsletter, delete_newsletter, demote_newsletter_admin,
        fetch_all_newsletters_metadata, fetch_newsletter, join_newsletter, leave_newsletter,
        update_newsletter_user_setting,
    },
    wacore_binary::{Jid, Node, NodeRef},
};

use super::mex::StoredQueryAnswer;
use crate::{
    hub::Hub,
    state::{DeviceKey, ServerState},
    wire::{Build, attr, child, child_bytes, need_attr, need_jid, now_seconds, refusal, result},
};

/// Channels in one network. When full a further one is refused with 429.
const NEWSLETTERS_MAX: usize = 1_000;
/// Posts that a channel keeps. When full the oldest goes.
const POSTS_MAX: usize = 1_000;
/// Most posts of one answer.
const PAGE_MAX: usize = 100;

/// A channel as the server knows it.
#[derive(Debug, Clone)]
pub(crate) struct Newsletter {
    pub(crate) jid: Jid,
    name: String,
    description: Option<String>,
    invite: String,
    created: u64,
    /// Everybody who follows it, with what they are in it.
    members: BTreeMap<String, NewsletterRole>,
    muted: Vec<String>,
    posts: Vec<NewsletterPost>,
    next_post: u64,
}

/// What somebody is in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewsletterRole {
    /// It is theirs.
    Owner,
    /// They may post.
    Admin,
    /// They follow it.
    Subscriber,
}

impl NewsletterRole {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Subscriber => "subscriber",
        }
    }
}

#[derive(Debug, Clone)]
struct NewsletterPost {
    id: String,
    server_id: u64,
    at: u64,
    kind: String,
    plain: Vec<u8>,
}

/// Makes a channel in the name of an account.
pub(crate) fn create(
    hub: &Hub,
    state: &mut ServerState,
    owner: &str,
    name: &str,
    description: Option<&str>,
) -> Result<Jid> {
    state.account(owner)?;
    let (number, code): (u32, u64) = hub.draw();
    let jid: Jid = format!("1203631{number:011}@newsletter").parse()?;
    let newsletter = Newsletter {
        jid: jid.clone(),
        name: name.to_owned(),
        description: description.map(str::to_owned),
        invite: format!("0029Va{code:016x}"),
        created: now_seconds(),
        members: BTreeMap::from([(owner.to_owned(), NewsletterRole::Owner)]),
        muted: Vec::new(),
        posts: Vec::new(),
        next_post: 100,
    };
    state.newsletters.insert(jid.to_string(), newsletter);
    Ok(jid)
}

/// Gives somebody a place in a channel.
pub(crate) fn enrol(
    state: &mut ServerState,
    jid: &Jid,
    phone: &str,
    role: NewsletterRole,
) -> Result<()> {
    state.account(phone)?;
    let newsletter = state.newsletters.get_mut(&jid.to_string());
    let newsletter = newsletter.with_context(|| format!("there is no channel {jid}"))?;
    newsletter.members.insert(phone.to_owned(), role);
    Ok(())
}

impl Newsletter {
    fn role_of(&self, phone: &str) -> Option<NewsletterRole> {
        self.members.get(phone).copied()
    }

    /// Whether this person hears nothing of it.
    pub(crate) fn is_muted_by(&self, phone: &str) -> bool {
        self.muted.iter().any(|muted| muted == phone)
    }

    /// The code of its invite link.
    pub(crate) fn invite(&self) -> &str {
        &self.invite
    }

    /// What somebody is in it.
    pub(crate) fn role(&self, phone: &str) -> Option<NewsletterRole> {
        self.role_of(phone)
    }

    fn described(&self, viewer: &str) -> Value {
        let role = self.role_of(viewer).map_or("guest", NewsletterRole::as_str);
        let mute = if self.is_muted_by(viewer) { "ON" } else { "OFF" };
        json!({
            "id": self.jid.to_string(),
            "state": { "type": "active" },
            "thread_metadata": {
                "name": { "text": self.name },
                "description": { "text": self.description.as_deref().unwrap_or_default() },
                "invite": self.invite,
                "subscribers_count": self.members.len().to_string(),
                "verification": "UNVERIFIED",
                "creation_time": self.created.to_string(),
                "preview": { "direct_path": "/v/t61.1/preview.jpg" },
            },
            "viewer_metadata": { "role": role, "mute": mute },
        })
    }
}

/// Answers a query about channels, or `None` when it is about something else.
pub(super) fn answer(
    hub: &Hub,
    who: &DeviceKey,
    number: &str,
    variables: &Value,
) -> Result<Option<StoredQueryAnswer>> {
    let mut state = hub.state();
    let me = who.phone.as_str();
    Ok(Some(match number {
        fetch_all_newsletters_metadata::DOC_ID => {
            let mut mine: Vec<&Newsletter> = state.newsletters.values().collect();
            mine.retain(|newsletter| newsletter.members.contains_key(me));
            mine.sort_by_key(|newsletter| newsletter.jid.to_string());
            let all: Vec<Value> = mine.iter().map(|newsletter| newsletter.described(me)).collect();
            StoredQueryAnswer::Data(json!({ "xwa2_newsletter_subscribed": all }))
        }
        fetch_newsletter::DOC_ID => found(&state, me, &variables["input"]),
        create_newsletter::DOC_ID => created(hub, &mut state, me, &variables["input"])?,
        update_newsletter_user_setting::DOC_ID => {
            let input = &variables["input"];
            let muted = input["value"] == "ON";
            on(&mut state, &input["newsletter_id"], |newsletter| {
                newsletter.muted.retain(|phone| phone != me);
                if muted {
                    newsletter.muted.push(me.to_owned());
                }
                let id = newsletter.jid.to_string();
                StoredQueryAnswer::Data(
                    json!({ "xwa2_newsletter_update_user_setting": { "id": id } }),
                )
            })
        }
        join_newsletter::DOC_ID => on(&mut state, &variables["newsletter_id"], |newsletter| {
            newsletter.members.entry(me.to_owned()).or_insert(NewsletterRole::Subscriber);
            StoredQueryAnswer::Data(json!({ "xwa2_newsletter_join_v2": newsletter.described(me) }))
        }),
        leave_newsletter::DOC_ID => on(&mut state, &variables["newsletter_id"], |newsletter| {
            if newsletter.role_of(me) == Some(NewsletterRole::Owner) {
                return StoredQueryAnswer::Refused(403, "an owner cannot leave");
            }
            newsletter.members.remove(me);
            let id = newsletter.jid.to_string();
            StoredQueryAnswer::Data(json!({ "xwa2_newsletter_leave_v2": { "id": id } }))
        }),
        delete_newsletter::DOC_ID => deleted(&mut state, me, &variables["newsletter_id"]),
        demote_newsletter_admin::DOC_ID | change_newsletter_owner::DOC_ID => {
            administered(&mut state, me, number, variables)
        }
        _ => return Ok(None),
    }))
}

const GONE: StoredQueryAnswer = StoredQueryAnswer::Refused(404, "Not Found");
const FORBIDDEN: StoredQueryAnswer = StoredQueryAnswer::Refused(403, "Forbidden");

fn on(
    state: &mut ServerState,
    id: &Value,
    change: impl FnOnce(&mut Newsletter) -> StoredQueryAnswer,
) -> StoredQueryAnswer {
    let found = state.newsletters.get_mut(id.as_str().unwrap_or_default());
    found.map_or(GONE, change)
}

fn found(state: &ServerState, me: &str, input: &Value) -> StoredQueryAnswer {
    let key = input["key"].as_str().unwrap_or_default();
    let by_invite = input["type"] == "INVITE";
    let mut all = state.newsletters.values();
    let newsletter = match by_invite {
        true => all.find(|newsletter| newsletter.invite == key),
        false => state.newsletters.get(key),
    };
    newsletter.map_or(GONE, |newsletter| {
        StoredQueryAnswer::Data(json!({ "xwa2_newsletter": newsletter.described(me) }))
    })
}

fn created(
    hub: &Hub,
    state: &mut ServerState,
    me: &str,
    input: &Value,
) -> Result<StoredQueryAnswer> {
    if state.newsletters.len() >= NEWSLETTERS_MAX {
        return Ok(StoredQueryAnswer::Refused(429, "rate-overlimit"));
    }
    let name = input["name"].as_str().unwrap_or_default();
    let jid = create(hub, state, me, name, input["description"].as_str())?;
    let made = &state.newsletters[&jid.to_string()];
    Ok(StoredQueryAnswer::Data(json!({ "xwa2_newsletter_create": made.described(me) })))
}

fn deleted(state: &mut ServerState, me: &str, id: &Value) -> StoredQueryAnswer {
    let key = id.as_str().unwrap_or_default();
    match state.newsletters.get(key).map(|newsletter| newsletter.role_of(me)) {
        None => GONE,
        Some(Some(NewsletterRole::Owner)) => {
            state.newsletters.remove(key);
            StoredQueryAnswer::Data(json!({
                "xwa2_newsletter_delete_v2": { "id": key, "state": { "type": "DELETED" } },
            }))
        }
        Some(_) => FORBIDDEN,
    }
}

/// An admin is demoted, or becomes the owner.
fn administered(
    state: &mut ServerState,
    me: &str,
    number: &str,
    variables: &Value,
) -> StoredQueryAnswer {
    let user = variables["user_id"].as_str().and_then(|user| user.parse::<Jid>().ok());
    let Some(phone) = user.and_then(|user| state.phone_of(&user)) else { return GONE };
    on(state, &variables["newsletter_id"], |newsletter| {
        let is_owner = newsletter.role_of(me) == Some(NewsletterRole::Owner);
        if !is_owner || newsletter.role_of(&phone) != Some(NewsletterRole::Admin) {
            return FORBIDDEN;
        }
        let id = newsletter.jid.to_string();
        if number == demote_newsletter_admin::DOC_ID {
            newsletter.members.insert(phone, NewsletterRole::Subscriber);
            return StoredQueryAnswer::Data(
                json!({ "xwa2_newsletter_admin_demote": { "id": id } }),
            );
        }
        newsletter.members.insert(me.to_owned(), NewsletterRole::Admin);
        newsletter.members.insert(phone, NewsletterRole::Owner);
        StoredQueryAnswer::Data(json!({ "xwa2_newsletter_change_owner": { "id": id } }))
    })
}

/// Gives posts of a channel, the newest last.
pub(super) fn history(hub: &Hub, id: &str, request: &NodeRef<'_>) -> Result<Node> {
    let jid = need_jid(request, "to")?;
    let asked = child(request, "messages")?;
    let number = |name: &str| attr(asked, name).and_then(|text| text.parse::<u64>().ok());
    let state = hub.state();
    let Some(newsletter) = state.newsletters.get(&jid.to_string()) else {
        return Ok(refusal(id, 404, "item-not-found"));
    };
    let before = number("before").unwrap_or(u64::MAX);
    let count = number("count").map_or(PAGE_MAX, |count| usize::try_from(count).unwrap_or(0));
    let older = newsletter.posts.iter().filter(|post| post.server_id < before);
    let mut page: Vec<Node> =
        older.rev().take(count.min(PAGE_MAX)).map(|post| stanza(post).build()).collect();
    page.reverse();
    let messages =
        Build::new("messages").attr("jid", &jid).attr("t", now_seconds()).children(page).build();
    Ok(result(id).children([messages]).build())
}

fn stanza(post: &NewsletterPost) -> Build {
    let plain = Build::new("plaintext").bytes(post.plain.clone()).build();
    Build::new("message")
        .attr("id", post.id.as_str())
        .attr("server_id", post.server_id.to_string())
        .attr("t", post.at)
        .attr("type", post.kind.as_str())
        .children([plain])
}

/// A post for a channel, from a device or a phone. `false` when its sender may not post there.
pub(crate) fn publish(
    hub: &Hub,
    state: &mut ServerState,
    from: &DeviceKey,
    message: &NodeRef<'_>,
) -> Result<bool> {
    let jid = need_jid(message, "to")?;
    let plain = child_bytes(message, "plaintext")?;
    let Some(newsletter) = state.newsletters.get_mut(&jid.to_string()) else { return Ok(false) };
    if !matches!(
        newsletter.role_of(&from.phone),
        Some(NewsletterRole::Owner | NewsletterRole::Admin)
    ) {
        return Ok(false);
    }
    let post = NewsletterPost {
        id: need_attr(message, "id")?,
        server_id: newsletter.next_post,
        at: now_seconds(),
        kind: attr(message, "type").unwrap_or_else(|| "text".to_owned()),
        plain,
    };
    newsletter.next_post += 1;
    if newsletter.posts.len() >= POSTS_MAX {
        newsletter.posts.remove(0);
    }
    newsletter.posts.push(post.clone());
    let followers: Vec<String> = newsletter.members.keys().cloned().collect();
    let copy = Arc::new(stanza(&post).attr("from", &jid).build());
    for phone in followers {
        let linked: Vec<u16> = state.account(&phone)?.devices.keys().copied().collect();
        for device in linked {
            let to = DeviceKey::new(&phone, device);
            if to != *from {
                hub.deliver(state, &to, copy.clone());
            }
        }
    }
    Ok(true)
}
