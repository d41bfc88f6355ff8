-- The first schema. One text for SQLite and PostgreSQL: TEXT ids, BIGINT milliseconds, BIGINT booleans 0/1, JSON as TEXT.

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES
    ('journal', 0), ('journal_floor', 0), ('log', 0), ('log_floor', 0), ('logs_total', 0), ('attackers_total', 0),
    ('queue', 0), ('access_epoch', 0), ('decision', 0);

CREATE TABLE journal (
    seq BIGINT PRIMARY KEY,
    topic TEXT NOT NULL,
    family TEXT NOT NULL,
    scope TEXT NOT NULL,
    type TEXT NOT NULL,
    ts BIGINT NOT NULL,
    payload TEXT NOT NULL
);
CREATE INDEX journal_family ON journal (family, seq);
CREATE INDEX journal_scope ON journal (scope, seq);

CREATE TABLE users (
    uuid TEXT PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    must_change BIGINT NOT NULL,
    tokens_valid_from BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE denylist (
    jti TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX denylist_expires ON denylist (expires_at);

CREATE TABLE topologies (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    mode TEXT NOT NULL,
    target_host TEXT,
    status TEXT NOT NULL,
    version BIGINT NOT NULL,
    needs_resync BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    status_changed_at BIGINT NOT NULL
);
CREATE INDEX topologies_created ON topologies (created_at, id);
CREATE INDEX topologies_status ON topologies (status);

CREATE TABLE lans (
    id TEXT PRIMARY KEY,
    topology_id TEXT NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    subnet TEXT NOT NULL,
    is_dmz BIGINT NOT NULL,
    x DOUBLE PRECISION,
    y DOUBLE PRECISION
);
CREATE INDEX lans_topology ON lans (topology_id);

CREATE TABLE deckies (
    uuid TEXT PRIMARY KEY,
    topology_id TEXT NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    services TEXT NOT NULL,
    archetype TEXT,
    forwards_l3 BIGINT NOT NULL,
    service_config TEXT NOT NULL,
    home_lan_id TEXT,
    state TEXT NOT NULL,
    last_error TEXT,
    endpoints TEXT NOT NULL,
    host_addr TEXT,
    x DOUBLE PRECISION,
    y DOUBLE PRECISION,
    UNIQUE (topology_id, name)
);
CREATE INDEX deckies_state ON deckies (state);

CREATE TABLE edges (
    id TEXT PRIMARY KEY,
    topology_id TEXT NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
    decky_uuid TEXT NOT NULL,
    lan_id TEXT NOT NULL,
    ip TEXT NOT NULL,
    is_bridge BIGINT NOT NULL,
    forwards_l3 BIGINT NOT NULL,
    UNIQUE (decky_uuid, lan_id),
    UNIQUE (lan_id, ip)
);
CREATE INDEX edges_topology ON edges (topology_id);

CREATE TABLE mutations (
    id TEXT PRIMARY KEY,
    queue_no BIGINT NOT NULL UNIQUE,
    topology_id TEXT NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
    op TEXT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    applied_at BIGINT,
    reason TEXT,
    owner TEXT,
    lease_until BIGINT,
    attempt BIGINT NOT NULL
);
CREATE INDEX mutations_queue ON mutations (topology_id, queue_no);
CREATE INDEX mutations_state ON mutations (state, queue_no);

CREATE TABLE status_events (
    id TEXT PRIMARY KEY,
    topology_id TEXT NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
    from_status TEXT NOT NULL,
    to_status TEXT NOT NULL,
    at BIGINT NOT NULL,
    reason TEXT
);
CREATE INDEX status_events_topology ON status_events (topology_id, id);

CREATE TABLE identities (
    uuid TEXT PRIMARY KEY,
    first_seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    confidence DOUBLE PRECISION NOT NULL,
    observation_count BIGINT NOT NULL,
    rollup TEXT NOT NULL,
    kd_digraph_simhash TEXT,
    merged_into_uuid TEXT,
    notes TEXT
);
CREATE INDEX identities_updated ON identities (updated_at, uuid);
CREATE INDEX identities_merged ON identities (merged_into_uuid);

CREATE TABLE attackers (
    uuid TEXT PRIMARY KEY,
    ip TEXT NOT NULL UNIQUE,
    identity_id TEXT,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    event_count BIGINT NOT NULL,
    bounty_count BIGINT NOT NULL,
    credential_count BIGINT NOT NULL,
    services TEXT NOT NULL,
    services_interacted TEXT NOT NULL,
    deckies TEXT NOT NULL,
    traversal_path TEXT,
    is_traversal BIGINT NOT NULL,
    rotation_count BIGINT NOT NULL,
    last_rotation_at BIGINT,
    behavior TEXT
);
CREATE INDEX attackers_identity ON attackers (identity_id);
CREATE INDEX attackers_last_seen ON attackers (last_seen, uuid);
CREATE INDEX attackers_events ON attackers (event_count, uuid);

CREATE TABLE attacker_commands (
    id BIGINT PRIMARY KEY,
    attacker_uuid TEXT NOT NULL,
    ts BIGINT NOT NULL,
    service TEXT NOT NULL,
    decky TEXT NOT NULL,
    command TEXT NOT NULL
);
CREATE INDEX attacker_commands_of ON attacker_commands (attacker_uuid, id);

-- Values that tell hands apart: one row per attacker, primitive and value; `current` marks the newest of its primitive.
CREATE TABLE attacker_signals (
    attacker_uuid TEXT NOT NULL,
    primitive TEXT NOT NULL,
    value TEXT NOT NULL,
    source TEXT NOT NULL,
    confidence DOUBLE PRECISION NOT NULL,
    first_seen BIGINT NOT NULL,
    is_current BIGINT NOT NULL,
    current_since BIGINT NOT NULL,
    first_log BIGINT NOT NULL,
    PRIMARY KEY (attacker_uuid, primitive, value)
);
CREATE INDEX attacker_signals_value ON attacker_signals (primitive, value, attacker_uuid);

CREATE TABLE credentials (
    attacker_uuid TEXT NOT NULL,
    username TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL,
    secret_kind TEXT NOT NULL,
    service TEXT NOT NULL,
    is_common BIGINT NOT NULL,
    first_seen BIGINT NOT NULL,
    PRIMARY KEY (attacker_uuid, username, secret_sha256)
);
CREATE INDEX credentials_pair ON credentials (username, secret_sha256, attacker_uuid);

CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,
    attacker_uuid TEXT NOT NULL,
    topology_id TEXT,
    decky_id TEXT,
    decky TEXT NOT NULL,
    service TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    commands TEXT NOT NULL
);
CREATE INDEX sessions_attacker ON sessions (attacker_uuid, started_at);

CREATE TABLE logs (
    id BIGINT PRIMARY KEY,
    ts BIGINT NOT NULL,
    topology_id TEXT,
    decky TEXT NOT NULL,
    service TEXT NOT NULL,
    event_type TEXT NOT NULL,
    attacker_ip TEXT NOT NULL,
    attacker_uuid TEXT NOT NULL,
    raw_line TEXT NOT NULL,
    fields TEXT NOT NULL,
    msg TEXT
);
CREATE INDEX logs_ts ON logs (ts);
CREATE INDEX logs_attacker ON logs (attacker_uuid, event_type, id);

-- Logs per minute, so that the histogram costs no scan.
CREATE TABLE log_minutes (
    minute BIGINT PRIMARY KEY,
    n BIGINT NOT NULL
);

-- The last capture committed from each decoy process: a repeated one is known by it.
CREATE TABLE capture_sources (
    source TEXT PRIMARY KEY,
    last_no BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

CREATE TABLE evidence (
    a TEXT NOT NULL,
    b TEXT NOT NULL,
    signal TEXT NOT NULL,
    value TEXT,
    weight DOUBLE PRECISION,
    at BIGINT NOT NULL,
    PRIMARY KEY (a, b, signal)
);
CREATE INDEX evidence_b ON evidence (b);

-- What analysts decided: a split keeps the observations of its two sides apart, a merge keeps them together; the later counts.
CREATE TABLE identity_decisions (
    id BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE TABLE identity_decision_sides (
    decision_id BIGINT NOT NULL,
    observation_uuid TEXT NOT NULL,
    side BIGINT NOT NULL,
    PRIMARY KEY (decision_id, observation_uuid)
);
CREATE INDEX identity_decision_of ON identity_decision_sides (observation_uuid);

CREATE TABLE workers (
    name TEXT PRIMARY KEY,
    pid BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    heartbeat_at BIGINT NOT NULL,
    extra TEXT NOT NULL
);

CREATE TABLE hosts (
    name TEXT PRIMARY KEY,
    driver TEXT NOT NULL,
    seen_at BIGINT NOT NULL
);
