//! A file that comes too slowly holds a slot for ever, and its server pays nothing for it.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use domain::{Clock, Timestamp};

/// How long a file may come at any pace.
const GRACE: Duration = Duration::from_secs(60);
/// Its least pace after that, since its beginning, bytes per second: 50 MiB would take two hours (and has 15 minutes).
const LEAST_PACE: u64 = 8 * 1024;

/// A body that fails when it is too slow.
pub(super) struct PacedBody<R> {
    inner: R,
    clock: Arc<dyn Clock>,
    began: Timestamp,
    read: u64,
}

impl<R> PacedBody<R> {
    pub(super) fn new(inner: R, clock: Arc<dyn Clock>) -> Self {
        let began = clock.now();
        Self { inner, clock, began, read: 0 }
    }
}

impl<R: Read> Read for PacedBody<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.read = self.read.saturating_add(read as u64);
        let passed = self.clock.now().since(self.began);
        if read > 0 && passed > GRACE && self.read < passed.as_secs().saturating_mul(LEAST_PACE) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the file comes too slowly"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use testkit::ManualClock;

    use super::*;

    #[test]
    fn a_trickle_is_cut_off_and_a_slow_line_is_not() {
        let clock = ManualClock::default();
        let mut body = PacedBody::new(io::repeat(1), Arc::new(clock.clone()));
        let mut byte = [0];
        clock.advance(GRACE);
        body.read_exact(&mut byte).unwrap();
        clock.advance(Duration::from_secs(1));
        assert_eq!(body.read(&mut byte).unwrap_err().kind(), io::ErrorKind::TimedOut);

        let mut body = PacedBody::new(io::repeat(1), Arc::new(clock.clone()));
        let mut second = vec![0; 16 * 1024];
        for _ in 0..600 {
            clock.advance(Duration::from_secs(1));
            body.read_exact(&mut second).unwrap();
        }
    }
}
