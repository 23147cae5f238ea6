-- Large deletes are marked in one write and done in portions; files go when nothing refers to them any longer.

-- What is marked. The messages of a chat go as far as `through`, a place among the rows.
create table removal (
    position integer primary key,
    kind text not null check (kind in ('session','webhook','chat')),
    session_id text not null,
    target text not null,
    through bigint not null
);
create index removal_by_chat on removal (session_id, target, through) where kind = 'chat';

-- A session or webhook that is marked is hidden.
alter table session add column deleted smallint not null default 0 check (deleted in (0, 1));
alter table webhook add column deleted smallint not null default 0 check (deleted in (0, 1));

-- Files that lost a reference. Whoever looks first sets the time from which they may go; 0 until then.
create table media_removal (file text primary key, due_at bigint not null default 0) without rowid;
create index media_removal_by_time on media_removal (due_at);

create index media_by_file on media (file) where file is not null;
create trigger media_deleted after delete on media when old.file is not null begin
    insert or ignore into media_removal (file) values (old.file);
end;
create trigger media_replaced after update of file on media when old.file is not null and old.file is not new.file begin
    insert or ignore into media_removal (file) values (old.file);
end;

-- The file that an item of a batch sends, for as long as the item says anything. Of items that are there already it is
-- encrypted with the rest: until they are settled, no file goes.
alter table batch_item add column file text;
update batch_item set file = '?' where content is not null;
create index batch_item_by_file on batch_item (file) where file is not null and content is not null;
create trigger batch_item_deleted after delete on batch_item when length(old.file) = 64 begin
    insert or ignore into media_removal (file) values (old.file);
end;
create trigger batch_item_settled after update of content on batch_item when length(old.file) = 64 and new.content is null begin
    insert or ignore into media_removal (file) values (old.file);
end;
