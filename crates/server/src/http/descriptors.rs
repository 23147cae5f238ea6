//! How many files and sockets this process may have open, and how many of them clients get.

/// The share of all descriptors that is never given to clients, as a fraction's denominator: deliveries, WhatsApp's
/// connections, the ledger and files live on it.
const KEPT_BACK: usize = 2;
/// More are not asked for: the system reserves room for each.
const ASKED_FOR: u64 = 65_536;

/// Raises this process's limit as far as it may go by itself; what it is now, where the system says so.
pub fn raise() -> Option<usize> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(ASKED_FOR);
    if limit.current.is_some_and(|now| now < most) {
        limit.current = Some(most);
        // What was allowed before still is when this is refused.
        let _ = setrlimit(Resource::Nofile, limit);
        limit = getrlimit(Resource::Nofile);
    }
    limit.current.map(|now| usize::try_from(now).unwrap_or(usize::MAX))
}

/// How many connections of clients there may be of those that are wanted.
pub fn allowance(wanted: usize, descriptors: Option<usize>) -> usize {
    let share =
        descriptors.map_or(wanted, |all| (all / KEPT_BACK).saturating_sub(super::ENDING_MAX));
    wanted.min(share).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_is_never_given_to_clients() {
        assert_eq!(allowance(1024, Some(65_536)), 1024);
        assert_eq!(allowance(1024, Some(1024)), 448);
        assert_eq!(allowance(1024, None), 1024);
        assert_eq!(allowance(1024, Some(16)), 1);
    }
}
