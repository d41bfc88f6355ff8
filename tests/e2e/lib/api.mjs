// SPDX-License-Identifier: Apache-2.0
// A small client of the REST API: a token, JSON in and out, and the watermark of each read.
import { ADMIN_PASSWORD } from './suite.mjs';

export class Api {
  constructor(url, token = null) {
    this.url = url;
    this.token = token;
  }

  /** {status, body, headers, watermark}; never throws for a status. */
  async call(method, path, body, headers = {}) {
    const res = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        ...(this.token ? { Authorization: `Bearer ${this.token}` } : {}),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await res.text();
    let parsed = null;
    if (text) {
      try {
        parsed = JSON.parse(text);
      } catch {
        parsed = text;
      }
    }
    const watermark = res.headers.get('decnet-watermark');
    return { status: res.status, body: parsed, headers: res.headers, watermark: watermark === null ? null : Number(watermark) };
  }

  get(path) {
    return this.call('GET', path);
  }

  post(path, body) {
    return this.call('POST', path, body);
  }

  /** The body of a call that must answer `status`. */
  async expect(status, method, path, body) {
    const res = await this.call(method, path, body);
    if (res.status !== status) throw new Error(`${method} ${path}: ${res.status} ${JSON.stringify(res.body)}, wanted ${status}`);
    return res.body;
  }

  static async login(url, username, password) {
    const api = new Api(url);
    const body = await api.expect(200, 'POST', '/auth/login', { username, password });
    api.token = body.access_token;
    api.mustChange = body.must_change_password;
    return api;
  }

  /** The first admin, with the forced change of password done. */
  static async admin(suite, password = 'second-password-of-the-tests') {
    const first = await Api.login(suite.url, 'admin', ADMIN_PASSWORD);
    await first.expect(200, 'POST', '/auth/change-password', { old_password: ADMIN_PASSWORD, new_password: password });
    return Api.login(suite.url, 'admin', password);
  }

  /** A user of our own, ready for use. */
  async user(name, role) {
    const [one, two] = ['password-number-one', 'password-number-two'];
    await this.expect(200, 'POST', '/config/users', { username: name, password: one, role });
    const first = await Api.login(this.url, name, one);
    await first.expect(200, 'POST', '/auth/change-password', { old_password: one, new_password: two });
    return Api.login(this.url, name, two);
  }

  async demoTopology() {
    const list = await this.expect(200, 'GET', '/topologies');
    return list.data.find((t) => t.name === 'demo');
  }
}
