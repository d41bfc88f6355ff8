-- Counts the changes of a topology's LANs, deckies and edges, so that who keeps them in memory knows whether they are current.
ALTER TABLE topologies ADD COLUMN rows_no BIGINT NOT NULL DEFAULT 0;
