-- The words of messages, and their parts where that is asked for. The row id is the position of the message.
create virtual table message_text using fts5(body, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
create virtual table message_part using fts5(body, content='', contentless_delete=1, tokenize='trigram remove_diacritics 1');

-- An index holds every message from the position `below` on; older ones are added little by little.
create table search_index (
    kind text primary key check (kind in ('word','part')),
    active smallint not null check (active in (0, 1)),
    below bigint not null
) without rowid;
insert into search_index (kind, active, below) values ('word', 1, (select coalesce(max(position), 0) + 1 from message)), ('part', 0, 0);

create trigger message_text_added after insert on message when new.body <> '' begin
    insert into message_text (rowid, body)
        select new.position, new.body from search_index where kind = 'word' and active = 1;
    insert into message_part (rowid, body)
        select new.position, new.body from search_index where kind = 'part' and active = 1;
end;
create trigger message_text_changed after update of body on message when old.body is not new.body begin
    delete from message_text where rowid = old.position;
    delete from message_part where rowid = old.position;
    insert into message_text (rowid, body)
        select new.position, new.body from search_index where kind = 'word' and active = 1 and new.body <> '';
    insert into message_part (rowid, body)
        select new.position, new.body from search_index where kind = 'part' and active = 1 and new.body <> '';
end;
create trigger message_text_gone after delete on message when old.body <> '' begin
    delete from message_text where rowid = old.position;
    delete from message_part where rowid = old.position;
end;
