// SPDX-License-Identifier: Apache-2.0
// Health, processes and users. These have no stream, so they are read again every few seconds.
import type { JSX } from 'preact';
import { useCallback, useEffect, useState } from 'preact/hooks';
import { api, ApiError } from '../api';
import type { Config, Health, User, Workers } from '../types';
import { Badge, Confirm, Failure, Field, useAction } from '../ui/parts';
import { useAdmin, useSession } from '../ui/session';

const pollMs = 5000;
const passwordMin = 12;

interface State {
  health: Health | null;
  workers: Workers | null;
  users: User[] | null;
}

/** An unhealthy suite answers 503 with the same body, which the REST client gives as an error. */
async function readHealth(): Promise<Health | null> {
  try {
    return (await api.get<Health>('/health')).body;
  } catch (error) {
    const said = error instanceof ApiError && error.status === 503 ? (error.body as Partial<Health> | null) : null;
    if (said?.status !== undefined) return { status: said.status, components: said.components ?? {} };
    throw error;
  }
}

export function SystemPage(): JSX.Element {
  const admin = useAdmin();
  const [state, setState] = useState<State>({ health: null, workers: null, users: null });
  const [error, setError] = useState<Error | null>(null);

  const read = useCallback(async () => {
    try {
      const [health, workers, config] = await Promise.all([
        readHealth(),
        api.get<Workers>('/workers'),
        admin ? api.get<Config>('/config') : null,
      ]);
      setState({ health, workers: workers.body, users: config?.body.users ?? null });
      setError(null);
    } catch (e) {
      setError(e instanceof Error ? e : new Error(String(e)));
    }
  }, [admin]);
  useEffect(() => {
    void read();
    const timer = setInterval(() => void read(), pollMs);
    return () => clearInterval(timer);
  }, [read]);

  return (
    <main class="page" id="content" tabIndex={-1}>
      <div class="head">
        <h1>System</h1>
        {state.health && <span id="health"><Badge state={state.health.status} /></span>}
      </div>
      <Failure error={error} />
      {state.health && <Components health={state.health} />}
      {state.workers && <Processes workers={state.workers} admin={admin} reread={read} />}
      {state.users && <Users users={state.users} reread={read} />}
    </main>
  );
}

function Components({ health }: { health: Health }): JSX.Element {
  return (
    <dl class="tiles">
      {Object.entries(health.components).map(([name, c]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class="small"><Badge state={c.status} /> {c.detail && <span class="note">{c.detail}</span>}</dd>
        </div>
      ))}
    </dl>
  );
}

