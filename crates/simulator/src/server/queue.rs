//! The queue of one linked device: every stanza it has not acknowledged, oldest first.
//!
//! Guarantees:
//! * A stanza leaves the queue only when the device acknowledged it (or was unlinked). Until then each login delivers
//!   it again, unchanged but for the `offline` attribute, in the order of the first delivery.
//! * After a login nothing flows until the device asks: it says `active`, learns how many stanzas wait, requests them
//!   in batches, and after the end marker receives new ones as they come. Stanzas that arrive during that phase follow
//!   the marker, so the order per chat never changes.
//!
//! * A client that does not ask for batches gets everything after a short patience: not every client knows them.
//!
//! The real network sends about five stanzas ahead of the first batch request; this one does not.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use whatsapp_rust::wacore_binary::{Node, NodeRef};

use crate::wire::{Build, attr, server_jid};

/// Stanzas that wait for one device. A crash test queues a few thousand. When full, a new stanza is refused for this
/// device and counted as `overflowed` in the record.
pub(crate) const QUEUE_MAX: usize = 100_000;
/// Stanzas on their way to one connected device. When full, the device reads too slowly: its link is cut, and it finds
/// everything again in its queue after the next login.
pub(crate) const LINK_MAX: usize = 16_384;

/// Something to write to a link.
pub(crate) struct OutgoingStanza {
    /// When it was handed over: an injected delay counts from here.
    pub(crate) since: Instant,
    /// The stanza, or `None` to close the link.
    pub(crate) node: Option<Arc<Node>>,
}

/// The sending side of one connection.
#[derive(Clone)]
pub(crate) struct SocketLink {
    pub(crate) id: u64,
    pub(crate) out: mpsc::Sender<OutgoingStanza>,
    pub(crate) cut: CancellationToken,
}

impl SocketLink {
    pub(crate) fn send(&self, node: Node) {
        self.send_shared(Arc::new(node));
    }

    pub(crate) fn send_shared(&self, node: Arc<Node>) {
        self.push(Some(node));
    }

    /// Closes the link once everything sent before has been written.
    pub(crate) fn close(&self) {
        self.push(None);
    }

    fn push(&self, node: Option<Arc<Node>>) {
        let since = Instant::now();
        if self.out.try_send(OutgoingStanza { since, node }).is_err() {
            self.cut.cancel();
        }
    }
}

struct QueuedStanza {
    sequence: u64,
    sent: bool,
    class: String,
    id: String,
    from: String,
    participant: Option<String>,
    kind: Option<String>,
    node: Arc<Node>,
}

/// How far a delivery after login has come.
enum DeliveryPhase {
    /// Logged in, has not said `active`, or not connected at all.
    Silent,
    /// Being fed in batches up to and including `last`.
    Offline { next: u64, last: u64, total: usize },
    /// Receives stanzas as they come.
    Live,
}

/// The stanzas that wait for one device until it acknowledges them.
pub(crate) struct DeviceQueue {
    waiting: VecDeque<QueuedStanza>,
    next_sequence: u64,
    phase: DeliveryPhase,
}

/// What came of adding a stanza.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QueueResult {
    Kept,
    Full,
}

