//! Sends under way: who waits for an ack, which send of a chat goes first, which chats of a connection are free, and
//! what an ack or a refusal writes.

pub(crate) mod acks;
mod gate;
mod order;

pub(crate) use acks::{AckAnswer, AckTicket, AckWaiters};
pub(crate) use gate::{GateClaim, GatePass, SendGate};
pub(crate) use order::{LinePlace, Outbox};
