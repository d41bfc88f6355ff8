-- How many mutations have ever come into a state, and how long the ended ones took together: numbers that stay when a topology goes.
CREATE TABLE mutation_counts (
    op TEXT NOT NULL,
    state TEXT NOT NULL,
    n BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    PRIMARY KEY (op, state)
);
INSERT INTO mutation_counts (op, state, n, took_ms)
    SELECT op, 'pending', count(*), 0 FROM mutations GROUP BY op;
INSERT INTO mutation_counts (op, state, n, took_ms)
    SELECT op, 'applying', count(*), 0 FROM mutations WHERE attempt > 0 GROUP BY op;
INSERT INTO mutation_counts (op, state, n, took_ms)
    SELECT op, state, count(*), CAST(coalesce(sum(applied_at - requested_at), 0) AS BIGINT)
    FROM mutations WHERE state IN ('applied', 'failed', 'cancelled') GROUP BY op, state;
