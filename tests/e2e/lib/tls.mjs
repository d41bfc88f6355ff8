// SPDX-License-Identifier: Apache-2.0
// Certificates of the tests, and HTTP/2 in two forms: node's client, and frames written by hand for peers that misbehave.
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import { join } from 'node:path';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { FrameParser } from './frames.mjs';

const exec = promisify(execFile);

/** A self-signed certificate for loopback in `dir`: {cert, key}, paths of PEM files. */
export function makeCertificate(dir, name, subject = name) {
  const [cert, key] = [join(dir, `${name}.pem`), join(dir, `${name}.key`)];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const names = 'subjectAltName=IP:127.0.0.1,DNS:localhost';
  execFileSync('openssl', [...request, '-keyout', key, '-out', cert, '-subj', `/CN=${subject}`, '-addext', names], { stdio: 'ignore' });
  return { cert, key };
}

/** What tls calls a certificate's fingerprint256. */
export function fingerprint(path) {
  const der = Buffer.from(readFileSync(path, 'utf8').replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return createHash('sha256').update(der).digest('hex').toUpperCase().match(/../g).join(':');
}

export async function run(program, args, options = {}) {
  try {
    const { stdout, stderr } = await exec(program, args, { timeout: 20000, maxBuffer: 1 << 26, ...options });
    return { code: 0, stdout, stderr };
  } catch (e) {
    return { code: e.code ?? e.signal, stdout: e.stdout, stderr: e.stderr };
  }
}

/** One HTTP/2 connection: requests and streams of events beside each other. */
export class Session {
  constructor(port, ca) {
    this.client = http2.connect(`https://127.0.0.1:${port}`, { ca: readFileSync(ca) });
    this.closed = new Promise((good) => this.client.once('close', good));
    this.client.on('error', (e) => (this.error = e));
  }

  /** {status, headers, text} */
  request(method, path, { token, body, headers = {} } = {}) {
    return new Promise((good, bad) => {
      const req = this.client.request({
        ':method': method,
        ':path': path,
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      });
      const parts = [];
      let head;
      req.on('response', (h) => (head = h));
      req.on('data', (chunk) => parts.push(chunk));
      req.on('error', bad);
      req.on('close', () => good({ status: head?.[':status'], headers: head, text: Buffer.concat(parts).toString() }));
      req.end(body);
    });
  }

  events(path, token) {
    return new EventsOfStream(this.client.request({ ':path': `/api/v1${path}`, authorization: `Bearer ${token}` }));
  }

  close() {
    this.client.destroy();
    return this.closed;
  }
}

/** One stream of events of a session. */
class EventsOfStream {
  constructor(req) {
    this.req = req;
    this.parser = new FrameParser();
    this.text = '';
    this.look = () => {};
    this.opened = new Promise((good, bad) => {
      req.on('response', (h) => {
        this.headers = h;
        this.status = h[':status'];
        good(this.status);
      });
      req.on('error', bad);
    });
    this.opened.catch(() => {});
    this.ended = new Promise((good) => req.once('close', () => good(req.rstCode)));
    req.on('data', (chunk) => {
      if (this.status === 200) this.parser.push(chunk);
      else this.text += chunk;
      this.look();
    });
  }

  event(name, deadlineMs = 15000) {
    return new Promise((good, bad) => {
      const timer = setTimeout(() => bad(new Error(`${name}: not within ${deadlineMs} ms`)), deadlineMs);
      this.look = () => {
        const found = this.parser.frames.find((f) => f.event === name);
        if (!found) return;
        clearTimeout(timer);
        good(found);
      };
      this.look();
    });
  }
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] = [0, 1, 3, 4, 6, 7, 8, 9];
const [END_STREAM, END_HEADERS] = [1, 4];

export function frame(type, flags, stream, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A literal field without indexing; RFC 7541, 6.2.2. */
export function field(name, value) {
  const text = (s) => {
    const bytes = Buffer.from(s);
    if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
    const size = [127];
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>= 7) size.push((rest & 127) | 128);
    return Buffer.concat([Buffer.from([...size, rest]), bytes]);
  };
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

/** HEADERS of a GET. */
export function get(stream, path = '/healthz', fields = [], flags = END_STREAM | END_HEADERS) {
  const list = [[':method', 'GET'], [':scheme', 'https'], [':path', path], [':authority', 'localhost'], ...fields];
  return frame(HEADERS, flags, stream, Buffer.concat(list.map(([n, v]) => field(n, v))));
}

/** A peer that writes frames by hand and collects those that come. */
export class RawSession {
  static async open(port, settings = Buffer.alloc(0)) {
    const s = new RawSession();
    s.frames = [];
    s.socket = tls.connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false });
    await new Promise((good, bad) => s.socket.once('secureConnect', good).once('error', bad));
    let rest = Buffer.alloc(0);
    s.socket.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
        const n = 9 + rest.readUIntBE(0, 3);
        s.frames.push({ type: rest[3], flags: rest[4], stream: rest.readUInt32BE(5) & 0x7fffffff, payload: rest.subarray(9, n) });
        rest = rest.subarray(n);
      }
    });
    s.socket.on('error', () => {});
    s.closed = new Promise((good) => s.socket.once('close', good));
    s.socket.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, settings)]));
    return s;
  }

  send(...frames) {
    return new Promise((good) => this.socket.write(Buffer.concat(frames), () => good()));
  }

  has(type) {
    return this.frames.find((f) => f.type === type);
  }

  close() {
    this.socket.destroy();
    return this.closed;
  }
}
