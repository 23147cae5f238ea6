//! Pacing counters. Each call reads, decides and writes in one job of the writer: two callers never see the same place.

use async_trait::async_trait;
use domain::{
    ChatId, ChatKind, SessionId, Timestamp,
    pacing::{PacingOutcome, PacingRules, PacingState, Refusal, StrangersRefusal, age_days},
    port::{Lease, PacingStore, StoreResult},
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt, gone},
    lease,
    open::LedgerStore,
    people,
    session::list_of,
    writer::Unit,
};

db::statements! {
    GET = both("select state from pacing where session_id = $1");
    PUT = both("insert into pacing (session_id, state) values ($1, $2) \
         on conflict (session_id) do update set state = excluded.state");
    STATES = DialectPair {
        sqlite: "select session_id, state from json_each($1) as one cross join pacing on session_id = one.value",
        postgres: "select session_id, state from pacing where session_id in \
             (select json_array_elements_text($1::json))",
    };
    CREATED = both("select created_at from session where id = $1");
    WARM = both("select exists (select 1 from message where session_id = $1 and chat = $2)");
}

const DOING: &str = "counting a send";

async fn read(unit: &mut Unit, session: &str) -> StoreResult<PacingState> {
    let state: Option<String> =
        db::query_scalar(&GET).bind(session).fetch_optional(&mut unit.conn).await.doing(DOING)?;
    let read = |state: String| serde_json::from_str(&state).map_err(|_| corrupt(DOING));
    state.map_or_else(|| Ok(PacingState::default()), read)
}

async fn write(unit: &mut Unit, session: &str, state: &PacingState) -> StoreResult<()> {
    let state = serde_json::to_string(state).map_err(|_| corrupt(DOING))?;
    let done = db::query(&PUT).bind(session).bind(state).execute(&mut unit.conn).await;
    done.doing(DOING).map(|_| ())
}

async fn admit(
    unit: &mut Unit,
    session: SessionId,
    chat: &ChatId,
    rules: &PacingRules,
    now: Timestamp,
) -> StoreResult<Result<(), Refusal>> {
    let chat = people::canonical(&mut unit.conn, session, chat).await?;
    let id = session.to_string();
    let created: Option<i64> =
        db::query_scalar(&CREATED).bind(&id).fetch_optional(&mut unit.conn).await.doing(DOING)?;
    let created = Timestamp::from_millis(created.ok_or_else(|| gone(DOING))?);
    let warm: bool = db::query_scalar(&WARM)
        .bind(&id)
        .bind(chat.as_str())
        .fetch_one(&mut unit.conn)
        .await
        .doing(DOING)?;
    let mut state = read(unit, &id).await?;
    // Nobody is written to who did not ask for it: a status, a channel.
    let feed = matches!(chat.kind(), ChatKind::Status | ChatKind::Channel);
    let admitted = state.admit(rules, &chat, !warm && !feed, age_days(created, now), now);
    if admitted.is_ok() {
        write(unit, &id, &state).await?;
    }
    Ok(admitted)
}

async fn settle(
    unit: &mut Unit,
    session: SessionId,
    chat: &ChatId,
    rules: &PacingRules,
    (at, now): (Timestamp, Timestamp),
    outcome: PacingOutcome,
) -> StoreResult<bool> {
    let chat = people::canonical(&mut unit.conn, session, chat).await?;
    let id = session.to_string();
    let mut state = read(unit, &id).await?;
    let opened = state.settle(rules, &chat, at, outcome, now);
    write(unit, &id, &state).await?;
    Ok(opened)
}

/// Whole days since a session was made, at that time.
async fn age(unit: &mut Unit, session: &str, now: Timestamp) -> StoreResult<i64> {
    let created: Option<i64> = db::query_scalar(&CREATED)
        .bind(session)
        .fetch_optional(&mut unit.conn)
        .await
        .doing(DOING)?;
    Ok(age_days(Timestamp::from_millis(created.ok_or_else(|| gone(DOING))?), now))
}

