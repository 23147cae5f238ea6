//! Who gets the free places: first tries to receivers that work always find one.

use crate::ids::WebhookId;

/// Lanes that a worker holds per place: while the result of one is on its way to the disk, others use the place.
pub const LANES_PER_PLACE: u32 = 64;

/// A webhook with lanes that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The webhook that it is about.
    pub webhook: WebhookId,
    /// Whether its receiver is doubtful.
    pub failing: bool,
    /// Most lanes it may have on the way; `None`: no limit of its own.
    pub most: Option<u32>,
    /// Lanes it has on the way.
    pub held: u32,
}

/// The lanes of a worker before the share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// How many more it takes.
    pub free: u32,
    /// How many it may hold: [`LANES_PER_PLACE`] for each place.
    pub all: u32,
    /// Those of retries and of doubtful receivers that it holds.
    pub doubtful: u32,
}

/// What a webhook gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The webhook that it is about.
    pub webhook: WebhookId,
    /// Lanes it may take at most.
    pub lanes: u32,
}

impl Places {
    /// Doubtful lanes may use at most half of the places, at least one.
    pub fn doubtful_room(&self) -> u32 {
        (self.all / LANES_PER_PLACE / 2).max(1).saturating_sub(self.doubtful)
    }

    /// One doubtful receiver may use at most a quarter of the places, at least one.
    pub fn failing_most(&self) -> u32 {
        (self.all / LANES_PER_PLACE / 4).max(1)
    }

    /// Shares what is free. A webhook that works gets at most its even part of all lanes, so that one that hangs cannot
    /// collect them. Webhooks are asked in the order given.
    pub fn share(&self, candidates: &[Candidate]) -> Vec<Share> {
        let mut room = self.doubtful_room();
        let sound = candidates.iter().filter(|candidate| !candidate.failing).count();
        let even = self.all.div_ceil(u32::try_from(sound).unwrap_or(u32::MAX).max(1));
        let mut shares = Vec::with_capacity(candidates.len());
        // Those that work first; what they leave is for the others, within their room.
        for failing in [false, true] {
            for candidate in candidates.iter().filter(|one| one.failing == failing) {
                let part = if failing { self.failing_most() } else { even };
                let most = part.min(candidate.most.unwrap_or(part)).saturating_sub(candidate.held);
                let mut lanes = most.min(self.free);
                if failing {
                    lanes = lanes.min(room);
                    room -= lanes;
                }
                shares.push(Share { webhook: candidate.webhook, lanes });
            }
        }
        shares.retain(|share| share.lanes > 0);
        shares
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn hook(number: u128, failing: bool) -> Candidate {
        let webhook = WebhookId::from_uuid(Uuid::from_u128(number));
        Candidate { webhook, failing, most: None, held: 0 }
    }

    fn all(places: u32) -> Places {
        Places { free: places * LANES_PER_PLACE, all: places * LANES_PER_PLACE, doubtful: 0 }
    }

    fn lanes(places: Places, candidates: &[Candidate]) -> Vec<u32> {
        places.share(candidates).iter().map(|share| share.lanes).collect()
    }

    #[test]
    fn a_single_webhook_gets_everything_and_two_share() {
        assert_eq!(lanes(all(16), &[hook(1, false)]), [1024]);
        assert_eq!(lanes(all(16), &[hook(1, false), hook(2, false)]), [512, 512]);
        let hanging = Candidate { held: 512, ..hook(1, false) };
        assert_eq!(lanes(all(16), &[hanging, hook(2, false)]), [512], "it collects no more");
    }

    #[test]
    fn the_degraded_get_half_of_the_slots_together_and_a_quarter_each() {
        let three = [hook(1, true), hook(2, true), hook(3, true)];
        assert_eq!(lanes(all(16), &three), [4, 4]);
        let none = Places { doubtful: 8, ..all(16) };
        assert!(lanes(none, &three).is_empty());
        assert_eq!(lanes(none, &[hook(1, true), hook(2, false)]), [1024]);
        assert_eq!(lanes(all(1), &three), [1], "even one place is enough to probe");
    }

    #[test]
    fn limits_of_a_webhook_hold() {
        let limited = Candidate { most: Some(2), held: 1, ..hook(1, false) };
        assert_eq!(lanes(all(16), &[limited]), [1]);
        assert!(lanes(all(16), &[Candidate { held: 2, ..limited }]).is_empty());
    }
}
