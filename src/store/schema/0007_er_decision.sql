-- Why the engine thought so when it did: one row for each change of who is who. The oldest leave.
CREATE TABLE er_decision (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    identity_uuid TEXT NOT NULL,
    other_uuid TEXT,
    observation_uuid TEXT,
    via_uuid TEXT,
    score BIGINT,
    evidence TEXT
);
CREATE INDEX er_decision_identity ON er_decision (identity_uuid, seq);
CREATE INDEX er_decision_other ON er_decision (other_uuid, seq) WHERE other_uuid IS NOT NULL;