async fn admit_strangers(
    unit: &mut Unit,
    session: SessionId,
    people: &[ChatId],
    rules: &PacingRules,
    now: Timestamp,
) -> StoreResult<Result<Vec<ChatId>, StrangersRefusal>> {
    let id = session.to_string();
    let age = age(unit, &id, now).await?;
    let mut strangers = Vec::with_capacity(people.len());
    for person in people {
        let person = people::canonical(&mut unit.conn, session, person).await?;
        let warm: bool = db::query_scalar(&WARM)
            .bind(&id)
            .bind(person.as_str())
            .fetch_one(&mut unit.conn)
            .await
            .doing(DOING)?;
        if !warm {
            strangers.push(person);
        }
    }
    let mut state = read(unit, &id).await?;
    let admitted = state.admit_strangers(rules, &strangers, age, now);
    if admitted.as_ref().is_ok_and(|counted| !counted.is_empty()) {
        write(unit, &id, &state).await?;
    }
    Ok(admitted)
}

#[async_trait]
impl PacingStore for LedgerStore {
    async fn admit_send(
        &self,
        lease: &Lease,
        chat: &ChatId,
        rules: &PacingRules,
        now: Timestamp,
    ) -> StoreResult<Result<(), Refusal>> {
        let (lease, chat, rules) = (lease.clone(), chat.clone(), rules.clone());
        self.writer
            .run_for(lease.session, DOING, move |unit| {
                Box::pin(async move {
                    lease::check(unit, &lease).await?;
                    admit(unit, lease.session, &chat, &rules, now).await
                })
            })
            .await
    }

    async fn record_send(
        &self,
        lease: &Lease,
        chat: &ChatId,
        rules: &PacingRules,
        at: Timestamp,
        outcome: PacingOutcome,
        now: Timestamp,
    ) -> StoreResult<bool> {
        if outcome == PacingOutcome::Taken {
            // It would change nothing, as after almost every send.
            let states = self.pacing_states(&[lease.session]).await?;
            if states.first().is_some_and(|(_, state)| state.is_untroubled()) {
                return Ok(false);
            }
        }
        let (lease, chat, rules) = (lease.clone(), chat.clone(), rules.clone());
        self.writer
            .run_for(lease.session, DOING, move |unit| {
                Box::pin(async move {
                    lease::check(unit, &lease).await?;
                    settle(unit, lease.session, &chat, &rules, (at, now), outcome).await
                })
            })
            .await
    }

    async fn admit_strangers(
        &self,
        lease: &Lease,
        people: &[ChatId],
        rules: &PacingRules,
        now: Timestamp,
    ) -> StoreResult<Result<Vec<ChatId>, StrangersRefusal>> {
        let (lease, people, rules) = (lease.clone(), people.to_vec(), rules.clone());
        self.writer
            .run_for(lease.session, DOING, move |unit| {
                Box::pin(async move {
                    lease::check(unit, &lease).await?;
                    admit_strangers(unit, lease.session, &people, &rules, now).await
                })
            })
            .await
    }

    async fn pacing_states(
        &self,
        sessions: &[SessionId],
    ) -> StoreResult<Vec<(SessionId, PacingState)>> {
        const DOING: &str = "reading what sessions sent today";
        let rows = db::query(&STATES).bind(list_of(sessions)).fetch_all(&self.readers).await;
        let read = |row: &Row| {
            let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
            let id = text("session_id")?.parse().map_err(|_| corrupt(DOING))?;
            Ok((id, serde_json::from_str(&text("state")?).map_err(|_| corrupt(DOING))?))
        };
        Ok(self.unreadable.rows("pacing", &["session_id"], &rows.doing(DOING)?, read))
    }

    async fn return_strangers(
        &self,
        lease: &Lease,
        people: &[ChatId],
        at: Timestamp,
    ) -> StoreResult<()> {
        let (lease, people) = (lease.clone(), people.to_vec());
        self.writer
            .run_for(lease.session, DOING, move |unit| {
                Box::pin(async move {
                    lease::check(unit, &lease).await?;
                    let id = lease.session.to_string();
                    let mut state = read(unit, &id).await?;
                    state.return_strangers(&people, at);
                    write(unit, &id, &state).await
                })
            })
            .await
    }
}
