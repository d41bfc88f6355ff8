// SPDX-License-Identifier: Apache-2.0
// Reads the store of a running suite past the product: what the journal and the log really hold.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const SCRIPT = `
import json, sqlite3, sys
path, what, after, upto = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
db = sqlite3.connect("file:" + path + "?mode=ro", uri=True, timeout=30)
db.row_factory = sqlite3.Row
key = {"journal": "seq", "logs": "id"}[what]
for row in db.execute(f"SELECT * FROM {what} WHERE {key} > ? AND {key} <= ? ORDER BY {key}", (after, upto)):
    print(json.dumps(dict(row)))
`;

async function read(suite, what, after, upto) {
  const args = ['-c', SCRIPT, join(suite.dir, 'decnet.db'), what, String(after), String(upto)];
  const { stdout } = await run('python3', args, { maxBuffer: 1 << 30 });
  return stdout ? stdout.trimEnd().split('\n').map((line) => JSON.parse(line)) : [];
}

/** Event name on a stream of one family; on /events it is the topic. */
export function eventName(topic) {
  const parts = topic.split('.');
  if (parts[0] === 'identity') return parts.slice(1).join('.');
  if (parts[0] === 'topology') return parts.slice(2).join('.');
  if (parts[0] === 'decky') return ['decky', ...parts.slice(2)].join('.');
  return topic;
}

/** Rows of the journal in (after, upto] as the data of frames: {id, topic, data}. */
export async function journal(suite, after, upto) {
  return (await read(suite, 'journal', after, upto)).map((row) => ({
    id: row.seq,
    topic: row.topic,
    data: { topic: row.topic, type: row.type, ts: row.ts / 1000, payload: JSON.parse(row.payload) },
  }));
}

/** Log rows in (after, upto] as REST shows them. */
export async function logRows(suite, after, upto) {
  return (await read(suite, 'logs', after, upto)).map(({ ts, ...row }) => ({ ...row, timestamp: new Date(ts).toISOString(), trace_id: null, span_id: null }));
}
