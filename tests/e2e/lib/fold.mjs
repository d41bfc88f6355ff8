// SPDX-License-Identifier: Apache-2.0
// Folding a topology's stream: REST at one watermark plus the later frames must give REST at any later one.

export function startFold(detail, watermark) {
  return {
    watermark,
    refetch: false,
    topology: structuredClone(detail.topology),
    lan: new Map(detail.lans.map((r) => [r.id, structuredClone(r)])),
    decky: new Map(detail.deckies.map((r) => [r.uuid, structuredClone(r)])),
    edge: new Map(detail.edges.map((r) => [r.id, structuredClone(r)])),
    queue: new Map(),
  };
}

function change(fold, c) {
  if (c.kind === 'topology') {
    if (c.row) fold.topology = structuredClone(c.row);
    return;
  }
  if (c.action === 'deleted') fold[c.kind].delete(c.id);
  else fold[c.kind].set(c.id, structuredClone(c.row));
}

function deckyNamed(fold, payload) {
  for (const d of fold.decky.values()) if (d.uuid === payload.decky_uuid || d.name === payload.decky_name) return d;
  return null;
}

/** Applies one frame; frames at or below the watermark are already in. */
export function applyFrame(fold, frame) {
  if (frame.id === undefined || frame.id <= fold.watermark || frame.event === 'resumed') return;
  fold.watermark = frame.id;
  const p = frame.data.payload ?? {};
  if (p.version !== undefined && frame.event !== 'snapshot') fold.topology.version = p.version;
  for (const c of p.changes ?? []) change(fold, c);
  if (p.refetch || (p.changes === null && 'changes' in p)) fold.refetch = true;
  switch (frame.event) {
    case 'mutation.enqueued':
      fold.queue.set(p.mutation_id, 'pending');
      break;
    case 'mutation.applying':
      fold.queue.set(p.mutation_id, 'applying');
      break;
    case 'mutation.applied':
    case 'mutation.failed':
    case 'mutation.cancelled':
      fold.queue.delete(p.mutation_id);
      break;
    case 'status':
      fold.topology.status = p.status;
      break;
    case 'decky.state': {
      const d = deckyNamed(fold, p);
      if (d) {
        d.state = p.state;
        d.last_error = p.last_error;
      }
      break;
    }
    case 'decky.service_added':
    case 'decky.service_removed': {
      const d = deckyNamed(fold, p);
      if (d) d.services = p.services;
      break;
    }
    default:
      break;
  }
}

/** What both sides must agree on, in one order. */
export function comparable(topology, lans, deckies, edges) {
  const by = (key) => (a, b) => (a[key] < b[key] ? -1 : 1);
  const { status_changed_at, needs_resync, ...rest } = topology;
  return {
    topology: rest,
    lans: [...lans].sort(by('id')),
    deckies: [...deckies].sort(by('uuid')),
    edges: [...edges].sort(by('id')),
  };
}
