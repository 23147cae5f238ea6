//! Small helpers to read and build stanzas: the vocabulary every other module writes its protocol in.

use anyhow::{Context as _, Result, anyhow};
use whatsapp_rust::wacore_binary::{
    Jid, Node, NodeRef, Server, builder::NodeBuilder, node::ValueRef,
};

/// Short name for the builder, which appears on nearly every line that makes a stanza.
pub(crate) use whatsapp_rust::wacore_binary::builder::NodeBuilder as Build;

/// Seconds since the epoch, by the same clock the engine judges certificates with.
pub(crate) fn now_seconds() -> u64 {
    whatsapp_rust::wacore::time::now_secs_u64()
}

/// Milliseconds since the epoch, by the same clock.
pub(crate) fn now_millis() -> i64 {
    whatsapp_rust::wacore::time::now_millis()
}

/// The network itself as a sender: `s.whatsapp.net` without a user.
pub(crate) fn server_jid() -> Jid {
    Jid::new("", Server::Pn)
}

/// Whether what is sent there is encrypted once for everybody: a group, the statuses.
pub(crate) fn is_common(jid: &Jid) -> bool {
    matches!(jid.server, Server::Group | Server::Broadcast)
}

/// An attribute as text.
pub(crate) fn attr(node: &NodeRef<'_>, key: &str) -> Option<String> {
    node.get_attr(key).map(|value| value.as_str().into_owned())
}

/// An attribute as text, or an error that names the stanza and the attribute.
pub(crate) fn need_attr(node: &NodeRef<'_>, key: &str) -> Result<String> {
    attr(node, key).ok_or_else(|| anyhow!("<{}> has no {key}", node.tag))
}

/// An attribute as an address.
pub(crate) fn jid_attr(node: &NodeRef<'_>, key: &str) -> Option<Jid> {
    node.get_attr(key).and_then(ValueRef::to_jid)
}

/// An attribute as an address, or an error that names the stanza and the attribute.
pub(crate) fn need_jid(node: &NodeRef<'_>, key: &str) -> Result<Jid> {
    jid_attr(node, key).ok_or_else(|| anyhow!("<{}> has no address in {key}", node.tag))
}

/// A child element, or an error that names both.
pub(crate) fn child<'n, 'd>(node: &'n NodeRef<'d>, tag: &str) -> Result<&'n NodeRef<'d>> {
    node.get_optional_child(tag).ok_or_else(|| anyhow!("<{}> has no <{tag}>", node.tag))
}

/// The bytes inside a child element.
pub(crate) fn child_bytes(node: &NodeRef<'_>, tag: &str) -> Result<Vec<u8>> {
    Ok(child(node, tag)?
        .content_bytes()
        .with_context(|| format!("<{tag}> carries no bytes"))?
        .to_vec())
}

/// The children of a stanza, none when it has no content.
pub(crate) fn children<'n, 'd>(node: &'n NodeRef<'d>) -> &'n [NodeRef<'d>] {
    node.children().unwrap_or_default()
}

/// Exactly 32 bytes: a public key without its type byte.
pub(crate) fn key32(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| anyhow!("a key of {} bytes where 32 are due", bytes.len()))
}

/// A number in big-endian bytes of any length up to four, as key ids travel.
pub(crate) fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// A key id as the three bytes it travels in.
pub(crate) fn three_bytes(id: u32) -> Vec<u8> {
    id.to_be_bytes()[1..].to_vec()
}

/// The answer to a request, still without content.
pub(crate) fn result(id: &str) -> NodeBuilder {
    Build::new("iq").attr("from", server_jid()).attr("id", id).attr("type", "result")
}

/// The refusal of a request.
pub(crate) fn refusal(id: &str, code: u16, text: &str) -> Node {
    Build::new("iq")
        .attr("from", server_jid())
        .attr("id", id)
        .attr("type", "error")
        .children([Build::new("error").attr("code", code.to_string()).attr("text", text).build()])
        .build()
}

/// A `stream:error`, after which the link is closed.
pub(crate) fn stream_error(code: Option<&str>, conflict: Option<&str>) -> Node {
    let mut node = Build::new("stream:error");
    if let Some(code) = code {
        node = node.attr("code", code);
    }
    if let Some(kind) = conflict {
        node = node.children([Build::new("conflict").attr("type", kind).build()]);
    }
    node.build()
}
