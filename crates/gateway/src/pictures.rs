//! Where pictures of people and groups are: asked of WhatsApp, a few at a time, and believed for a while.
//!
//! Nobody's picture is asked for twice at once: who comes second waits for the answer to the first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{ChatId, SessionId, Timestamp};
use tokio::sync::{Mutex as TurnMutex, Semaphore};

/// How long an answer is believed. News of another picture end it sooner.
const BELIEVED: Duration = Duration::from_secs(600);
/// Pictures that are remembered of one session. With one more, one that nobody asks for now is forgotten.
const KNOWN_MAX: usize = 2_000;
/// Questions of one session that run at once; the others wait.
const AT_ONCE: usize = 4;

/// What is remembered of all sessions.
#[derive(Default)]
pub(crate) struct Pictures(Mutex<HashMap<SessionId, Arc<PictureShelf>>>);

/// The pictures of one session.
struct PictureShelf {
    known: Mutex<HashMap<ChatId, Arc<PictureAnswer>>>,
    places: Semaphore,
}

/// What WhatsApp said, and when. Whoever asks has it locked.
type PictureAnswer = TurnMutex<Option<(Timestamp, Option<String>)>>;

impl Pictures {
    /// Where a picture is; `ask` is called when that is not known, or not believed any more.
    pub(crate) async fn find<E>(
        &self,
        (session, id): (SessionId, &ChatId),
        now: impl Fn() -> Timestamp,
        ask: impl AsyncFnOnce() -> Result<Option<String>, E>,
    ) -> Result<Option<String>, E> {
        let shelf = self.shelf(session);
        let answer = shelf.answer(id);
        let mut answer = answer.lock().await;
        if let Some((at, url)) = &*answer
            && now().since(*at) < BELIEVED
        {
            return Ok(url.clone());
        }
        // It is never closed.
        let _place = shelf.places.acquire().await;
        let url = ask().await?;
        *answer = Some((now(), url.clone()));
        Ok(url)
    }

    /// There is another picture now. A question that runs is not asked again, but its answer is not believed.
    pub(crate) fn forget(&self, session: SessionId, id: &ChatId) {
        let shelf = self.lock().get(&session).cloned();
        if let Some(shelf) = shelf {
            shelf.lock().remove(id);
        }
    }

    /// Forgets everything of a session: its account is another one from now on.
    pub(crate) fn forget_all(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    fn shelf(&self, session: SessionId) -> Arc<PictureShelf> {
        let empty = || PictureShelf { known: Mutex::default(), places: Semaphore::new(AT_ONCE) };
        self.lock().entry(session).or_insert_with(|| Arc::new(empty())).clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<PictureShelf>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PictureShelf {
    fn answer(&self, id: &ChatId) -> Arc<PictureAnswer> {
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX && !known.contains_key(id) {
            let idle = known.iter().find(|(_, answer)| Arc::strong_count(answer) == 1);
            if let Some(idle) = idle.map(|(id, _)| id.clone()) {
                known.remove(&idle);
            }
        }
        known.entry(id.clone()).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChatId, Arc<PictureAnswer>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use domain::Clock as _;
    use futures::future::join_all;
    use testkit::{ManualClock, build};

    use super::*;

    #[tokio::test]
    async fn an_answer_is_believed_for_a_while_and_asked_once() {
        let (pictures, session, clock) =
            (Pictures::default(), build::session(1).id, ManualClock::default());
        let asked = Cell::new(0);
        let find = async || {
            let ask = async || {
                asked.set(asked.get() + 1);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(Some("https://p".to_owned()))
            };
            pictures.find((session, &build::chat(1)), || clock.now(), ask).await.unwrap()
        };
        let all = join_all((0..5).map(|_| find())).await;
        assert!(all.iter().all(|url| url.as_deref() == Some("https://p")));
        assert_eq!(asked.get(), 1, "nobody asks a second time at once");
        clock.advance(BELIEVED);
        find().await;
        assert_eq!(asked.get(), 2);
        pictures.forget(session, &build::chat(1));
        find().await;
        assert_eq!(asked.get(), 3);
    }

    #[tokio::test]
    async fn few_are_asked_at_once_and_few_are_remembered() {
        let (pictures, session, clock) =
            (Pictures::default(), build::session(1).id, ManualClock::default());
        let (running, most) = (Cell::new(0_usize), Cell::new(0_usize));
        let ids: Vec<ChatId> = (0..50).map(build::chat).collect();
        let find = async |id: &ChatId| {
            let ask = async || {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                tokio::task::yield_now().await;
                running.set(running.get() - 1);
                Ok::<_, Infallible>(None)
            };
            pictures.find((session, id), || clock.now(), ask).await
        };
        join_all(ids.iter().map(&find)).await;
        assert_eq!(most.get(), AT_ONCE);
        for number in 0..u32::try_from(KNOWN_MAX).unwrap() + 10 {
            find(&build::chat(number)).await.unwrap();
        }
        assert_eq!(pictures.shelf(session).lock().len(), KNOWN_MAX);
    }
}
