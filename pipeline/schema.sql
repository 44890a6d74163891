CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    caller_id text NOT NULL,
    url text NOT NULL,
    corpus_name text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    failed_stage text,
    error jsonb,
    traffic text NOT NULL,
    run_id text,
    history jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX jobs_of_caller ON jobs (caller_id, created_at);
CREATE INDEX jobs_of_run ON jobs (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX synthetic_jobs ON jobs (created_at) WHERE traffic = 'synthetic';
CREATE INDEX open_jobs ON jobs (updated_at) WHERE status NOT IN ('done', 'failed');

CREATE TABLE callbacks (
    job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    callback_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job_id, callback_id)
);

CREATE TABLE documents (
    job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    source_url text NOT NULL,
    content text NOT NULL,
    chunks integer
);

-- What has to happen next to a job, written in the transaction that makes it so. A row that was
-- acted on stays, as the proof of it.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    action text NOT NULL,
    payload json NOT NULL,
    carrier json NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    published_at timestamptz,
    publications integer NOT NULL DEFAULT 0,
    poisoned text,
    UNIQUE (job_id, action)
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE published_at IS NULL;

-- Of another service, so without a foreign key to its jobs.
CREATE TABLE vectors (
    id text PRIMARY KEY,
    corpus_name text NOT NULL,
    job_id uuid NOT NULL,
    traffic text NOT NULL,
    run_id text,
    source_url text NOT NULL,
    content text NOT NULL,
    embedding vector(64) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX vectors_of_corpus ON vectors (corpus_name);
CREATE INDEX nearest_vectors ON vectors USING hnsw (embedding vector_cosine_ops);
CREATE INDEX vectors_of_job ON vectors (job_id);
CREATE INDEX vectors_of_run ON vectors (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX synthetic_vectors ON vectors (created_at) WHERE traffic = 'synthetic';

-- Who of several validators may send jobs now. Time is this server's alone.
CREATE TABLE leases (
    name text PRIMARY KEY,
    holder text NOT NULL,
    expires_at timestamptz NOT NULL
);
