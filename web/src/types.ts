// SPDX-License-Identifier: Apache-2.0
// The rows of the REST interface, as docs/http-api.md describes them.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Page<T> {
  total: number;
  limit: number;
  offset: number;
  data: T[];
}

export interface Topology {
  id: string;
  name: string;
  mode: string;
  target_host: string | null;
  status: string;
  version: number;
  needs_resync: boolean;
  created_at: string;
  status_changed_at: string;
  email_personas: string;
  language_default: string;
}

export interface Lan {
  id: string;
  topology_id: string;
  name: string;
  subnet: string;
  is_dmz: boolean;
  x: number | null;
  y: number | null;
}

export interface Endpoint {
  service: string;
  proto: string;
  lan: string;
  address: string;
  port: number;
}

export interface DeckyConfig {
  name: string;
  archetype: string | null;
  forwards_l3: boolean;
  ips_by_lan: Record<string, string>;
  service_config: Record<string, Record<string, Json>>;
}

export interface Decky {
  uuid: string;
  topology_id: string;
  name: string;
  services: string[];
  decky_config: DeckyConfig;
  home_lan_id: string | null;
  ip: string | null;
  state: string;
  last_error: string | null;
  endpoints: Endpoint[];
  x: number | null;
  y: number | null;
}

export interface Edge {
  id: string;
  topology_id: string;
  decky_uuid: string;
  lan_id: string;
  ip: string;
  is_bridge: boolean;
  forwards_l3: boolean;
}

export interface Mutation {
  id: string;
  topology_id: string;
  op: string;
  payload: Record<string, Json>;
  state: string;
  requested_at: string;
  applied_at: string | null;
  reason: string | null;
}

export interface Issue {
  severity: string;
  code: string;
  message: string;
  target: Record<string, Json>;
}

export interface TopologyDetail {
  topology: Topology;
  lans: Lan[];
  deckies: Decky[];
  edges: Edge[];
}

export interface Identity {
  uuid: string;
  schema_version: number;
  campaign_id: string | null;
  first_seen_at: string;
  last_seen_at: string;
  created_at: string;
  updated_at: string;
  confidence: number;
  observation_count: number;
  ja3_hashes: string[];
  hassh_hashes: string[];
  ja4h_hashes: string[];
  ja4_quic_hashes: string[];
  http_versions_seen: string[];
  tls_cert_sha256: string[];
  ipv6_link_local_iids: string[];
  payload_simhashes: string[];
  c2_endpoints: string[];
  kd_digraph_simhash: string | null;
  merged_into_uuid: string | null;
  notes: string | null;
}

export interface IdentityDetail extends Identity {
  observation_count_live: number;
  merged_from: string[];
}

export interface Evidence {
  a: string;
  b: string;
  signal: string;
  value: string | null;
  weight: number | null;
  at: string;
}

export interface Fingerprint {
  primitive: string;
  value: string;
  source: string;
  first_seen: string;
}

export interface Command {
  service: string;
  decky: string;
  command: string;
  timestamp: string;
}

export interface Behaviour {
  behavior_class: string | null;
  tool_guesses: string[];
  ssh_client_banners: string[];
  timing_stats: Record<string, Json>;
  updated_at: string;
}

export interface Attacker {
  uuid: string;
  ip: string;
  identity_id: string | null;
  first_seen: string;
  last_seen: string;
  updated_at: string;
  event_count: number;
  service_count: number;
  decky_count: number;
  bounty_count: number;
  credential_count: number;
  services: string[];
  deckies: string[];
  traversal_path: string | null;
  is_traversal: boolean;
  fingerprints: Fingerprint[];
  commands: Command[];
  rotation_count: number;
  last_rotation_at: string | null;
  behavior: Behaviour | null;
  country_code: null;
  country_source: null;
  asn: null;
  as_name: null;
  bgp_prefix: null;
  asn_source: null;
  rpki_status: null;
  rpki_source: null;
  ptr_record: null;
}

export interface Observation {
  primitive: string;
  value: string;
  confidence: number;
  ts: string;
  source: string;
}

export interface AttackerDetail extends Attacker {
  service_activity: { interacted: string[]; scanned: string[] };
  observations: Observation[];
}

export interface LogRow {
  id: number;
  timestamp: string;
  topology_id: string | null;
  decky: string;
  service: string;
  event_type: string;
  attacker_ip: string;
  attacker_uuid: string;
  raw_line: string;
  fields: string;
  msg: string | null;
  trace_id: string | null;
  span_id: string | null;
}

export interface Stats {
  total_logs: number;
  unique_attackers: number;
  active_deckies: number;
  deployed_deckies: number;
}

export interface Bucket {
  time: string;
  count: number;
}

export interface Config {
  uuid: string;
  username: string;
  role: string;
  version: string;
  net_driver: string;
  pool: string;
  sse_max_per_user: number;
  /** Only administrators are told. */
  users?: User[];
}

export interface User {
  uuid: string;
  username: string;
  role: string;
  must_change_password: boolean;
}

export interface Component {
  status: string;
  detail: string | null;
}

export interface Health {
  status: string;
  components: Record<string, Component>;
}

export interface Worker {
  name: string;
  status: string;
  last_heartbeat_ts: number | null;
  seconds_since: number | null;
  extra: Record<string, Json>;
  installed: boolean;
}

export interface Workers {
  workers: Worker[];
  generated_at: string;
  bus_connected: boolean;
}

export interface Archetype {
  slug: string;
  display_name: string;
  description: string;
  services: string[];
}

export interface ServiceInfo {
  name: string;
  available: boolean;
  ports: number[];
}
