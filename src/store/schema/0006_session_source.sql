-- Which life of which decoy process a session belongs to, and when it was last heard of: what dies with the process can be ended.
ALTER TABLE sessions ADD COLUMN source TEXT;
ALTER TABLE sessions ADD COLUMN last_seen BIGINT;
CREATE INDEX sessions_open ON sessions (source) WHERE ended_at IS NULL;
ALTER TABLE capture_sources ADD COLUMN channel TEXT;
