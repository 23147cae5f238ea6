-- What is asked for often is counted when it changes, or read from an index that has only what is asked for.

-- Messages of a session, and those that failed.
alter table session add column incoming bigint not null default 0;
alter table session add column outgoing bigint not null default 0;
alter table session add column failed bigint not null default 0;
update session set
    incoming = (select count(*) from message where message.session_id = session.id and direction = 'incoming'),
    outgoing = (select count(*) from message where message.session_id = session.id and direction = 'outgoing'),
    failed = (select count(*) from message where message.session_id = session.id and status = 'failed');
create trigger message_counted after insert on message begin
    update session set incoming = incoming + (new.direction = 'incoming'), outgoing = outgoing + (new.direction = 'outgoing'),
        failed = failed + (new.status = 'failed') where id = new.session_id;
end;
create trigger message_uncounted after delete on message begin
    update session set incoming = incoming - (old.direction = 'incoming'), outgoing = outgoing - (old.direction = 'outgoing'),
        failed = failed - (old.status = 'failed') where id = old.session_id;
end;
create trigger message_recounted after update of direction, status on message
    when old.direction <> new.direction or (old.status = 'failed') <> (new.status = 'failed') begin
    update session set
        incoming = incoming + (new.direction = 'incoming') - (old.direction = 'incoming'),
        outgoing = outgoing + (new.direction = 'outgoing') - (old.direction = 'outgoing'),
        failed = failed + (new.status = 'failed') - (old.status = 'failed') where id = new.session_id;
end;

-- How long the oldest waits is read from the index too.
drop index delivery_waiting;
create index delivery_waiting on delivery (lane, sequence, occurred_at) where state = 'pending';

-- What failed, or was dropped, of a webhook.
create index delivery_failed on delivery (webhook_id, occurred_at, id) where state in ('exhausted', 'dropped');
