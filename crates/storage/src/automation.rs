//! Automation rules.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    AutomationRuleId, ChatId, SessionId, Timestamp,
    automation::AutomationRule,
    port::{AutomationStore, StoreResult},
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
};

db::statements! {
    INSERT = both("insert into automation_rule (id, session_id, name, enabled, conditions, reply_text, cooldown, \
         created_at, updated_at) select $1, $2, $3, $4, $5, $6, $7, $8, $9 \
         where (select count(*) from automation_rule where session_id = $2) < $10");
    GET = both("select * from automation_rule where id = $1 and session_id = $2");
    LIST = both("select * from automation_rule where session_id = $1 order by position desc");
    UPDATE = both("update automation_rule set name = $3, enabled = $4, conditions = $5, reply_text = $6, \
         cooldown = $7, updated_at = $8 where id = $1 and session_id = $2");
    DELETE = both("delete from automation_rule where id = $1 and session_id = $2");
    // Answers of which no cooldown can ask any more, of a few chats each time.
    FORGET = both("delete from automation_answer where rule = $1 and at < $2");
    CLAIM = both("insert into automation_answer (rule, chat, at) select id, $2, $3 from automation_rule \
         where id = $1 on conflict (rule, chat) do update set at = excluded.at where automation_answer.at <= $4");
}

/// The longest cooldown: older answers say nothing.
const COOLDOWN_MAX: Duration = Duration::from_secs(86_400);

fn read(row: &Row) -> StoreResult<AutomationRule> {
    const DOING: &str = "reading an automation rule";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let number = |name: &str| row.try_get::<i64, _>(name).doing(DOING);
    let conditions: Option<String> = row.try_get("conditions").doing(DOING)?;
    let conditions = conditions.map(|json| serde_json::from_str(&json).map_err(|_| bad()));
    Ok(AutomationRule {
        id: text("id")?.parse().map_err(|_| bad())?,
        session: text("session_id")?.parse().map_err(|_| bad())?,
        name: text("name")?,
        enabled: number("enabled")? == 1,
        conditions: conditions.transpose()?,
        reply_text: text("reply_text")?,
        cooldown: Duration::from_millis(u64::try_from(number("cooldown")?).map_err(|_| bad())?),
        created_at: Timestamp::from_millis(number("created_at")?),
        updated_at: Timestamp::from_millis(number("updated_at")?),
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn conditions(rule: &AutomationRule) -> StoreResult<Option<String>> {
    let json = rule.conditions.as_ref().map(serde_json::to_string).transpose();
    json.map_err(|_| corrupt("storing an automation rule"))
}

#[async_trait]
impl AutomationStore for LedgerStore {
    async fn insert_rule(&self, rule: &AutomationRule, most: u32) -> StoreResult<bool> {
        const DOING: &str = "storing an automation rule";
        let rule = rule.clone();
        self.writer
            .run_for(rule.session, DOING, move |unit| {
                Box::pin(async move {
                    let done = db::query(&INSERT)
                        .bind(rule.id.to_string())
                        .bind(rule.session.to_string())
                        .bind(&rule.name)
                        .bind(i64::from(rule.enabled))
                        .bind(conditions(&rule)?)
                        .bind(&rule.reply_text)
                        .bind(millis(rule.cooldown))
                        .bind(rule.created_at.millis())
                        .bind(rule.updated_at.millis())
                        .bind(i64::from(most))
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing(DOING)?.rows_affected() == 1)
                })
            })
            .await
    }

    async fn rule(
        &self,
        session: SessionId,
        id: AutomationRuleId,
    ) -> StoreResult<Option<AutomationRule>> {
        let row = db::query(&GET)
            .bind(id.to_string())
            .bind(session.to_string())
            .fetch_optional(&self.readers)
            .await;
        row.doing("reading an automation rule")?.as_ref().map(read).transpose()
    }

    async fn rules(&self, session: SessionId) -> StoreResult<Vec<AutomationRule>> {
        let rows = db::query(&LIST).bind(session.to_string()).fetch_all(&self.readers).await;
        let rows = rows.doing("listing automation rules")?;
        Ok(self.unreadable.rows("automation_rule", &["id"], &rows, read))
    }

    async fn update_rule(&self, rule: &AutomationRule) -> StoreResult<bool> {
        const DOING: &str = "changing an automation rule";
        let rule = rule.clone();
        self.writer
            .run_for(rule.session, DOING, move |unit| {
                Box::pin(async move {
                    let done = db::query(&UPDATE)
                        .bind(rule.id.to_string())
                        .bind(rule.session.to_string())
                        .bind(&rule.name)
                        .bind(i64::from(rule.enabled))
                        .bind(conditions(&rule)?)
                        .bind(&rule.reply_text)
                        .bind(millis(rule.cooldown))
                        .bind(rule.updated_at.millis())
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing(DOING)?.rows_affected() == 1)
                })
            })
            .await
    }

    async fn delete_rule(&self, session: SessionId, id: AutomationRuleId) -> StoreResult<bool> {
        const DOING: &str = "deleting an automation rule";
        self.writer
            .run_for(session, DOING, move |unit| {
                Box::pin(async move {
                    let query = db::query(&DELETE).bind(id.to_string()).bind(session.to_string());
                    let done = query.execute(&mut unit.conn).await.doing(DOING)?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    async fn claim_answer(
        &self,
        rule: &AutomationRule,
        chat: &ChatId,
        now: Timestamp,
        cooldown: Duration,
    ) -> StoreResult<bool> {
        const DOING: &str = "taking the right to answer";
        let (id, chat) = (rule.id.to_string(), chat.to_string());
        self.writer
            .run_for(rule.session, DOING, move |unit| {
                Box::pin(async move {
                    let old = now.minus(COOLDOWN_MAX).millis();
                    let forget = db::query(&FORGET).bind(&id).bind(old);
                    forget.execute(&mut unit.conn).await.doing(DOING)?;
                    let done = db::query(&CLAIM)
                        .bind(&id)
                        .bind(&chat)
                        .bind(now.millis())
                        .bind(now.minus(cooldown).millis())
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing(DOING)?.rows_affected() == 1)
                })
            })
            .await
    }
}
