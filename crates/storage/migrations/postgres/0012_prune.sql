-- The deliveries of an event are looked up, whatever the planner thinks of its tables: joined by one of two conditions it
-- read all deliveries for each portion of retention.
create or replace view delivery_of as select event.id as event, of_event.id as id, of_event.state as state
    from event cross join lateral (
        select delivery.id, delivery.state from delivery where delivery.event_id = event.id
            and delivery.id >= 'dlv_' || substr(event.id, 5, 13) || '-' and delivery.id < 'dlv_' || substr(event.id, 5, 13) || '.'
        union all
        select delivery.id, delivery.state from delivery where delivery.event_id = event.id
            and substr(delivery.id, 5, 13) <> substr(delivery.event_id, 5, 13)
    ) as of_event;
