-- What several gateways share: who they are, the streams that users have open at each, tickets, and the windows of rate limits.

INSERT INTO counters (name, value) VALUES ('gateways', 0);

-- One row a life of a gateway; it counts until its lease ends. `shares`: its slots and tickets are in the store.
CREATE TABLE gateways (
    id TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    shares BIGINT NOT NULL
);

CREATE TABLE stream_slots (
    user_uuid TEXT NOT NULL,
    gateway_id TEXT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (user_uuid, gateway_id)
);
CREATE INDEX stream_slots_gateway ON stream_slots (gateway_id);

-- Unspent tickets by a hash of their text, with what the token said that they were made with.
CREATE TABLE tickets (
    hash TEXT PRIMARY KEY,
    user_uuid TEXT NOT NULL,
    jti TEXT NOT NULL,
    iat BIGINT NOT NULL,
    exp BIGINT NOT NULL,
    ends_at BIGINT NOT NULL
);
CREATE INDEX tickets_user ON tickets (user_uuid, ends_at);
CREATE INDEX tickets_ends ON tickets (ends_at);

-- Attempts in the window that is open for a key (a hash of an address or a name).
CREATE TABLE rate_windows (
    rule TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    closes_at BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (rule, key_hash)
);
CREATE INDEX rate_windows_closes ON rate_windows (closes_at);
