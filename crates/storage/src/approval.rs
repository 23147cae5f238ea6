//! Sends that wait for a person. Their rules are [`ApprovalState::may_become`]'s, asked in the transaction that stores
//! what was decided.

use async_trait::async_trait;
use domain::{
    ApiKeyId, ApprovalId, EventId, SessionId, Timestamp,
    approval::{Approval, ApprovalAnswer, ApprovalChange, ApprovalState, ApprovalWrite, Decision},
    event::{EventDraft, approval_event},
    port::{ApprovalQuery, ApprovalStore, Page, StoreResult},
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    INSERT = both("insert into approval (id, session_id, chat, api_key, api_key_name, request_key, route, request, state, \
         created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, 'held', $9) on conflict do nothing");
    GET = both("select * from approval where id = $1");
    OF_REQUEST = both("select * from approval where session_id = $1 and api_key = $2 and request_key = $3");
    // One statement for each index.
    LIST = both("select * from approval where ($1 is null or api_key = $1) order by position desc limit $2 offset $3");
    LIST_OF_STATE = both("select * from approval where state = $1 and ($2 is null or api_key = $2) \
         order by position desc limit $3 offset $4");
    LIST_OF_SESSION = both("select * from approval where session_id = $1 and ($2 is null or state = $2) \
         and ($3 is null or api_key = $3) order by position desc limit $4 offset $5");
    OLDEST = both("select * from approval where state = $1 order by position limit $2");
    UPDATE = both("update approval set state = $2, decided_at = $3, decided_by = $4, answer_status = $5, answer = $6, \
         request = $7 where id = $1");
    TAKE = both("insert into approval_budget (api_key, day, taken) values ($1, $2, 1) \
         on conflict (api_key) do update set taken = case when approval_budget.day = excluded.day \
         then approval_budget.taken + 1 else 1 end, day = excluded.day \
         where approval_budget.day <> excluded.day or approval_budget.taken < $3");
    PRUNE = both("delete from approval where id in (select id from approval where decided_at < $1 \
         and state in ('refused','sent','failed') order by decided_at limit $2)");
}

const DOING: &str = "reading an approval";
const CHANGING: &str = "changing an approval";

fn read(row: &Row) -> StoreResult<Approval> {
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let maybe = |name: &str| row.try_get::<Option<String>, _>(name).doing(DOING);
    let number = |name: &str| row.try_get::<Option<i64>, _>(name).doing(DOING);
    let chat = maybe("chat")?.map(|chat| chat.parse().map_err(|_| bad())).transpose()?;
    let decided = match (number("decided_at")?, maybe("decided_by")?) {
        (Some(at), Some(by)) => Some(Decision { at: Timestamp::from_millis(at), by }),
        _ => None,
    };
    let answer = match (number("answer_status")?, maybe("answer")?) {
        (Some(status), Some(body)) => Some(ApprovalAnswer {
            status: u16::try_from(status).map_err(|_| bad())?,
            body: serde_json::from_str(&body).map_err(|_| bad())?,
        }),
        _ => None,
    };
    Ok(Approval {
        id: text("id")?.parse().map_err(|_| bad())?,
        session: text("session_id")?.parse().map_err(|_| bad())?,
        chat,
        key: text("api_key")?.parse().map_err(|_| bad())?,
        key_name: text("api_key_name")?,
        request_key: maybe("request_key")?,
        route: text("route")?,
        request: text("request")?,
        state: ApprovalState::parse(&text("state")?).ok_or_else(bad)?,
        created_at: Timestamp::from_millis(number("created_at")?.ok_or_else(bad)?),
        decided,
        answer,
    })
}

/// The events of a change, or nothing when it no longer fits.
pub(crate) async fn change(
    unit: &mut Unit,
    write: &ApprovalWrite,
) -> StoreResult<Option<Vec<EventDraft>>> {
    match &write.change {
        ApprovalChange::Hold(approval) => hold(unit, approval, write.event).await,
        ApprovalChange::Decide { state, decision } => {
            let Some(mut approval) = fitting(unit, write, *state).await? else { return Ok(None) };
            approval.decided = Some(decision.clone());
            let event = approval_event(write.event, &approval, decision.at);
            if approval.state == ApprovalState::Refused {
                approval.request.clear();
            }
            store(unit, &approval).await?;
            Ok(Some(event.into_iter().collect()))
        }
        ApprovalChange::Finish { state, answer } => {
            let Some(mut approval) = fitting(unit, write, *state).await? else { return Ok(None) };
            approval.answer = Some(answer.clone());
            approval.request.clear();
            store(unit, &approval).await?;
            Ok(Some(vec![]))
        }
    }
}

