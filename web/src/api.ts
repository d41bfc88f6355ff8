// SPDX-License-Identifier: Apache-2.0
// The REST client: token in the session storage, errors as the server words them.
import type { Issue } from './types';

export interface FieldError {
  field: string;
  message: string;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    detail: string,
    readonly errors: FieldError[] = [],
    readonly issues: Issue[] = [],
    readonly retryAfterS: number | null = null,
    /** The whole answer; routes may say more than the keys above. */
    readonly body: unknown = null,
  ) {
    super(detail);
    this.name = 'ApiError';
  }
}

export interface Answer<T> {
  body: T;
  /** Decnet-Watermark; 0 where the route has none. */
  watermark: number;
}

const prefix = '/api/v1';
const tokenKey = 'decnet.token';

export class Api {
  /** Called when the server no longer takes the token. */
  onSignedOut: (why: string) => void = () => {};

  get token(): string | null {
    return sessionStorage.getItem(tokenKey);
  }

  set token(value: string | null) {
    if (value === null) sessionStorage.removeItem(tokenKey);
    else sessionStorage.setItem(tokenKey, value);
  }

  async get<T>(path: string): Promise<Answer<T>> {
    return this.request<T>('GET', path);
  }

  async post<T>(path: string, body?: unknown): Promise<T> {
    return (await this.request<T>('POST', path, body)).body;
  }

  async put<T>(path: string, body?: unknown): Promise<T> {
    return (await this.request<T>('PUT', path, body)).body;
  }

  async delete(path: string): Promise<void> {
    await this.request<unknown>('DELETE', path);
  }

  /** The address of a stream, ticket still to be added. */
  url(path: string): string {
    return prefix + path;
  }

  async ticket(): Promise<string> {
    return (await this.post<{ ticket: string }>('/auth/sse-ticket')).ticket;
  }

  /** What the server answers to a stream request; null when it would stream. */
  async probe(url: string): Promise<ApiError | null> {
    const stop = new AbortController();
    const response = await fetch(url, { headers: this.headers(), signal: stop.signal, cache: 'no-store' });

    if (response.ok) {
      stop.abort();
      return null;
    }
    return errorOf(response);
  }

  private headers(): Record<string, string> {
    const token = this.token;
    return token === null ? {} : { Authorization: `Bearer ${token}` };
  }

  private async request<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    const headers = this.headers();
    const sent = this.token;
    const init: RequestInit = { method, headers, cache: 'no-store' };
    let response: Response;

    if (body !== undefined) {
      headers['Content-Type'] = 'application/json';
      init.body = JSON.stringify(body);
    }
    try {
      response = await fetch(prefix + path, init);
    } catch {
      throw new ApiError(0, 'The server cannot be reached');
    }
    if (!response.ok) {
      const error = await errorOf(response);
      // A refused login or old password is an answer to a form, not the end of the session.
      const form = path === '/auth/login' || path === '/auth/change-password';
      if (response.status === 401 && !form && sent !== null && sent === this.token) this.onSignedOut(error.message);
      throw error;
    }
    const text = await response.text();
    return {
      body: (text === '' ? null : JSON.parse(text)) as T,
      watermark: Number(response.headers.get('Decnet-Watermark') ?? 0),
    };
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  let body: { detail?: unknown; errors?: unknown; issues?: unknown } = {};

  try {
    body = (await response.json()) as typeof body;
  } catch {
    // Not from our server, or cut off: the status has to do.
  }
  const detail = typeof body?.detail === 'string' ? body.detail : `The server answered ${response.status}`;
  const after = response.headers.get('Retry-After');
  return new ApiError(
    response.status,
    detail,
    Array.isArray(body?.errors) ? (body.errors as FieldError[]) : [],
    Array.isArray(body?.issues) ? (body.issues as Issue[]) : [],
    after === null ? null : Number(after),
    body,
  );
}

export const api = new Api();
