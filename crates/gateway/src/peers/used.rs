//! The numbers of requests that were taken: each counts once, for as long as its seal is good.

use std::collections::{HashSet, VecDeque};

use domain::{
    Timestamp,
    hop::{AGE_MAX, Nonce},
};

use super::NotTaken;

/// Most numbers that are remembered; beyond, nothing is taken until some are old.
const REMEMBERED_MAX: usize = 500_000;

#[derive(Default)]
pub(super) struct UsedNonces {
    numbers: HashSet<Nonce>,
    /// By the time they were taken, with the time from which a seal is too old anyway.
    forget: VecDeque<(Timestamp, Nonce)>,
}

impl UsedNonces {
    /// Takes the number of a seal that is good now.
    pub(super) fn take(
        &mut self,
        nonce: Nonce,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), NotTaken> {
        while let Some((until, old)) = self.forget.front() {
            if *until >= now {
                break;
            }
            self.numbers.remove(old);
            self.forget.pop_front();
        }
        if self.numbers.len() >= REMEMBERED_MAX {
            return Err(NotTaken::TooMany);
        }
        if !self.numbers.insert(nonce) {
            return Err(NotTaken::Again);
        }
        // A seal may be dated ahead; one that is remembered longer than it has to be does no harm.
        self.forget.push_back((at.max(now).plus(AGE_MAX), nonce));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_841_600_000);

    fn numbered(number: u128) -> Nonce {
        number.to_be_bytes()
    }

    #[test]
    fn a_number_is_taken_once_while_its_seal_is_good() {
        let mut used = UsedNonces::default();
        let ahead = NOW.plus(AGE_MAX);
        assert_eq!(used.take(numbered(1), ahead, NOW), Ok(()));
        for now in [NOW, NOW.plus(AGE_MAX), ahead.plus(AGE_MAX)] {
            assert_eq!(used.take(numbered(1), ahead, now), Err(NotTaken::Again));
        }
        assert_eq!(used.take(numbered(2), NOW, NOW), Ok(()));
    }

    #[test]
    fn old_numbers_make_room() {
        let mut used = UsedNonces::default();
        for number in 0..REMEMBERED_MAX {
            used.take(numbered(number as u128), NOW, NOW).unwrap();
        }
        let new = numbered(u128::MAX);
        assert_eq!(used.take(new, NOW, NOW), Err(NotTaken::TooMany));
        let later = NOW.plus(AGE_MAX + Duration::from_millis(1));
        assert_eq!(used.take(new, later, later), Ok(()));
        assert_eq!(used.forget.len(), 1);
    }
}
