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
