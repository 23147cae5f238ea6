//! Whether writes are taken. One line in the log for each change of it, however often something is tried meanwhile.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use domain::port::{StoreError, Trouble};

use crate::error;

/// What the last writes showed.
#[derive(Default)]
pub(crate) struct Condition {
    trouble: Mutex<Option<Trouble>>,
    /// The same, for those who ask before everything they do.
    in_trouble: AtomicBool,
}

impl Condition {
    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why none are taken.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        if !self.in_trouble.load(Ordering::Acquire) {
            return None;
        }
        *self.lock()
    }

    /// Something was not written although nothing was wrong with it.
    pub(crate) fn fails(&self, trouble: Trouble, error: &StoreError) {
        let mut known = self.lock();
        let news = *known != Some(trouble);
        *known = Some(trouble);
        self.in_trouble.store(true, Ordering::Release);
        if news {
            tracing::error!(
                error = error as &dyn std::error::Error,
                reason = trouble.as_str(),
                "the ledger takes no writes: {}",
                trouble.advice()
            );
        } else {
            tracing::debug!(error = error as &dyn std::error::Error, "not written");
        }
    }

    /// A probe was written.
    pub(crate) fn works(&self) {
        let mut known = self.lock();
        self.in_trouble.store(false, Ordering::Release);
        if known.take().is_some() {
            tracing::warn!("the ledger takes writes again");
        }
    }

    /// The same for a part that failed while others may have been written.
    pub(crate) fn look_at(&self, error: &StoreError) {
        if let Some(trouble) = error::trouble(error) {
            self.fails(trouble, error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::unavailable;

    #[test]
    fn trouble_lasts_until_something_was_written() {
        let condition = Condition::default();
        assert_eq!(condition.trouble(), None);
        condition.fails(Trouble::DiskFull, &unavailable("committing"));
        condition.fails(Trouble::ReadOnly, &unavailable("committing"));
        assert_eq!(condition.trouble(), Some(Trouble::ReadOnly));
        condition.works();
        assert_eq!(condition.trouble(), None);
    }
}
