-- Every row of an index is a page to be written: those that no statement uses go, and those that few rows concern hold only these.
DROP INDEX journal_family;
CREATE INDEX journal_identity ON journal (family, seq) WHERE family = 'identity';
UPDATE journal SET scope = '' WHERE scope <> '' AND family NOT IN ('topology', 'decky');

DROP INDEX attackers_last_seen;
DROP INDEX attackers_events;
CREATE INDEX attackers_last_seen ON attackers (last_seen);
CREATE INDEX attackers_events ON attackers (event_count);

DROP INDEX identities_updated;
DROP INDEX identities_merged;
DROP INDEX identities_points;
CREATE INDEX identities_updated ON identities (updated_at, merged_into_uuid) WHERE merged_into_uuid IS NULL;
CREATE INDEX identities_merged ON identities (merged_into_uuid) WHERE merged_into_uuid IS NOT NULL;
CREATE INDEX identities_points ON identities (points_to) WHERE points_to IS NOT NULL;

-- Who has a value is asked with it alone, and it says enough.
DROP INDEX attacker_signals_value;
CREATE INDEX attacker_signals_value ON attacker_signals (value);
