//! Automation rules: answers that a session gives by itself to messages that come in.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde_json::Value;

use crate::{
    address::{ChatId, ChatKind},
    event::EventType,
    filter::{Field, FilterOperator, Filters, Operand},
    ids::{AutomationRuleId, SessionId, WaMessageId},
    time::Timestamp,
};

/// Rules of one session.
pub const RULES_MAX: u32 = 32;
/// Seconds between two answers of a rule in a chat, unless the rule says otherwise.
pub const COOLDOWN_DEFAULT: u32 = 60;
/// A message that is older is not answered: who wrote it does not wait for an answer any longer.
const AGE_MAX: Duration = Duration::from_secs(600);
/// Answers in one chat within [`LOOP_WINDOW`], of all rules together.
const LOOP_ANSWERS_MAX: usize = 6;
/// The while in which [`LoopGuard`] counts.
const LOOP_WINDOW: Duration = Duration::from_secs(600);
/// Chats that the guard remembers. When full, those that are silent longest are forgotten.
const LOOP_CHATS_MAX: usize = 10_000;

/// A rule as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutomationRule {
    /// The id of the rule.
    pub id: AutomationRuleId,
    /// The session it belongs to.
    pub session: SessionId,
    /// What people call it.
    pub name: String,
    /// Whether it answers.
    pub enabled: bool,
    /// Which messages it answers; `None` is every message of a chat with one person.
    pub conditions: Option<Filters>,
    /// The text of the answer.
    pub reply_text: String,
    /// Between two answers of the rule in one chat.
    pub cooldown: Duration,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl AutomationRule {
    /// The key under which an answer is sent: however often it is tried, it goes out once.
    pub fn send_key(&self, message: &WaMessageId) -> String {
        format!("automation_{}_{}", self.id, message)
    }

    /// Whether it answers a message; `data` is that of its `message.received`. Groups are answered only by a rule that
    /// has a condition about them, statuses, channels and broadcasts by none. An answer of another bot that is this
    /// rule's own text gets none.
    pub fn answers(&self, data: &Value, now: Timestamp) -> bool {
        if !self.enabled || data["fromMe"] == true {
            return false;
        }
        let chat = data["chatId"].as_str().and_then(|chat| chat.parse::<ChatId>().ok());
        let may = match chat.as_ref().map(ChatId::kind) {
            Some(ChatKind::Individual) => true,
            Some(ChatKind::Group) => self.names_groups(),
            _ => false,
        };
        let sent = data["timestamp"].as_i64().map(Timestamp::from_seconds);
        let young = sent.is_some_and(|sent| now.since(sent) <= AGE_MAX);
        let echo = data["body"].as_str().is_some_and(|body| body.trim() == self.reply_text.trim());
        may && young && !echo && self.fits(data)
    }

    fn fits(&self, data: &Value) -> bool {
        let filters = self.conditions.as_ref();
        filters.is_none_or(|filters| filters.matches(EventType::MessageReceived, || data))
    }

    /// Whether a condition asks for groups: all of them, or some by name.
    fn names_groups(&self) -> bool {
        let Some(filters) = &self.conditions else { return false };
        let names = |value: &Operand, is: fn(&str) -> bool| match value {
            Operand::Flag(_) => false,
            Operand::One(one) => is(one),
            Operand::Many(many) => many.iter().any(|one| is(one)),
        };
        filters.conditions.iter().any(|condition| {
            condition.operator == FilterOperator::Is
                && match condition.field {
                    Field::IsGroup => condition.value == Operand::Flag(true),
                    Field::Kind => names(&condition.value, |kind| kind == "group"),
                    Field::ChatId => names(&condition.value, |id| id.ends_with("@g.us")),
                    _ => false,
                }
        })
    }
}

/// Ends conversations between two bots: so many answers in a chat within a while, whatever rules they are of.
#[derive(Debug, Default)]
pub struct LoopGuard {
    answered: HashMap<(SessionId, ChatId), VecDeque<Timestamp>>,
}