impl DeviceQueue {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::new(), next_sequence: 0, phase: DeliveryPhase::Silent }
    }

    /// Keeps a stanza, and sends it at once to a live link.
    pub(crate) fn add(&mut self, node: Arc<Node>, link: Option<&SocketLink>) -> QueueResult {
        if self.waiting.len() >= QUEUE_MAX {
            return QueueResult::Full;
        }
        let live = matches!(self.phase, DeliveryPhase::Live);
        if let (true, Some(link)) = (live, link) {
            link.send_shared(node.clone());
        }
        let parsed = node.as_node_ref();
        self.waiting.push_back(QueuedStanza {
            sequence: self.next_sequence,
            sent: live && link.is_some(),
            class: parsed.tag.to_string(),
            id: attr(&parsed, "id").unwrap_or_default(),
            from: attr(&parsed, "from").unwrap_or_default(),
            participant: attr(&parsed, "participant"),
            kind: attr(&parsed, "type"),
            node,
        });
        self.next_sequence += 1;
        QueueResult::Kept
    }

    /// A new link, or none any more: nothing flows until the device says `active`.
    pub(crate) fn silence(&mut self) {
        self.phase = DeliveryPhase::Silent;
    }

    /// The device said `active`: it gets the preview of what waits, or goes live.
    pub(crate) fn activate(&mut self, link: &SocketLink) {
        let Some(last) = self.waiting.back().map(|stanza| stanza.sequence) else {
            self.phase = DeliveryPhase::Live;
            link.send(end_marker(0));
            return;
        };
        self.phase = DeliveryPhase::Offline { next: 0, last, total: self.waiting.len() };
        link.send(self.preview());
    }

    /// The device asks for the next `count` stanzas. Returns how many of them it had been sent before.
    pub(crate) fn next_batch(&mut self, count: usize, link: &SocketLink) -> u64 {
        let DeliveryPhase::Offline { next, last, total } = self.phase else {
            return 0;
        };
        let mut redelivered = 0;
        let mut reached = next;
        let start = self.waiting.partition_point(|stanza| stanza.sequence < next);
        for (index, stanza) in self.waiting.iter_mut().skip(start).take(count).enumerate() {
            if stanza.sequence > last {
                break;
            }
            let mut node = Node::clone(&stanza.node);
            node.attrs.push("offline", (start + index).to_string());
            link.send(node);
            redelivered += u64::from(stanza.sent);
            stanza.sent = true;
            reached = stanza.sequence + 1;
        }
        let more =
            self.waiting.iter().any(|stanza| stanza.sequence >= reached && stanza.sequence <= last);
        if more {
            self.phase = DeliveryPhase::Offline { next: reached, last, total };
        } else {
            link.send(end_marker(total));
            self.go_live(last, link);
        }
        redelivered
    }

    /// The patience is over: a device that never asked for a batch gets all that waits. Returns how many of them it had
    /// been sent before.
    pub(crate) fn deliver_unasked(&mut self, link: &SocketLink) -> u64 {
        match self.phase {
            DeliveryPhase::Offline { next: 0, .. } => self.next_batch(QUEUE_MAX, link),
            _ => 0,
        }
    }

    fn go_live(&mut self, after: u64, link: &SocketLink) {
        self.phase = DeliveryPhase::Live;
        let start = self.waiting.partition_point(|stanza| stanza.sequence <= after);
        for stanza in self.waiting.iter_mut().skip(start) {
            stanza.sent = true;
            link.send_shared(stanza.node.clone());
        }
    }

    /// An `<ack>` from the device: takes out the oldest stanza it fits. Only the oldest, because a message that was
    /// sent again after a retry waits under the same id.
    pub(crate) fn acknowledge(&mut self, ack: &NodeRef<'_>) -> bool {
        let (Some(class), Some(id)) = (attr(ack, "class"), attr(ack, "id")) else {
            return false;
        };
        let to = attr(ack, "to").unwrap_or_default();
        let participant = attr(ack, "participant");
        let kind = attr(ack, "type");
        let fits =
            |stanza: &QueuedStanza| stanza.class == class && stanza.id == id && stanza.from == to;
        // The same id can wait as several receipts that differ in type and participant.
        let exact = |stanza: &QueuedStanza| {
            fits(stanza)
                && (class != "receipt" || stanza.kind == kind)
                && (participant.is_none() || stanza.participant == participant)
        };
        let found = self.waiting.iter().position(exact);
        match found.or_else(|| self.waiting.iter().position(fits)) {
            Some(index) => self.waiting.remove(index).is_some(),
            None => false,
        }
    }

    /// A receipt from the device: takes out every message it names.
    pub(crate) fn acknowledge_messages(&mut self, ids: &[String]) {
        // One id is the usual case, and cheaper compared than hashed.
        if let [id] = ids {
            self.waiting.retain(|stanza| stanza.id != *id || stanza.class != "message");
            return;
        }
        let named: HashSet<&str> = ids.iter().map(String::as_str).collect();
        self.waiting
            .retain(|stanza| stanza.class != "message" || !named.contains(stanza.id.as_str()));
    }

    /// Class and id of what waits, oldest first.
    pub(crate) fn list(&self) -> Vec<(String, String)> {
        self.waiting.iter().map(|stanza| (stanza.class.clone(), stanza.id.clone())).collect()
    }

    fn preview(&self) -> Node {
        let count = |class: &str| {
            let waiting = self.waiting.iter().filter(|stanza| stanza.class == class);
            waiting.count().to_string()
        };
        from_server(
            Build::new("offline_preview")
                .attr("count", self.waiting.len().to_string())
                .attr("message", count("message"))
                .attr("receipt", count("receipt"))
                .attr("notification", count("notification"))
                .attr("call", count("call"))
                .attr("appdata", "0")
                .build(),
        )
    }
}

fn end_marker(total: usize) -> Node {
    from_server(Build::new("offline").attr("count", total.to_string()).build())
}

fn from_server(child: Node) -> Node {
    Build::new("ib").attr("from", server_jid()).children([child]).build()
}
