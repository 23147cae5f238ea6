-- A stored message changes less, as in SQLite's sixth migration.

-- What a chat's newest message says is read from its own row; the chats of a session are sorted when they are listed.
-- The check over these columns goes with them.
drop index chat_by_time;
alter table chat drop column last_from_me, drop column last_author, drop column last_body, drop column last_kind;

-- In a person's own chat the sender is the chat, and found by it.
drop index message_by_sender;
create index message_by_sender on message (session_id, sender, created_at, position) where sender <> chat;