impl LoopGuard {
    /// Whether a chat may be answered now; the answer is counted then.
    pub fn admit(&mut self, session: SessionId, chat: &ChatId, now: Timestamp) -> bool {
        let is_old = |at: &Timestamp| now.since(*at) >= LOOP_WINDOW;
        if self.answered.len() >= LOOP_CHATS_MAX {
            self.answered.retain(|_, times| times.back().is_some_and(|at| !is_old(at)));
        }
        if self.answered.len() >= LOOP_CHATS_MAX {
            // So many chats at once are no loop.
            self.answered.clear();
        }
        let times = self.answered.entry((session, chat.clone())).or_default();
        while times.front().is_some_and(is_old) {
            times.pop_front();
        }
        let free = times.len() < LOOP_ANSWERS_MAX;
        if free {
            times.push_back(now);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_841_660);

    fn rule(conditions: Option<Value>) -> AutomationRule {
        AutomationRule {
            id: AutomationRuleId::from_uuid(Uuid::from_u128(7)),
            session: SessionId::from_uuid(Uuid::from_u128(1)),
            name: "hours".into(),
            enabled: true,
            conditions: conditions
                .map(|list| serde_json::from_value(json!({ "conditions": list })).unwrap()),
            reply_text: "We open at nine.".into(),
            cooldown: Duration::from_secs(60),
            created_at: NOW,
            updated_at: NOW,
        }
    }

    fn heard(chat: &str, body: &str) -> Value {
        json!({
            "id": "3AF0", "chatId": chat, "from": chat, "to": "49155500@c.us", "fromMe": false, "body": body,
            "type": "text", "isGroup": chat.ends_with("@g.us"), "kind": "x", "timestamp": 1_790_841_600,
        })
    }

    #[test]
    fn people_are_answered_and_groups_only_when_a_condition_says_so() {
        let (person, group) = ("49170111@c.us", "120363041@g.us");
        let answers = |rule: &AutomationRule, chat: &str| rule.answers(&heard(chat, "hello"), NOW);
        let plain = rule(None);
        assert!(answers(&plain, person) && answers(&plain, "99887766@lid"));
        for chat in [group, "status@broadcast", "120363@newsletter", "1@broadcast"] {
            assert!(!answers(&plain, chat), "{chat}");
        }
        for condition in [
            json!({"field": "isGroup", "operator": "is", "value": true}),
            json!({"field": "chatId", "operator": "is", "value": ["49170111@c.us", group]}),
        ] {
            assert!(answers(&rule(Some(json!([condition]))), group), "{condition}");
        }
        let without = json!([{"field": "chatId", "operator": "isNot", "value": group}]);
        assert!(!answers(&rule(Some(without)), "120363042@g.us"));
    }

    #[test]
    fn own_old_and_echoed_messages_get_no_answer() {
        let rule = rule(Some(json!([{"field": "body", "operator": "contains", "value": "open"}])));
        let data = heard("49170111@c.us", "Are you open?");
        assert!(rule.answers(&data, NOW));
        assert!(!rule.answers(&data, NOW.plus(AGE_MAX)));
        assert!(!rule.answers(&heard("49170111@c.us", "hello"), NOW));
        assert!(!rule.answers(&heard("49170111@c.us", " We open at nine. "), NOW));
        let mut own = data.clone();
        own["fromMe"] = json!(true);
        assert!(!rule.answers(&own, NOW));
        assert!(!AutomationRule { enabled: false, ..rule }.answers(&data, NOW));
    }

    #[test]
    fn two_bots_stop_answering_each_other() {
        let mut guard = LoopGuard::default();
        let session = SessionId::from_uuid(Uuid::from_u128(1));
        let (bot, mia) = ("49170111@c.us".parse().unwrap(), "49170222@c.us".parse().unwrap());
        for _ in 0..LOOP_ANSWERS_MAX {
            assert!(guard.admit(session, &bot, NOW));
        }
        assert!(!guard.admit(session, &bot, NOW));
        assert!(guard.admit(session, &mia, NOW), "another chat");
        assert!(!guard.admit(session, &bot, NOW.plus(LOOP_WINDOW - Duration::from_secs(1))));
        assert!(guard.admit(session, &bot, NOW.plus(LOOP_WINDOW)));
    }

    #[test]
    fn the_guard_remembers_a_limited_number_of_chats() {
        let mut guard = LoopGuard::default();
        let session = SessionId::from_uuid(Uuid::from_u128(1));
        for number in 0..2 * LOOP_CHATS_MAX {
            let chat = format!("4917{number:07}@c.us").parse().unwrap();
            assert!(guard.admit(session, &chat, NOW));
            assert!(guard.answered.len() <= LOOP_CHATS_MAX);
        }
    }
}
