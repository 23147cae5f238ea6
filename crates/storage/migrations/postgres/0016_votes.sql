-- Votes have OpenWA's name now; those that are there keep theirs, and both are looked up by this index.
drop index event_of_change;
create index event_of_change on event (session_id, idempotency_key)
    where kind in ('message.edited','message.reaction','message.revoked','message.poll_vote','poll.vote');
