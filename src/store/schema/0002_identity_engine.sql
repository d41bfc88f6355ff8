-- What the identity engine is built from again, and how identities hang together.
ALTER TABLE identities ADD COLUMN anchor_uuid TEXT;
ALTER TABLE identities ADD COLUMN points_to TEXT;
ALTER TABLE identities ADD COLUMN yields_to TEXT;
CREATE INDEX identities_points ON identities (points_to);
CREATE INDEX identities_anchor ON identities (anchor_uuid);
UPDATE identities SET points_to = merged_into_uuid;

-- Keyed hashes of an observation's values and of its name, in the order of arrival.
CREATE TABLE er_rows (
    observation_uuid TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    name_hash BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX er_rows_seq ON er_rows (seq);

-- One row: the latest recorded time, how far a recorded stream was read, the key of the hashes.
CREATE TABLE er_state (
    id BIGINT PRIMARY KEY,
    time_ms BIGINT NOT NULL,
    position BIGINT NOT NULL,
    secret TEXT NOT NULL
);
