//! Randomness that repeats.

use std::sync::{Mutex, PoisonError};

use domain::Entropy;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// The same seed gives the same bytes.
pub struct SeededEntropy(Mutex<StdRng>);

impl SeededEntropy {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}
