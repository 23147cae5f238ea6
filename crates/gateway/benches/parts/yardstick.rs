//! The yardstick of what waits for the processor: the hash of the standard library, which no change of ours makes
//! faster.

use std::{
    hash::{DefaultHasher, Hasher as _},
    hint::black_box,
};

use tokio::time::Instant;

use crate::report::Report;

/// What is hashed in one run, in portions of one MiB.
const MIB: u32 = 64;
const RUNS: usize = 5;

/// Tells it as a time and as a rate: whatever is compared is divided by the one that grows with it.
pub fn tell_hashing(report: &Report, benchmark: &str) {
    let portion = vec![0x5a_u8; 1 << 20];
    let seconds: Vec<f64> = (0..RUNS).map(|_| hash(&portion)).collect();
    let column = |of: fn(&f64) -> f64| seconds.iter().map(of).collect::<Vec<f64>>();
    report.tell(&format!("{benchmark}.hash"), "ms", &column(|seconds| seconds * 1000.0));
    report.tell(&format!("{benchmark}.hash_rate"), "MiB/s", &column(|took| f64::from(MIB) / took));
}

fn hash(portion: &[u8]) -> f64 {
    let began = Instant::now();
    let mut hasher = DefaultHasher::new();
    for _ in 0..MIB {
        hasher.write(black_box(portion));
    }
    black_box(hasher.finish());
    began.elapsed().as_secs_f64()
}
