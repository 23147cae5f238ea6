//! Real plugins in real processes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod hostile;
mod house;
mod language;
mod speed;
