// SPDX-License-Identifier: Apache-2.0
// A collector of traces that takes OTLP as JSON over HTTP, checks every field of it against the protocol, and can be unwell.
import assert from 'node:assert/strict';
import http from 'node:http';

const only = (object, ...keys) => assert.deepEqual(Object.keys(object).filter((k) => !keys.includes(k)), [], JSON.stringify(object).slice(0, 200));

function attributes(list) {
  const found = {};
  for (const a of list) {
    only(a, 'key', 'value');
    assert.equal(Object.keys(a.value).length, 1);
    const [[kind, value]] = Object.entries(a.value);
    assert.ok(!(a.key in found), `${a.key} twice`);
    // 64-bit numbers are decimal text.
    if (kind === 'intValue') assert.match(value, /^-?\d+$/);
    else assert.equal(`${kind} ${typeof value}`, 'stringValue string', a.key);
    found[a.key] = kind === 'intValue' ? Number(value) : value;
  }
  return found;
}

function readSpan(s, resource) {
  only(s, 'traceId', 'spanId', 'parentSpanId', 'name', 'kind', 'startTimeUnixNano', 'endTimeUnixNano', 'attributes', 'status');
  assert.match(s.traceId, /^(?!0{32})[0-9a-f]{32}$/);
  assert.match(s.spanId, /^(?!0{16})[0-9a-f]{16}$/);
  assert.match(s.parentSpanId ?? '', /^((?!0{16})[0-9a-f]{16})?$/);
  assert.ok(s.name.length > 0);
  assert.ok(Number.isInteger(s.kind) && s.kind >= 1 && s.kind <= 5);
  for (const t of [s.startTimeUnixNano, s.endTimeUnixNano]) assert.match(t, /^\d{19}$/);
  assert.ok(BigInt(s.startTimeUnixNano) <= BigInt(s.endTimeUnixNano));
  only(s.status, 'code', 'message');
  return { ...s, start: BigInt(s.startTimeUnixNano), end: BigInt(s.endTimeUnixNano), attrs: attributes(s.attributes), service: resource['service.name'], failed: s.status.code === 2 };
}

/** The spans of one ExportTraceServiceRequest. */
function readExport(body) {
  const root = JSON.parse(body);
  const spans = [];
  only(root, 'resourceSpans');
  for (const r of root.resourceSpans) {
    only(r, 'resource', 'scopeSpans');
    const resource = attributes(r.resource.attributes);
    for (const key of ['service.name', 'service.version', 'host.name', 'process.pid']) assert.ok(key in resource, key);
    for (const sc of r.scopeSpans) {
      only(sc, 'scope', 'spans');
      assert.equal(sc.scope.name, 'decnet');
      spans.push(...sc.spans.map((s) => readSpan(s, resource)));
    }
  }
  return spans;
}

export class Collector {
  static async start() {
    const c = new Collector();
    c.spans = [];
    c.bodies = [];
    c.requests = 0;
    c.wrong = null;
    c.mode = 'well'; // or a status, or 'silent'
    c.server = http.createServer((req, res) => c.#take(req, res));
    await new Promise((good) => c.server.listen(0, '127.0.0.1', good));
    c.url = `http://127.0.0.1:${c.server.address().port}`;
    return c;
  }

  #take(req, res) {
    const chunks = [];
    this.requests++;
    req.on('error', () => {});
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('end', () => {
      if (this.mode === 'silent') return; // and never a word
      if (this.mode !== 'well') {
        res.writeHead(this.mode).end('no');
        return;
      }
      try {
        assert.equal(`${req.method} ${req.url}`, 'POST /v1/traces');
        assert.equal(req.headers['content-type'], 'application/json');
        const body = Buffer.concat(chunks).toString('utf8');
        this.bodies.push(body);
        this.spans.push(...readExport(body));
      } catch (e) {
        this.wrong ??= e;
      }
      res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
    });
  }

  /** Spans of a trace whose name begins so. */
  of(traceId, name = '') {
    if (this.wrong) throw this.wrong;
    return this.spans.filter((s) => s.traceId === traceId && s.name.startsWith(name));
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((good) => this.server.close(good));
  }
}
