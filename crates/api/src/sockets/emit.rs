//! One frame into a socket's buffer, if there is room.
//!
//! The library has one bounded buffer for each connection, for what we say and for its own signs of life, and closes
//! a connection whose buffer is full when a sign of life is due. So some places are kept free: a client that reads
//! slowly lives, and one that is shut out hears why. How many places are free can only be asked by taking one: a
//! place is taken before a frame is written out, and given back when that fails.

use std::cell::Cell;

use serde::{Serialize, Serializer, ser::Error as _};
use socketioxide::{SendError, SocketError, extract::SocketRef};

/// The name of every event, both ways.
pub const MESSAGE: &str = "message";
/// Places that events leave free: for a sign of life, the last word, the end, and one more sign.
const KEPT_FREE: usize = 4;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emitted {
    /// It is in the buffer.
    Taken,
    /// There is no room now.
    Full,
    /// The socket is closed.
    Gone,
}

/// Puts a frame into the buffer if enough places stay free.
pub fn emit(socket: &SocketRef, frame: &impl Serialize) -> Emitted {
    outcome(socket.emit(MESSAGE, &WithRoom { socket, frame }))
}

/// Puts the last frame into the buffer, where places were kept for it.
pub fn emit_last(socket: &SocketRef, frame: &impl Serialize) -> Emitted {
    outcome(socket.emit(MESSAGE, frame))
}

fn outcome(sent: Result<(), SendError>) -> Emitted {
    match sent {
        Ok(()) => Emitted::Taken,
        Err(SendError::Socket(SocketError::Closed)) => Emitted::Gone,
        // A frame always serialises; what fails is the look for room.
        Err(SendError::Socket(SocketError::InternalChannelFull) | SendError::Serialize(_)) => {
            Emitted::Full
        }
    }
}

/// A frame that is written out only when places stay free behind its own.
struct WithRoom<'a, T> {
    socket: &'a SocketRef,
    frame: &'a T,
}

impl<T: Serialize> Serialize for WithRoom<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !has_room(self.socket, KEPT_FREE) {
            return Err(S::Error::custom("no room"));
        }
        self.frame.serialize(serializer)
    }
}

fn has_room(socket: &SocketRef, places: usize) -> bool {
    let found = Cell::new(false);
    // It always fails: the place is given back.
    let _ = socket.emit(MESSAGE, &RoomLook { socket, more: places - 1, found: &found });
    found.get()
}

/// A frame that is never written: it looks whether more places are free while it holds one.
struct RoomLook<'a> {
    socket: &'a SocketRef,
    more: usize,
    found: &'a Cell<bool>,
}

impl Serialize for RoomLook<'_> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        self.found.set(self.more == 0 || has_room(self.socket, self.more));
        Err(S::Error::custom("only a look"))
    }
}
