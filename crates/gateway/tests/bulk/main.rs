//! Batches on a real ledger; the clock is the test's, WhatsApp is played, and the process dies when the test says so.

#![expect(clippy::unwrap_used, reason = "a test that fails to set up has failed")]

mod crashes;
mod forecasts;
mod house;
mod late;
mod limits;
mod runs;
mod volume;
