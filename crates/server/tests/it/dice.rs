//! A small generator with a seed: a failing run can be repeated.

/// xorshift64; the seed must not be 0.
pub struct Dice(u64);

impl Dice {
    /// From `WAYPOST_SEED`, or this one; says which.
    pub fn of(seed: u64) -> Self {
        let asked = std::env::var("WAYPOST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = asked.unwrap_or(seed).max(1);
        println!("seed {seed}: set WAYPOST_SEED to repeat another one");
        Self(seed)
    }

    /// For one of many parts of a run.
    pub fn part(seed: u64, part: usize) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (part as u64 + 1));
        dice.between(0, 1);
        dice
    }

    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        least + self.0 % (most - least + 1)
    }
}
