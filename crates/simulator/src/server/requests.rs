//! Which module answers which request. What nobody knows is refused with 501 and recorded as unknown; what fails is
//! refused with 500 and recorded as unanswered.

use anyhow::Result;
use whatsapp_rust::wacore_binary::{Node, NodeRef};

use super::{business, contacts, groups, mex, newsletters, prekeys, settings};
use crate::{
    hub::Hub,
    limits,
    state::DeviceKey,
    wire::{attr, children, need_attr, refusal, result},
};

/// Name of a request in the record: namespace, type and first child.
pub(super) fn name_of(stanza: &NodeRef<'_>) -> String {
    let first = children(stanza).first();
    let first = first.map(|child| format!(" <{}>", child.tag));
    if stanza.tag != "iq" {
        return format!("<{}>{}", stanza.tag, first.unwrap_or_default());
    }
    let namespace = attr(stanza, "xmlns").unwrap_or_default();
    let kind = attr(stanza, "type").unwrap_or_default();
    format!("{namespace} {kind}{}", first.unwrap_or_default())
}

/// The answer to a request of a device that is logged in. Every request has one.
pub(crate) fn answer(hub: &Hub, who: &DeviceKey, request: &NodeRef<'_>) -> Node {
    let name = name_of(request);
    hub.recorder.request(name.clone());
    let id = attr(request, "id").unwrap_or_default();
    match route(hub, who, &id, request) {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            hub.recorder.unknown(name);
            refusal(&id, 501, "feature-not-implemented")
        }
        Err(error) => {
            hub.recorder.unanswered(format!("{name}: {error:#}"));
            refusal(&id, 500, "internal-server-error")
        }
    }
}

fn route(hub: &Hub, who: &DeviceKey, id: &str, request: &NodeRef<'_>) -> Result<Option<Node>> {
    let namespace = need_attr(request, "xmlns")?;
    let kind = need_attr(request, "type")?;
    let first = children(request).first();
    let first = first.map_or("", |child| child.tag.as_ref());
    let answer = match (namespace.as_str(), kind.as_str(), first) {
        ("w:p" | "urn:xmpp:ping" | "passive" | "urn:xmpp:whatsapp:dirty", ..) => result(id).build(),
        ("md", "set", "remove-companion-device") => result(id).build(),
        ("encrypt", "get", "count") => prekeys::count(hub, id, who)?,
        ("encrypt", "get", "digest") => prekeys::digest(hub, id, who)?,
        ("encrypt", "get", "key") => prekeys::fetch(hub, id, request)?,
        ("encrypt", "set", "rotate") => prekeys::rotate(hub, id, who, request)?,
        ("encrypt", "set", _) => prekeys::upload(hub, id, who, request)?,
        ("usync", "get", _) => contacts::usync(hub, id, request)?,
        ("w:profile:picture", ..) => contacts::picture(hub, id, who, &kind, request)?,
        ("status", "set", _) => contacts::set_about(hub, id, who, request)?,
        ("blocklist", ..) => contacts::blocklist(hub, id, who, &kind, request)?,
        ("abt", "get", _) | ("w", "get", "props") => settings::props(id),
        ("privacy", ..) => settings::privacy(id, &kind),
        ("w:sync:app:state", "set", _) => settings::app_state(hub, id, who, request)?,
        ("w:m", "set", "media_conn") => settings::media_hosts(hub, id),
        ("w:mex", ..) if limits::is_asked(request) => limits::answer(hub, id, who, request)?,
        ("w:biz", "get", "business_profile") => business::profile(hub, id, request)?,
        ("w:biz:catalog", "get", "product_catalog") => business::catalogue(hub, id, request)?,
        ("newsletter", "get", "messages") => newsletters::history(hub, id, request)?,
        ("w:mex", "get", "query") => return mex::answer(hub, id, who, request),
        ("w:g2", ..) => return groups::answer(hub, id, who, &kind, request),
        _ => return Ok(None),
    };
    Ok(Some(answer))
}
