//! The next step of a session's runner: which of its batches sends, or until when it waits.

use crate::time::Timestamp;

/// A batch of the session, as the runner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// When it could send at the earliest, but for the pace; nothing when only a change from outside lets it go on.
    pub ready_at: Option<Timestamp>,
}

/// What the runner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The batch at this place sends one item.
    Send(usize),
    /// Nothing before this time.
    Wait(Timestamp),
    /// Nothing until something changes.
    Rest,
}

/// Chooses. The batches of a session share one pace (`pace`: not before this time), and take turns: after the one at
/// `last` comes the next that is ready.
pub fn next(lanes: &[Lane], last: Option<usize>, pace: Timestamp, now: Timestamp) -> Next {
    let earliest = lanes.iter().filter_map(|lane| lane.ready_at).min();
    let Some(earliest) = earliest else { return Next::Rest };
    let at = earliest.max(pace);
    if now < at {
        return Next::Wait(at);
    }
    let first = last.map_or(0, |last| last + 1);
    let is_ready = |place: &usize| lanes[*place].ready_at.is_some_and(|ready| ready <= now);
    let turn = (0..lanes.len()).map(|step| (first + step) % lanes.len()).find(is_ready);
    turn.map_or(Next::Wait(at), Next::Send)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn lanes(ready: &[Option<i64>]) -> Vec<Lane> {
        ready.iter().map(|ready| Lane { ready_at: ready.map(at) }).collect()
    }

    #[test]
    fn batches_take_turns_and_share_the_pace() {
        let all = lanes(&[Some(0), Some(0), Some(0)]);
        assert_eq!(next(&all, None, at(0), at(1)), Next::Send(0));
        assert_eq!(next(&all, Some(0), at(0), at(1)), Next::Send(1));
        assert_eq!(next(&all, Some(2), at(0), at(1)), Next::Send(0));
        assert_eq!(next(&all, Some(2), at(4), at(1)), Next::Wait(at(4)));
    }

    #[test]
    fn who_cannot_send_is_passed_over() {
        let some = lanes(&[None, Some(9), Some(0)]);
        assert_eq!(next(&some, Some(2), at(0), at(1)), Next::Send(2));
        assert_eq!(next(&lanes(&[None, Some(9)]), None, at(0), at(1)), Next::Wait(at(9)));
        assert_eq!(next(&lanes(&[None]), None, at(0), at(1)), Next::Rest);
        assert_eq!(next(&[], None, at(0), at(1)), Next::Rest);
    }
}
