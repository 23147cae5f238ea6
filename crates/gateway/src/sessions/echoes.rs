//! Changes of groups that this API makes: WhatsApp tells every device of the account of them, this one too. What it
//! tells is the event; that it was this API's doing is known here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{ChatId, SessionId, Timestamp, group::GroupNews};

/// How long WhatsApp may take to tell.
const LIFE: Duration = Duration::from_secs(120);
/// Changes of a session of which WhatsApp has not told yet. When full the oldest counts as the phone's.
const EXPECTED_MAX: usize = 256;

/// The changes that are under way, by session.
#[derive(Default)]
pub(crate) struct GroupEchoes {
    expected: Mutex<HashMap<SessionId, VecDeque<ExpectedEcho>>>,
}

/// One change that WhatsApp is going to tell of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpectedEcho {
    /// The group, if it has an id already.
    pub(crate) group: Option<ChatId>,
    /// The sort of change.
    pub(crate) word: &'static str,
    /// Since when it is under way.
    pub(crate) at: Timestamp,
}

impl GroupEchoes {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, VecDeque<ExpectedEcho>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change begins.
    pub(crate) fn expect(&self, session: SessionId, echo: ExpectedEcho) {
        let mut all = self.lock();
        let expected = all.entry(session).or_default();
        expected.retain(|known| echo.at.since(known.at) < LIFE);
        if expected.len() >= EXPECTED_MAX {
            expected.pop_front();
        }
        expected.push_back(echo);
    }

    /// A change was refused: nobody will tell of it.
    pub(crate) fn forget(&self, session: SessionId, echo: &ExpectedEcho) {
        self.take(session, |known| known.group == echo.group && known.word == echo.word);
    }

    /// Whether this API made the change that WhatsApp tells of. Each counts once.
    pub(crate) fn is_ours(&self, session: SessionId, news: &GroupNews, now: Timestamp) -> bool {
        news.source.is_some()
            && self.take(session, |known| {
                let same_group = known.group.as_ref().is_none_or(|group| *group == news.group);
                same_group && known.word == news.change.word() && now.since(known.at) < LIFE
            })
    }

    fn take(&self, session: SessionId, fits: impl Fn(&ExpectedEcho) -> bool) -> bool {
        let mut all = self.lock();
        let Some(expected) = all.get_mut(&session) else { return false };
        let found = expected.iter().position(fits);
        let taken = found.and_then(|index| expected.remove(index)).is_some();
        if expected.is_empty() {
            all.remove(&session);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use domain::{event::ChangeSource, group::GroupChange};

    use super::*;

    fn session() -> SessionId {
        "01890000-0000-7000-8000-000000000001".parse().unwrap()
    }

    fn group(number: u32) -> ChatId {
        format!("12036300{number}@g.us").parse().unwrap()
    }

    fn news(number: u32, change: GroupChange) -> GroupNews {
        GroupNews {
            group: group(number),
            occurrence: "A".into(),
            actor: None,
            source: Some(ChangeSource::Phone),
            left: false,
            reason: None,
            timestamp: 0,
            change,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_change_of_this_api_is_recognised_once() {
        let echoes = GroupEchoes::default();
        let echo = |number, word, when| ExpectedEcho { group: number, word, at: at(when) };
        echoes.expect(session(), echo(Some(group(1)), "locked", 0));
        let locked = news(1, GroupChange::Locked(true));
        assert!(!echoes.is_ours(session(), &news(2, GroupChange::Locked(true)), at(1)));
        assert!(!echoes.is_ours(session(), &news(1, GroupChange::Announce(true)), at(1)));
        let others = GroupNews { source: None, ..locked.clone() };
        assert!(!echoes.is_ours(session(), &others, at(1)), "somebody else did it");
        assert!(echoes.is_ours(session(), &locked, at(1)));
        assert!(!echoes.is_ours(session(), &locked, at(1)));

        echoes.expect(session(), echo(Some(group(1)), "locked", 0));
        assert!(!echoes.is_ours(session(), &locked, at(120)), "too late");
        let refused = echo(Some(group(1)), "subject", 200);
        echoes.expect(session(), refused.clone());
        echoes.forget(session(), &refused);
        assert!(!echoes.is_ours(session(), &news(1, GroupChange::Name("x".into())), at(200)));
    }

    #[test]
    fn they_do_not_pile_up() {
        let echoes = GroupEchoes::default();
        for number in 0..300 {
            let group = Some(group(number));
            echoes.expect(session(), ExpectedEcho { group, word: "locked", at: at(0) });
        }
        assert_eq!(echoes.lock()[&session()].len(), EXPECTED_MAX);
        let late = ExpectedEcho { group: None, word: "create", at: at(500) };
        echoes.expect(session(), late.clone());
        assert_eq!(echoes.lock()[&session()].len(), 1);
        echoes.forget(session(), &late);
        assert!(echoes.lock().is_empty());
    }
}