async fn hold(
    unit: &mut Unit,
    approval: &Approval,
    event: EventId,
) -> StoreResult<Option<Vec<EventDraft>>> {
    let done = db::query(&INSERT)
        .bind(approval.id.to_string())
        .bind(approval.session.to_string())
        .bind(approval.chat.as_ref().map(ToString::to_string))
        .bind(approval.key.to_string())
        .bind(&approval.key_name)
        .bind(approval.request_key.as_deref())
        .bind(&approval.route)
        .bind(&approval.request)
        .bind(approval.created_at.millis())
        .execute(&mut unit.conn)
        .await
        .doing(CHANGING)?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    Ok(Some(approval_event(event, approval, approval.created_at).into_iter().collect()))
}

/// The approval of a change in its next state, as of this transaction; none when it may not become that.
async fn fitting(
    unit: &mut Unit,
    write: &ApprovalWrite,
    next: ApprovalState,
) -> StoreResult<Option<Approval>> {
    let row = db::query(&GET).bind(write.id.to_string()).fetch_optional(&mut unit.conn).await;
    let found = row.doing(CHANGING)?.as_ref().map(read).transpose()?;
    let fits =
        |approval: &Approval| approval.session == write.session && approval.state.may_become(next);
    Ok(found.filter(fits).map(|approval| Approval { state: next, ..approval }))
}

async fn store(unit: &mut Unit, approval: &Approval) -> StoreResult<()> {
    let (decided, answer) = (approval.decided.as_ref(), approval.answer.as_ref());
    let done = db::query(&UPDATE)
        .bind(approval.id.to_string())
        .bind(approval.state.as_str())
        .bind(decided.map(|decision| decision.at.millis()))
        .bind(decided.map(|decision| decision.by.clone()))
        .bind(answer.map(|answer| i64::from(answer.status)))
        .bind(answer.map(|answer| answer.body.to_string()))
        .bind(&approval.request)
        .execute(&mut unit.conn)
        .await;
    done.doing(CHANGING).map(|_| ())
}

#[async_trait]
impl ApprovalStore for LedgerStore {
    async fn approval(&self, id: ApprovalId) -> StoreResult<Option<Approval>> {
        let row = db::query(&GET).bind(id.to_string()).fetch_optional(&self.readers).await;
        row.doing(DOING)?.as_ref().map(read).transpose()
    }

    async fn approvals(&self, query: &ApprovalQuery, page: Page) -> StoreResult<Vec<Approval>> {
        let state = query.state.map(ApprovalState::as_str);
        let session = query.session.map(|id| id.to_string());
        let key = query.key.map(|id| id.to_string());
        let list = match (session, state) {
            (Some(session), state) => {
                db::query(&LIST_OF_SESSION).bind(session).bind(state).bind(key)
            }
            (None, Some(state)) => db::query(&LIST_OF_STATE).bind(state).bind(key),
            (None, None) => db::query(&LIST).bind(key),
        };
        let rows = list.bind(page.limit).bind(page.offset).fetch_all(&self.readers).await;
        rows.doing(DOING)?.iter().map(read).collect()
    }

    async fn approval_of_request(
        &self,
        session: SessionId,
        key: ApiKeyId,
        request_key: &str,
    ) -> StoreResult<Option<Approval>> {
        let row = db::query(&OF_REQUEST)
            .bind(session.to_string())
            .bind(key.to_string())
            .bind(request_key)
            .fetch_optional(&self.readers)
            .await;
        row.doing(DOING)?.as_ref().map(read).transpose()
    }

    async fn oldest_approvals(
        &self,
        state: ApprovalState,
        limit: u32,
    ) -> StoreResult<Vec<Approval>> {
        let rows =
            db::query(&OLDEST).bind(state.as_str()).bind(limit).fetch_all(&self.readers).await;
        rows.doing(DOING)?.iter().map(read).collect()
    }

    async fn take_approval_budget(
        &self,
        key: ApiKeyId,
        day: i64,
        budget: u32,
    ) -> StoreResult<bool> {
        const DOING: &str = "counting what a key may send";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let done = db::query(&TAKE)
                        .bind(key.to_string())
                        .bind(day)
                        .bind(budget)
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing(DOING)?.rows_affected() == 1)
                })
            })
            .await
    }

    async fn prune_approvals(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        const DOING: &str = "deleting old approvals";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let done = db::query(&PRUNE)
                        .bind(before.millis())
                        .bind(limit)
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing(DOING)?.rows_affected())
                })
            })
            .await
    }
}
