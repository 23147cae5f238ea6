-- Where the processes that run sessions are asked by the others. A session's lease names the process.
create table node (
    id text primary key,
    url text not null,
    seen_at bigint not null
);
