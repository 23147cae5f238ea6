//! Inputs that are nearly right: seeds with bytes changed, cut out, doubled and mixed. What a coverage-guided fuzzer
//! finds in hours needs `cargo xtask fuzz`; this finds in seconds what lies near.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// Bytes that parsers treat as special.
const SPECIAL: [u8; 16] = *b"\"'{}[]()\\\n\r\t,;:\0";
/// Longest input that is made, in bytes.
const INPUT_BYTES_MAX: usize = 16 * 1024;
/// Most changes to one input.
const CHANGES_MAX: usize = 6;

/// Gives `cases` inputs that derive from `seeds` to a target; the same `seed` gives the same inputs.
///
/// # Panics
/// When the target does, with the input as a Rust literal.
pub fn mutate(seed: u64, seeds: &[&[u8]], cases: u32, target: fn(&[u8])) {
    let mut rng = StdRng::seed_from_u64(seed);
    for case in 0..cases {
        let mut input = pick(&mut rng, seeds).to_vec();
        // The seeds themselves come first.
        if case as usize >= seeds.len() {
            for _ in 0..rng.random_range(1..=CHANGES_MAX) {
                change(&mut rng, &mut input, seeds);
            }
        } else {
            input = seeds[case as usize].to_vec();
        }
        input.truncate(INPUT_BYTES_MAX);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            eprintln!("case {case} of seed {seed}: b\"{}\"", input.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

fn pick<'s>(rng: &mut StdRng, seeds: &[&'s [u8]]) -> &'s [u8] {
    if seeds.is_empty() { b"" } else { seeds[rng.random_range(0..seeds.len())] }
}

/// A part of some bytes.
fn part(rng: &mut StdRng, bytes: &[u8]) -> std::ops::Range<usize> {
    let from = rng.random_range(0..=bytes.len());
    let most = (bytes.len() - from).min(64);
    from..from + rng.random_range(0..=most)
}

fn change(rng: &mut StdRng, input: &mut Vec<u8>, seeds: &[&[u8]]) {
    let at = rng.random_range(0..=input.len());
    match rng.random_range(0..7) {
        0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
        1 if at < input.len() => input[at] = rng.random(),
        2 => input.insert(at, SPECIAL[rng.random_range(0..SPECIAL.len())]),
        3 => drop(input.drain(part(rng, &input.clone()))),
        4 => {
            let range = part(rng, input);
            let again = input[range].to_vec();
            input.splice(at..at, again);
        }
        5 => {
            let other = pick(rng, seeds);
            let range = part(rng, other);
            input.splice(at..at, other[range].iter().copied());
        }
        _ => input.truncate(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "found")]
    fn a_target_that_dislikes_what_lies_near_a_seed_is_caught() {
        mutate(1, &[b"abc"], 5_000, |input| assert!(!input.contains(&b'{'), "found"));
    }
}
