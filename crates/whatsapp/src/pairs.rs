//! Numbers behind privacy ids, from every source: the library stores a pair whenever anything names both ids of a
//! person (messages, look-ups, groups, notifications), and what it stores is told here.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::{ChatId, PhoneNumber, chat::Identity};
use whatsapp_rust::traits::LidPnMappingEntry;

/// Pairs that may wait: the members of several large groups. With one more, all that are stored are told again.
const WAITING_MAX: usize = 4096;
/// Pairs that are handed over at once.
const AT_ONCE: usize = 256;

/// Pairs that were stored and not told yet.
pub(crate) struct LearnedPairs {
    told: async_channel::Sender<Identity>,
    waiting: async_channel::Receiver<Identity>,
    missed: AtomicBool,
}

impl Default for LearnedPairs {
    fn default() -> Self {
        let (told, waiting) = async_channel::bounded(WAITING_MAX);
        Self { told, waiting, missed: AtomicBool::new(false) }
    }
}

impl LearnedPairs {
    /// Pairs are stored.
    pub fn note(&self, entries: &[LidPnMappingEntry]) {
        for identity in entries.iter().filter_map(identity) {
            if self.told.try_send(identity).is_err() {
                self.missed.store(true, Ordering::Release);
            }
        }
    }

    /// The next ones, as soon as there are any.
    pub async fn next(&self) -> Vec<Identity> {
        let mut pairs = Vec::new();
        if let Ok(first) = self.waiting.recv().await {
            pairs.push(first);
        }
        while pairs.len() < AT_ONCE
            && let Ok(more) = self.waiting.try_recv()
        {
            pairs.push(more);
        }
        pairs
    }

    /// Whether some found no place since this was asked last, and none waits any more.
    pub fn take_missed(&self) -> bool {
        self.waiting.is_empty() && self.missed.swap(false, Ordering::AcqRel)
    }
}

/// Stored pairs in portions, as they are told.
pub(crate) fn portions(entries: &[LidPnMappingEntry]) -> impl Iterator<Item = Vec<Identity>> {
    entries.chunks(AT_ONCE).map(|some| some.iter().filter_map(identity).collect())
}

fn identity(entry: &LidPnMappingEntry) -> Option<Identity> {
    let lid: ChatId = format!("{}@lid", entry.lid).parse().ok()?;
    Some(Identity { lid, phone: PhoneNumber::parse(&entry.phone_number)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: usize) -> LidPnMappingEntry {
        LidPnMappingEntry {
            lid: format!("9000{number:07}"),
            phone_number: format!("4917{number:07}"),
            created_at: 0,
            updated_at: 0,
            learning_source: "usync".into(),
        }
    }

    #[tokio::test]
    async fn what_found_no_place_is_noticed_when_the_rest_is_told() {
        let pairs = LearnedPairs::default();
        let all: Vec<_> = (0..=WAITING_MAX).map(entry).collect();
        pairs.note(&all);
        let mut told = 0;
        while told < WAITING_MAX {
            assert!(!pairs.take_missed(), "some still wait");
            let some = pairs.next().await;
            assert!(some.len() <= AT_ONCE);
            told += some.len();
        }
        assert!(pairs.take_missed());
        assert!(!pairs.take_missed());
        let again: usize = portions(&all).map(|portion| portion.len()).sum();
        assert_eq!(again, all.len());
    }

    #[test]
    fn a_pair_that_makes_no_sense_is_left_out() {
        let odd = LidPnMappingEntry { phone_number: "me".into(), ..entry(1) };
        assert_eq!(identity(&odd), None);
        assert!(identity(&entry(1)).is_some());
    }
}
