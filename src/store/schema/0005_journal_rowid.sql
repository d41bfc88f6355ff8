-- The journal once more: its number is the row's own in SQLite now, and rows without a scope are not in the index of scopes.
CREATE TABLE journal_new (
    seq BIGINT PRIMARY KEY,
    topic TEXT NOT NULL,
    family TEXT NOT NULL,
    scope TEXT NOT NULL,
    type TEXT NOT NULL,
    ts BIGINT NOT NULL,
    payload TEXT NOT NULL
);
INSERT INTO journal_new (seq, topic, family, scope, type, ts, payload)
    SELECT seq, topic, family, scope, type, ts, payload FROM journal ORDER BY seq;
DROP TABLE journal;
ALTER TABLE journal_new RENAME TO journal;
CREATE INDEX journal_family ON journal (family, seq);
CREATE INDEX journal_scope ON journal (scope, seq) WHERE scope <> '';
