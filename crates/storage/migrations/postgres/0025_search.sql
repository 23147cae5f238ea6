-- The words of messages, and their parts where that is asked for. As SQLite's twenty-eighth migration, with what
-- every PostgreSQL has: no extension is needed.

-- Without accents and capitals. Signs between words are spaces, so that an address is found by its parts.
create function search_fold(said text) returns text stable language sql as $$
    select lower(case when getdatabaseencoding() = 'UTF8'
        then regexp_replace(normalize(said, NFD), '[\u0300-\u036f]', '', 'g') else said end)
$$;
create function search_words(said text) returns text stable language sql as $$
    select translate(search_fold(said), $q$!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~$q$, repeat(' ', 32))
$$;
-- What stands in quotes, in which a quote is written twice.
create function search_unquoted(said text) returns text immutable language sql as $$
    select replace(substr(said, 2, length(said) - 2), '""', '"')
$$;
-- Every three characters that follow each other.
create function search_parts(said text) returns text[] stable language sql as $$
    select coalesce(array_agg(distinct substr(folded.said, place, 3)), '{}')
        from (select search_fold(said) as said) as folded, generate_series(1, length(folded.said) - 2) as place
$$;

create table message_word (
    position bigint primary key references message(position) on delete cascade,
    words tsvector not null
);
create index message_word_by_word on message_word using gin (words);
create table message_part (
    position bigint primary key references message(position) on delete cascade,
    parts text[] not null
);
create index message_part_by_part on message_part using gin (parts);

-- An index holds every message from the position `below` on; older ones are added little by little.
create table search_index (
    kind text collate "C" primary key check (kind in ('word','part')),
    active bigint not null check (active in (0, 1)),
    below bigint not null
);
insert into search_index (kind, active, below) values ('word', 1, (select coalesce(max(position), 0) + 1 from message)), ('part', 0, 0);

create function messages_said() returns trigger language plpgsql as $$
begin
    insert into message_word (position, words)
        select position, to_tsvector('simple', search_words(body)) from changed
        where body <> '' and exists (select 1 from search_index where kind = 'word' and active = 1);
    insert into message_part (position, parts)
        select position, search_parts(body) from changed
        where body <> '' and exists (select 1 from search_index where kind = 'part' and active = 1);
    return null;
end $$;
create function message_said_anew() returns trigger language plpgsql as $$
begin
    delete from message_word where position = old.position;
    delete from message_part where position = old.position;
    insert into message_word (position, words)
        select new.position, to_tsvector('simple', search_words(new.body)) from search_index
        where kind = 'word' and active = 1 and new.body <> '';
    insert into message_part (position, parts)
        select new.position, search_parts(new.body) from search_index
        where kind = 'part' and active = 1 and new.body <> '';
    return null;
end $$;
create trigger message_text_added after insert on message referencing new table as changed for each statement
    execute function messages_said();
create trigger message_text_changed after update of body on message for each row
    when (old.body is distinct from new.body) execute function message_said_anew();
