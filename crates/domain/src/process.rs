//! The processes that share a ledger.

use crate::time::Timestamp;

/// Stands between the name of a process and what tells its workers apart, in the names under which lanes are claimed.
const WORKER_MARK: char = '/';

/// What the ledger knows of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRecord {
    /// The name it takes leases under: one life of a process.
    pub id: String,
    /// Where it is asked by others, if it said so.
    pub url: Option<String>,
    /// When it said so last, by its own clock.
    pub seen_at: Option<Timestamp>,
    /// Sessions that it runs.
    pub sessions: u64,
    /// Until when it may run the last of them, unless it renews that.
    pub lease_until: Option<Timestamp>,
    /// Lanes that it holds.
    pub lanes: u64,
}

impl ProcessRecord {
    /// One of which nothing is known but its name.
    pub fn named(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            url: None,
            seen_at: None,
            sessions: 0,
            lease_until: None,
            lanes: 0,
        }
    }
}

/// The name under which a worker of a process claims lanes.
pub fn worker_name(process: &str, number: u64) -> String {
    format!("{process}{WORKER_MARK}{number:016x}")
}

/// The process that a worker belongs to; of a worker that names none, its own name.
pub fn process_of(worker: &str) -> &str {
    worker.rsplit_once(WORKER_MARK).map_or(worker, |(process, _)| process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_names_its_process() {
        assert_eq!(process_of(&worker_name("way/post-1", 7)), "way/post-1");
        assert_eq!(process_of("worker"), "worker");
    }
}
