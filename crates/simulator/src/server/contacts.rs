//! What clients ask about people: whether they exist, their devices, LID, about text and picture; and whom they block.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use whatsapp_rust::wacore_binary::{Jid, Node, NodeRef, Server};

use super::groups;
use crate::{
    hub::Hub,
    state::{DeviceKey, ServerState},
    wire::{
        Build, attr, child, children, jid_attr, need_attr, need_jid, now_seconds, refusal, result,
    },
};

/// Entries of one account's block list. When full a further one is ignored.
const BLOCKED_MAX: usize = 10_000;

/// Answers a user sync: for every user in the list, what the query names.
pub(super) fn usync(hub: &Hub, id: &str, request: &NodeRef<'_>) -> Result<Node> {
    let sync = child(request, "usync")?;
    let query: Vec<String> =
        children(child(sync, "query")?).iter().map(|protocol| protocol.tag.to_string()).collect();
    let state = hub.state();
    let mut users = Vec::new();
    for user in child(sync, "list")?.get_children_by_tag("user") {
        users.push(usync_user(hub, &state, &query, user)?);
    }
    let asked = query.iter().map(|protocol| Build::new_dynamic(protocol.clone()).build());
    let answer = Build::new("usync")
        .attr("sid", attr(sync, "sid").unwrap_or_default())
        .attr("index", "0")
        .attr("last", "true")
        .attr("mode", attr(sync, "mode").unwrap_or_default())
        .attr("context", attr(sync, "context").unwrap_or_default())
        .children([
            Build::new("result").children(asked).build(),
            Build::new("list").children(users).build(),
        ]);
    Ok(result(id).children([answer.build()]).build())
}

fn usync_user(
    hub: &Hub,
    state: &ServerState,
    query: &[String],
    user: &NodeRef<'_>,
) -> Result<Node> {
    let number = user
        .get_optional_child("contact")
        .and_then(NodeRef::content_as_string)
        .map(|number| number.trim_start_matches('+').to_owned());
    let asked = jid_attr(user, "jid")
        .or_else(|| number.as_deref().map(Jid::pn))
        .context("a user without address or number")?;
    let registered = (asked.server == Server::Pn).then(|| registered(state, asked.user.as_str()));
    let jid = registered.flatten().map_or(asked, Jid::pn);
    let found = state.phone_of(&jid);
    let mut parts = Vec::new();
    for protocol in query {
        let account = found.as_deref().map(|phone| state.account(phone));
        match (protocol.as_str(), account.transpose()?) {
            ("contact", account) => {
                let known = if account.is_some() { "in" } else { "out" };
                let mut contact = Build::new("contact").attr("type", known);
                if let Some(number) = &number {
                    contact = contact.string_content(format!("+{number}"));
                }
                parts.push(contact.build());
            }
            ("devices", Some(account)) => parts.push(account.devices_node()?),
            ("lid", Some(account)) => {
                parts.push(Build::new("lid").attr("val", Jid::lid(account.lid.as_str())).build());
            }
            ("status", Some(account)) => parts.push(
                Build::new("status")
                    .attr("t", now_seconds().to_string())
                    .string_content(account.about.as_str())
                    .build(),
            ),
            ("picture", Some(account)) => {
                if account.picture.is_some() {
                    parts.push(Build::new("picture").attr("id", "1").build());
                }
            }
            (
                "business" | "username" | "disappearing_mode" | "devices" | "lid" | "status"
                | "picture",
                _,
            ) => {}
            (other, _) => hub.recorder.unknown(format!("usync query <{other}>")),
        }
    }
    let mut answer = Build::new("user").attr("jid", jid.to_non_ad());
    let found = found.filter(|phone| !hides_number(state, phone));
    if let (Server::Lid, Some(phone)) = (jid.server, found) {
        answer = answer.attr("pn_jid", Jid::pn(phone));
    }
    Ok(answer.children(parts).build())
}

/// Under which number an account that was asked for by another one is registered: an alias, or the other spelling in
/// Brazil (with or without a ninth digit), Mexico (52, 521) and Argentina (54, 549).
fn registered(state: &ServerState, asked: &str) -> Option<String> {
    if let Some(phone) = state.aliases.get(asked) {
        return Some(phone.clone());
    }
    let other = match (asked.get(..2)?, asked.len()) {
        ("55", 13) if asked.as_bytes()[4] == b'9' => format!("{}{}", &asked[..4], &asked[5..]),
        ("55", 12) => format!("{}9{}", &asked[..4], &asked[4..]),
        ("52", 13) if asked.as_bytes()[2] == b'1' => format!("52{}", &asked[3..]),
        ("52", 12) => format!("521{}", &asked[2..]),
        ("54", 13) if asked.as_bytes()[2] == b'9' => format!("54{}", &asked[3..]),
        ("54", 12) => format!("549{}", &asked[2..]),
        _ => return None,
    };
    let is_other = !state.accounts.contains_key(asked) && state.accounts.contains_key(&other);
    is_other.then_some(other)
}

fn hides_number(state: &ServerState, phone: &str) -> bool {
    state.account(phone).is_ok_and(|account| account.number_hidden)
}

