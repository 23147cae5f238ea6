//! Frames: three bytes of length, then the content, over a WebSocket. The handshake is spoken in them, and every stanza
//! after it.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use futures::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use tokio::net::TcpStream;
use tokio_websockets::{Message, WebSocketStream};
use whatsapp_rust::wacore_binary::consts::WA_CONN_HEADER;

/// Largest frame accepted, in bytes. The length field allows 16 MiB; a client has no reason to send a quarter of it.
const FRAME_BYTES_MAX: usize = 4 << 20;

/// Longest wait for a client's goodbye.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);

/// Splits an accepted WebSocket into its two frame directions.
pub(crate) fn frames(socket: WebSocketStream<TcpStream>) -> (FrameReader, FrameWriter) {
    let (sink, stream) = socket.split();
    let reader = FrameReader { stream, buffer: BytesMut::new(), started: false };
    (reader, FrameWriter { sink })
}

/// Frames from the client. Cancel safe: bytes already read stay in the buffer.
pub(crate) struct FrameReader {
    stream: SplitStream<WebSocketStream<TcpStream>>,
    buffer: BytesMut,
    started: bool,
}

impl FrameReader {
    /// The next frame, or `None` when the client closed the link.
    ///
    /// # Errors
    /// When the link breaks, starts with an unknown prologue or announces a frame over the limit.
    pub(crate) async fn next(&mut self) -> Result<Option<BytesMut>> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            match self.stream.next().await {
                Some(Ok(message)) if message.is_binary() => {
                    self.buffer.extend_from_slice(&message.into_payload());
                }
                Some(Ok(message)) if message.is_close() => return Ok(None),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(None),
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<BytesMut>> {
        if !self.started && !self.skip_prologue()? {
            return Ok(None);
        }
        let Some(length) = self.length_at(0) else {
            return Ok(None);
        };
        ensure!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
        if self.buffer.len() < 3 + length {
            return Ok(None);
        }
        let _ = self.buffer.split_to(3);
        Ok(Some(self.buffer.split_to(length)))
    }

    /// Drops the routing hint, if one is sent, and the connection header. False while more bytes are needed.
    fn skip_prologue(&mut self) -> Result<bool> {
        if self.buffer.len() < 4 {
            return Ok(false);
        }
        if &self.buffer[..4] == b"ED\x00\x01" {
            let Some(length) = self.length_at(4) else {
                return Ok(false);
            };
            if self.buffer.len() < 7 + length + 4 {
                return Ok(false);
            }
            let _ = self.buffer.split_to(7 + length);
        }
        if self.buffer[..4] != WA_CONN_HEADER {
            bail!("unknown prologue {:02x?}", &self.buffer[..4]);
        }
        let _ = self.buffer.split_to(4);
        self.started = true;
        Ok(true)
    }

    fn length_at(&self, at: usize) -> Option<usize> {
        let bytes = self.buffer.get(at..at + 3)?;
        Some(usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]))
    }
}

/// Frames to the client.
pub(crate) struct FrameWriter {
    sink: SplitSink<WebSocketStream<TcpStream>, Message>,
}

impl FrameWriter {
    /// Sends a frame: its length in three bytes, then the payload.
    pub(crate) async fn send(&mut self, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len())?.to_be_bytes();
        ensure!(length[0] == 0, "a frame of {} bytes", payload.len());
        let mut frame = Vec::with_capacity(payload.len() + 3);
        frame.extend_from_slice(&length[1..]);
        frame.extend_from_slice(payload);
        self.sink.send(Message::binary(Bytes::from(frame))).await?;
        Ok(())
    }

    /// Says goodbye at the WebSocket level and waits a moment for the client's. What the client sends meanwhile is
    /// dropped. Errors do not matter any more.
    pub(crate) async fn close(mut self) {
        let _ = tokio::time::timeout(GOODBYE_LIMIT, self.sink.close()).await;
    }
}
