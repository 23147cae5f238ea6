//! Which traces are kept.

use domain::trace::TraceId;

/// The part of a trace's id by which it is chosen: of every id that is made today these bits are random.
const CHANCE_BITS: u32 = 56;

/// What is kept of traces that nobody has decided about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TraceShare {
    /// All of them, or none.
    All(bool),
    /// Those whose chance is at least so much.
    From(u64),
}

/// Decides which traces are kept: the same in every process, because it goes by the trace's id.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    share: TraceShare,
    /// Whoever began the trace has decided.
    by_parent: bool,
}

impl Sampler {
    /// As the settings write them.
    pub const NAMES: [&str; 6] = [
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ];

    /// Reads a name and, for a ratio, its argument: from 0 to 1, empty for all. `None` when one of them is wrong.
    pub fn parse(name: &str, argument: &str) -> Option<Self> {
        let (base, by_parent) = match name.strip_prefix("parentbased_") {
            Some(base) => (base, true),
            None => (name, false),
        };
        let share = match base {
            "always_on" => TraceShare::All(true),
            "always_off" => TraceShare::All(false),
            "traceidratio" if argument.trim().is_empty() => TraceShare::All(true),
            "traceidratio" => {
                let ratio: f64 = argument.trim().parse().ok()?;
                let all = (1_u64 << CHANCE_BITS) as f64;
                (0.0..=1.0)
                    .contains(&ratio)
                    .then_some(TraceShare::From(((1.0 - ratio) * all) as u64))?
            }
            _ => return None,
        };
        Some(Self { share, by_parent })
    }

    /// Whether a span of a trace is kept, when its parent is, is not, or there is none.
    pub fn keeps(self, trace: TraceId, parent: Option<bool>) -> bool {
        match (parent, self.share) {
            (Some(kept), _) if self.by_parent => kept,
            (_, TraceShare::All(kept)) => kept,
            (_, TraceShare::From(least)) => chance(trace) >= least,
        }
    }
}

/// The random part of an id.
fn chance(trace: TraceId) -> u64 {
    u128::from_be_bytes(trace.bytes()) as u64 & ((1 << CHANCE_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use domain::{Entropy as _, EventId, trace::TraceContext};

    use super::*;
    use crate::system::SystemEntropy;

    fn trace(last: u8) -> TraceId {
        TraceId::from_bytes([last; 16]).unwrap()
    }

    #[test]
    fn whoever_began_a_trace_decides_where_that_is_asked_for() {
        let keeps = |name: &str, parent| Sampler::parse(name, "").unwrap().keeps(trace(1), parent);
        assert!(keeps("always_on", Some(false)) && !keeps("always_off", Some(true)));
        assert!(keeps("parentbased_always_on", None) && !keeps("parentbased_always_off", None));
        assert!(!keeps("parentbased_always_on", Some(false)));
        assert!(keeps("parentbased_always_off", Some(true)));
        assert!(!keeps("parentbased_traceidratio", Some(false)));
    }

    #[test]
    fn a_ratio_keeps_that_share_also_of_events() {
        let mut random = [0u8; 16];
        for (ratio, least, most) in [("0", 0, 0), ("0.25", 150, 350), ("1", 1000, 1000)] {
            let sampler = Sampler::parse("traceidratio", ratio).unwrap();
            let (mut traces, mut events) = (0, 0);
            for number in 0..1000 {
                SystemEntropy.fill(&mut random);
                let trace = TraceId::from_bytes(random).unwrap();
                traces += u32::from(sampler.keeps(trace, Some(false)));
                let event = EventId::at(domain::Timestamp::from_millis(number), &SystemEntropy);
                let trace = TraceContext::of_event(event, true).unwrap().trace;
                events += u32::from(sampler.keeps(trace, None));
            }
            assert!((least..=most).contains(&traces), "{traces} traces at {ratio}");
            assert!((least..=most).contains(&events), "{events} events at {ratio}");
        }
    }

    #[test]
    fn what_is_no_sampler_is_refused() {
        for (name, argument) in [
            ("sometimes", ""),
            ("traceidratio", "2"),
            ("traceidratio", "-1"),
            ("traceidratio", "x"),
        ] {
            assert_eq!(Sampler::parse(name, argument), None, "{name} {argument}");
        }
        assert!(Sampler::NAMES.iter().all(|name| Sampler::parse(name, "0.5").is_some()));
    }
}
