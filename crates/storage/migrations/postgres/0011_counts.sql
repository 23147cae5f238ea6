-- What is asked for often is counted when it changes, or read from an index that has only what is asked for. As in
-- SQLite's fifteenth migration.

alter table session add column incoming bigint not null default 0, add column outgoing bigint not null default 0,
    add column failed bigint not null default 0;
update session set incoming = counted.incoming, outgoing = counted.outgoing, failed = counted.failed
    from (select session_id, count(*) filter (where direction = 'incoming') as incoming,
        count(*) filter (where direction = 'outgoing') as outgoing, count(*) filter (where status = 'failed') as failed
        from message group by session_id) as counted where counted.session_id = session.id;

-- Whoever changes messages has locked their session's row.
create function count_messages() returns trigger language plpgsql as $$
begin
    update session set incoming = session.incoming + counted.incoming, outgoing = session.outgoing + counted.outgoing,
        failed = session.failed + counted.failed
        from (select session_id, count(*) filter (where direction = 'incoming') as incoming,
            count(*) filter (where direction = 'outgoing') as outgoing, count(*) filter (where status = 'failed') as failed
            from changed group by session_id) as counted where counted.session_id = session.id;
    return null;
end $$;
create function uncount_messages() returns trigger language plpgsql as $$
begin
    update session set incoming = session.incoming - counted.incoming, outgoing = session.outgoing - counted.outgoing,
        failed = session.failed - counted.failed
        from (select session_id, count(*) filter (where direction = 'incoming') as incoming,
            count(*) filter (where direction = 'outgoing') as outgoing, count(*) filter (where status = 'failed') as failed
            from changed group by session_id) as counted where counted.session_id = session.id;
    return null;
end $$;
create function recount_message() returns trigger language plpgsql as $$
begin
    update session set
        incoming = incoming + (new.direction = 'incoming')::int - (old.direction = 'incoming')::int,
        outgoing = outgoing + (new.direction = 'outgoing')::int - (old.direction = 'outgoing')::int,
        failed = failed + (new.status = 'failed')::int - (old.status = 'failed')::int where id = new.session_id;
    return null;
end $$;
create trigger message_counted after insert on message referencing new table as changed for each statement
    execute function count_messages();
create trigger message_uncounted after delete on message referencing old table as changed for each statement
    execute function uncount_messages();
create trigger message_recounted after update of direction, status on message for each row
    when (old.direction <> new.direction or (old.status = 'failed') <> (new.status = 'failed'))
    execute function recount_message();

drop index delivery_waiting;
create index delivery_waiting on delivery (lane, sequence, occurred_at) where state = 'pending';
create index delivery_failed on delivery (webhook_id, occurred_at, id) where state in ('exhausted', 'dropped');
