//! What the process says: frames, collected while a piece of work runs, and written together at its end.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::clock::now;
use crate::wire::{self, FromChild};

/// So much is written at once, at the latest.
const COLLECTED_MAX: usize = 1 << 20;
/// Lines of a log within [`LOG_WINDOW`]; what is more is dropped.
const LOG_LINES_MAX: u32 = 200;
const LOG_WINDOW: Duration = Duration::from_secs(10);
/// Largest result of a call, in bytes of JSON.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Largest thing that a plugin may ask for, in bytes of JSON: a file as base64.
const ASK_BYTES_MAX: usize = 24 << 20;

/// A place for frames, cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Said {
    out: Collected,
    lines: Rc<RefCell<LogWindow>>,
}

/// The frames. They are behind a lock only because the hook of a panic may be called anywhere.
#[derive(Clone, Default)]
pub(super) struct Collected(Arc<Mutex<Vec<u8>>>);

#[derive(Default)]
struct LogWindow {
    since: Option<Instant>,
    lines: u32,
}

impl Said {
    fn out(&self) -> MutexGuard<'_, Vec<u8>> {
        self.out.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the hook of a panic needs.
    pub(super) fn collected(&self) -> Collected {
        self.out.clone()
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// A sentence for the plugin: it is too large.
    pub(super) fn post(
        &self,
        kind: FromChild,
        id: u32,
        call: u32,
        body: &[u8],
    ) -> Result<(), String> {
        let limit = match kind {
            FromChild::Ask => ASK_BYTES_MAX,
            _ => ANSWER_BYTES_MAX,
        };
        if body.len() > limit {
            return Err(format!("it is larger than the {limit} bytes that are taken"));
        }
        if kind == FromChild::Log && !self.lines.borrow_mut().take(now()) {
            return Ok(());
        }
        let full = {
            let mut out = self.out();
            wire::push(&mut out, kind as u8, id, call, body);
            out.len() > COLLECTED_MAX
        };
        if full {
            self.flush().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// A piece of work is done.
    pub(super) fn idle(&self) -> io::Result<()> {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let nanos = used.tv_sec.unsigned_abs() * 1_000_000_000 + used.tv_nsec.unsigned_abs();
        wire::push(&mut self.out(), FromChild::Idle as u8, 0, 0, &nanos.to_le_bytes());
        self.flush()
    }

    /// A timer's work begins.
    pub(super) fn busy(&self) -> io::Result<()> {
        wire::push(&mut self.out(), FromChild::Busy as u8, 0, 0, &[]);
        self.flush()
    }

    fn flush(&self) -> io::Result<()> {
        let mut out = self.out();
        write_all(&out)?;
        out.clear();
        out.shrink_to(COLLECTED_MAX);
        Ok(())
    }
}

impl Collected {
    /// The last words.
    pub(super) fn die(&self, why: &str) {
        let Ok(text) = serde_json::to_vec(why) else { return };
        if let Ok(mut out) = self.0.try_lock() {
            wire::push(&mut out, FromChild::Dead as u8, 0, 0, &text);
            let _ = write_all(&out);
            out.clear();
        }
    }
}

impl LogWindow {
    fn take(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) > LOG_WINDOW) {
            *self = Self { since: Some(now), lines: 0 };
        }
        self.lines += 1;
        self.lines <= LOG_LINES_MAX
    }
}

fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