function Processes(props: { workers: Workers; admin: boolean; reread(): Promise<void> }): JSX.Element {
  const action = useAction();
  const order = (name: string, what: 'start' | 'stop'): void =>
    action.run(async () => {
      await api.post(`/workers/${name}/${what}`);
      await props.reread();
    });
  return (
    <section aria-labelledby="workers-title">
      <h2 id="workers-title">Processes</h2>
      {!props.workers.bus_connected && <p class="notice">The bus is not connected; everything works, a little later.</p>}
      <Failure error={action.error} />
      <div class="scroll">
        <table>
          <thead><tr><th>Name</th><th>State</th><th class="num">Last sign of life</th><th class="num">Process</th><td /></tr></thead>
          <tbody>
            {props.workers.workers.map((w) => (
              <tr key={w.name} data-worker={w.name}>
                <td>{w.name}{!w.installed && <span class="dim"> (not installed)</span>}</td>
                <td><Badge state={w.status} /></td>
                <td class="num">{w.seconds_since === null ? '–' : `${Math.round(w.seconds_since)} s ago`}</td>
                <td class="num">{typeof w.extra['pid'] === 'number' ? w.extra['pid'] : '–'}</td>
                <td>
                  {props.admin && w.name !== 'api' && (
                    <div class="row end">
                      <button type="button" class="quiet" disabled={action.busy} onClick={() => order(w.name, 'start')}>Start</button>
                      <Confirm label="Stop" danger question={`Stop ${w.name}?`} disabled={action.busy}
                        act={() => order(w.name, 'stop')} />
                    </div>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Users({ users, reread }: { users: User[]; reread(): Promise<void> }): JSX.Element {
  const me = useSession().config.uuid;
  const action = useAction();
  const run = (job: () => Promise<unknown>): void =>
    action.run(async () => {
      await job();
      await reread();
    });
  return (
    <section aria-labelledby="users-title">
      <h2 id="users-title">Users</h2>
      <Failure error={action.error} />
      <div class="scroll">
        <table>
          <thead><tr><th>Name</th><th>Role</th><th>Password</th><td /></tr></thead>
          <tbody>
            {users.map((u) => (
              <tr key={u.uuid} data-user={u.username}>
                <td>{u.username}{u.uuid === me && <span class="dim"> (you)</span>}</td>
                <td>{u.role}</td>
                <td>{u.must_change_password ? 'to be changed' : 'set'}</td>
                <td>
                  {u.uuid !== me && (
                    <div class="row end">
                      <button type="button" class="quiet" disabled={action.busy} onClick={() =>
                        run(() => api.put(`/config/users/${u.uuid}/role`, { role: u.role === 'admin' ? 'viewer' : 'admin' }))}>
                        Make {u.role === 'admin' ? 'viewer' : 'admin'}
                      </button>
                      <Confirm label="Delete" danger question={`Delete the user “${u.username}”? Their sessions end at once.`}
                        disabled={action.busy} act={() => run(() => api.delete(`/config/users/${u.uuid}`))} />
                    </div>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="forms">
        <AddUser reread={reread} />
        <ResetPassword users={users.filter((u) => u.uuid !== me)} />
      </div>
    </section>
  );
}

function AddUser({ reread }: { reread(): Promise<void> }): JSX.Element {
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [role, setRole] = useState('viewer');
  const action = useAction();

  const submit = (ev: Event): void => {
    ev.preventDefault();
    action.run(async () => {
      await api.post('/config/users', { username, password, role });
      setUsername('');
      setPassword('');
      await reread();
      return 'Added. The password has to be changed at the first sign-in.';
    });
  };
  return (
    <form class="card" onSubmit={submit} id="form-add-user">
      <h3>Add a user</h3>
      <Field label="Name">
        <input name="new_username" required maxLength={64} autocomplete="off" value={username}
          onInput={(e) => setUsername(e.currentTarget.value)} />
      </Field>
      <Field label="First password" hint={`${passwordMin} to 128 bytes`}>
        <input name="first_password" type="password" required minLength={passwordMin} maxLength={128} autocomplete="new-password"
          value={password} onInput={(e) => setPassword(e.currentTarget.value)} />
      </Field>
      <Field label="Role">
        <select name="role" value={role} onChange={(e) => setRole(e.currentTarget.value)}>
          <option>viewer</option>
          <option>admin</option>
        </select>
      </Field>
      <Failure error={action.error} />
      {action.done && <p class="notice" role="status">{action.done}</p>}
      <button class="primary" disabled={action.busy}>Add</button>
    </form>
  );
}

function ResetPassword({ users }: { users: User[] }): JSX.Element | null {
  const [uuid, setUuid] = useState('');
  const [password, setPassword] = useState('');
  const action = useAction();

  if (users.length === 0) return null;
  const submit = (ev: Event): void => {
    ev.preventDefault();
    action.run(async () => {
      await api.put(`/config/users/${uuid}/reset-password`, { new_password: password });
      setPassword('');
      return 'Reset. Their sessions have ended.';
    });
  };
  return (
    <form class="card" onSubmit={submit} id="form-reset-password">
      <h3>Reset a password</h3>
      <Field label="User">
        <select name="user" required value={uuid} onChange={(e) => setUuid(e.currentTarget.value)}>
          <option value="">choose…</option>
          {users.map((u) => <option key={u.uuid} value={u.uuid}>{u.username}</option>)}
        </select>
      </Field>
      <Field label="New password" hint={`${passwordMin} to 128 bytes`}>
        <input name="reset_password" type="password" required minLength={passwordMin} maxLength={128}
          autocomplete="new-password" value={password} onInput={(e) => setPassword(e.currentTarget.value)} />
      </Field>
      <Failure error={action.error} />
      {action.done && <p class="notice" role="status">{action.done}</p>}
      <button disabled={action.busy || uuid === ''}>Reset</button>
    </form>
  );
}
