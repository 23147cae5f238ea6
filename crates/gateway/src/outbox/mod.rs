//! Sends under way: who waits for an ack, which send of a chat goes first, which chats of a connection are free, and what
//! an ack or a refusal writes.

pub(crate) mod acks;
mod gate;
mod order;

pub(crate) use acks::{Answer, Ticket, Waiters};
pub(crate) use gate::{Claim, Gate, Passing};
pub(crate) use order::{Outbox, Place};
