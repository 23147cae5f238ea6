//! Frames: `length: u32 | kind: u8 | id: u32 | call: u32 | body`, little-endian; the length is the body's.

/// Largest body. The largest that is meant to come is an answer of `net.fetch`, 10 MiB as JSON text.
pub const BODY_BYTES_MAX: usize = 32 << 20;
const HEADER_BYTES: usize = 13;

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $number),+ }

        impl TryFrom<u8> for $name {
            type Error = Broken;

            fn try_from(number: u8) -> Result<Self, Broken> {
                match number {
                    $($number => Ok(Self::$variant),)+
                    _ => Err(Broken("a frame of a kind that does not exist")),
                }
            }
        }
    };
}

kinds! {
    /// What the gateway says to a child.
    ToChild {
        /// The program, first of all.
        Program = 1,
        /// A call, with its number.
        Call = 2,
        /// The answer to what the plugin asked for.
        Answer = 3,
        /// What the plugin asked for is refused, with a sentence.
        Refusal = 4,
    }
}

kinds! {
    /// What a child says.
    FromChild {
        /// A call's result.
        Answer = 1,
        /// A call threw.
        Threw = 2,
        /// The plugin asks for something, in a call.
        Ask = 3,
        /// A line of its log.
        Log = 4,
        /// A handler, with its number.
        Hook = 5,
        /// A route for providers.
        Route = 6,
        /// What came last is worked off. The body is the processor time that the child has used so far, in nanoseconds.
        Idle = 7,
        /// A timer's work begins.
        Busy = 8,
        /// It cannot go on, with a sentence.
        Dead = 9,
    }
}

/// The other side said something that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// One message of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Of [`ToChild`] or [`FromChild`].
    pub kind: u8,
    /// What the kind says.
    pub id: u32,
    /// The call that it is about.
    pub call: u32,
    /// JSON text, but for [`FromChild::Idle`].
    pub body: Vec<u8>,
}

/// Appends a frame.
pub fn push(out: &mut Vec<u8>, kind: u8, id: u32, call: u32, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("a body is within its limit");
    out.extend_from_slice(&length.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&call.to_le_bytes());
    out.extend_from_slice(body);
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    at: usize,
}

impl Frames {
    /// More bytes have come.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        } else if self.at > 1 << 16 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// Its length is over the limit.
    pub fn take_next(&mut self) -> Result<Option<Frame>, Broken> {
        let rest = &self.bytes[self.at..];
        let Some((header, behind)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let number = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let length = number(0) as usize;
        if length > BODY_BYTES_MAX {
            return Err(Broken("a frame that is too large"));
        }
        let Some(body) = behind.get(..length) else { return Ok(None) };
        let frame = Frame { kind: header[4], id: number(5), call: number(9), body: body.to_vec() };
        self.at += HEADER_BYTES + length;
        if self.at == self.bytes.len() {
            // What a large frame took is given back.
            self.bytes.clear();
            self.bytes.shrink_to(1 << 16);
            self.at = 0;
        }
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut bytes = Vec::new();
        push(&mut bytes, 1, 7, 9, b"{}");
        push(&mut bytes, 7, 0, 0, b"");
        push(&mut bytes, 3, u32::MAX, 1, &[b'x'; 100]);
        for size in [1, 2, 13, 14, 1000] {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for part in bytes.chunks(size) {
                frames.feed(part);
                while let Some(frame) = frames.take_next().unwrap() {
                    found.push((frame.kind, frame.id, frame.call, frame.body.len()));
                }
            }
            assert_eq!(found, [(1, 7, 9, 2), (7, 0, 0, 0), (3, u32::MAX, 1, 100)], "{size}");
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_anything_is_kept_for_it() {
        let mut frames = Frames::default();
        frames.feed(&[255; HEADER_BYTES]);
        assert!(frames.take_next().is_err());
    }
}