/// Sets, removes or finds a profile picture.
pub(super) fn picture(
    hub: &Hub,
    id: &str,
    who: &DeviceKey,
    kind: &str,
    request: &NodeRef<'_>,
) -> Result<Node> {
    let mut state = hub.state();
    if kind == "set" {
        let picture = request.get_optional_child("picture");
        let bytes = picture.and_then(NodeRef::content_bytes).map(<[u8]>::to_vec);
        let number = now_seconds().to_string();
        let group = jid_attr(request, "target").filter(|jid| jid.server == Server::Group);
        if let Some(group) = group {
            let set = groups::set_picture(hub, &mut state, &who.phone, (&group, bytes))?;
            return Ok(match set {
                Ok(number) => picture_set(id, &number.to_string()),
                Err(code) => refusal(id, code, "refused"),
            });
        }
        set_picture(hub, &mut state, &who.phone, bytes)?;
        return Ok(picture_set(id, &number));
    }
    let about = jid_attr(request, "target").or_else(|| jid_attr(request, "to"));
    let shown = about.and_then(|jid| match jid.server {
        Server::Group => {
            let picture = groups::picture_of(&state, &who.phone, &jid)?;
            Some((jid.to_string(), picture))
        }
        _ => {
            let phone = state.phone_of(&jid)?;
            let picture = state.accounts.get(&phone)?.picture.clone()?;
            Some((phone, picture))
        }
    });
    let Some((phone, picture)) = shown else {
        return Ok(refusal(id, 404, "item-not-found"));
    };
    let path = format!("/v/picture/{phone}");
    hub.media.put(&path, picture.into());
    let node = Build::new("picture")
        .attr("id", "1")
        .attr("type", "image")
        .attr("url", hub.media.url(&path))
        .attr("direct_path", path);
    Ok(result(id).children([node.build()]).build())
}

/// A person has another picture, or none any more; who watches them hears of it.
pub(crate) fn set_picture(
    hub: &Hub,
    state: &mut ServerState,
    phone: &str,
    picture: Option<Vec<u8>>,
) -> Result<()> {
    let jid = Jid::pn(phone);
    let change = match &picture {
        Some(_) => Build::new("set").attr("jid", &jid).attr("id", now_seconds().to_string()),
        None => Build::new("delete").attr("jid", &jid),
    };
    let account = state.account_mut(phone)?;
    account.picture = picture;
    let watchers: Vec<DeviceKey> = account.watchers.iter().cloned().collect();
    let notification = Build::new("notification")
        .attr("from", jid)
        .attr("type", "picture")
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .children([change.build()])
        .build();
    let notification = Arc::new(notification);
    for watcher in watchers {
        hub.deliver(state, &watcher, notification.clone());
    }
    hub.changed();
    Ok(())
}

fn picture_set(id: &str, number: &str) -> Node {
    result(id).children([Build::new("picture").attr("id", number).build()]).build()
}

/// Sets the about text.
pub(super) fn set_about(
    hub: &Hub,
    id: &str,
    who: &DeviceKey,
    request: &NodeRef<'_>,
) -> Result<Node> {
    let text = child(request, "status")?.content_as_string();
    hub.state().account_mut(&who.phone)?.about = text.unwrap_or_default().to_string();
    hub.changed();
    Ok(result(id).build())
}

/// Gives or changes the block list.
pub(super) fn blocklist(
    hub: &Hub,
    id: &str,
    who: &DeviceKey,
    kind: &str,
    request: &NodeRef<'_>,
) -> Result<Node> {
    let mut state = hub.state();
    if kind == "set" {
        let item = child(request, "item")?;
        let jid = need_jid(item, "jid")?;
        let block = need_attr(item, "action")? == "block";
        if block && jid_attr(item, "pn_jid").is_none() {
            // WhatsApp wants both ids of whom it blocks.
            return Ok(refusal(id, 400, "bad-request"));
        }
        block_person(hub, &mut state, who, jid, block)?;
    }
    let blocked = &state.account(&who.phone)?.blocked;
    let items = blocked.iter().map(|jid| Build::new("item").attr("jid", jid).build());
    let list = Build::new("list").children(items).build();
    Ok(result(id).children([list]).build())
}

/// Somebody is blocked, or let in again; the account's other devices hear of it.
pub(crate) fn block_person(
    hub: &Hub,
    state: &mut ServerState,
    who: &DeviceKey,
    jid: Jid,
    block: bool,
) -> Result<()> {
    let account = state.account_mut(&who.phone)?;
    account.blocked.retain(|known| *known != jid);
    let action = if block { "block" } else { "unblock" };
    let item = Build::new("item").attr("jid", &jid).attr("action", action).build();
    if block && account.blocked.len() < BLOCKED_MAX {
        account.blocked.push(jid);
    }
    let devices: Vec<u16> = account.devices.keys().copied().collect();
    let list = Build::new("blocklist").attr("action", "modify").children([item]).build();
    let notification = Build::new("notification")
        .attr("from", Jid::pn(who.phone.as_str()))
        .attr("type", "account_sync")
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .children([list])
        .build();
    let notification = Arc::new(notification);
    for device in devices.into_iter().filter(|device| *device != who.device) {
        hub.deliver(state, &DeviceKey::new(&who.phone, device), notification.clone());
    }
    hub.changed();
    Ok(())
}
