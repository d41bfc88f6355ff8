// SPDX-License-Identifier: Apache-2.0
// All topologies, and forms to make one.
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { api } from '../api';
import type { Frame } from '../fold/frame';
import type { Page, Topology } from '../types';
import { useLive } from '../ui/live';
import { Badge, Failure, Field, useAction, When } from '../ui/parts';
import { useAdmin } from '../ui/session';

/** Event names are full topics here, so the ids that exist have to be known before the stream is opened. */
const tails = ['changed', 'status', 'deleted', 'mutation.enqueued', 'mutation.failed', 'mutation.cancelled'];
const shownMax = 200;
const newcomersMs = 10_000;
const listPath = `/topologies?limit=${shownMax}`;

function useTopologies(ids: readonly string[]): { rows: Topology[]; total: number; live: ReturnType<typeof useLive> } {
  const state = useMemo(() => ({ rows: [] as Topology[], total: 0, mark: 0 }), []);
  const live = useLive<Page<Topology>>(
    () => ({
      path: '/events?topics=topology.%3E',
      names: ids.flatMap((id) => tails.map((tail) => `topology.${id}.${tail}`)),
      read: async () => {
        const { body, watermark } = await api.get<Page<Topology>>(listPath);
        return { mark: watermark, value: body };
      },
      reset: (page, mark) => Object.assign(state, { rows: page.data, total: page.total, mark }),
      // A list is short and cheap: whatever changed, it is read again.
      apply: (f: Frame) => f.id !== null && f.id > state.mark,
    }),
    [ids.join()],
  );
  return { rows: state.rows, total: state.total, live };
}

export function TopologiesPage(): JSX.Element {
  const admin = useAdmin();
  const [known, setKnown] = useState<string[]>([]);
  const { rows, total, live } = useTopologies(known);
  const ids = rows.map((t) => t.id);

  useEffect(() => {
    if (ids.some((id) => !known.includes(id))) setKnown(ids);
  }, [ids.join()]);
  useEffect(() => {
    // The event of a new topology has a name that could not be asked for yet.
    const timer = setInterval(() => live.refetch(), newcomersMs);
    return () => clearInterval(timer);
  }, []);
  return (
    <main class="page" id="content" tabIndex={-1}>
      <div class="head">
        <h1>Topologies</h1>
        <button type="button" class="quiet" onClick={() => live.refetch()}>Refresh</button>
      </div>
      <Failure error={live.error} />
      {live.loaded && rows.length === 0 && <p class="dim">There is no topology yet.</p>}
      {rows.length > 0 && (
        <div class="scroll">
          <table>
            <caption class="dim">{total} in all</caption>
            <thead>
              <tr><th>Name</th><th>Status</th><th class="num">Version</th><th>Host</th><th>Since</th><th>Created</th></tr>
            </thead>
            <tbody>
              {rows.map((t) => (
                <tr key={t.id}>
                  <td><a href={`#/topologies/${t.id}`}>{t.name}</a></td>
                  <td><Badge state={t.status} /></td>
                  <td class="num">{t.version}</td>
                  <td>{t.target_host ?? 'this host'}</td>
                  <td><When at={t.status_changed_at} /></td>
                  <td><When at={t.created_at} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {admin && <Create />}
    </main>
  );
}

function Create(): JSX.Element {
  const [name, setName] = useState('');
  const [kind, setKind] = useState('blank');
  const [depth, setDepth] = useState(2);
  const [branching, setBranching] = useState(2);
  const action = useAction();

  const submit = (ev: Event): void => {
    ev.preventDefault();
    action.run(async () => {
      const made =
        kind === 'blank'
          ? await api.post<Topology>('/topologies/blank', { name })
          : await api.post<Topology>('/topologies', { name, depth, branching_factor: branching });
      location.hash = `#/topologies/${made.id}`;
    });
  };
  return (
    <form class="card" onSubmit={submit}>
      <h2>New topology</h2>
      <div class="fields">
        <Field label="Name">
          <input name="name" required maxLength={64} value={name} onInput={(e) => setName(e.currentTarget.value)} />
        </Field>
        <Field label="Start with">
          <select name="kind" value={kind} onChange={(e) => setKind(e.currentTarget.value)}>
            <option value="blank">one DMZ and a gateway</option>
            <option value="generated">a generated network</option>
          </select>
        </Field>
        {kind === 'generated' && (
          <>
            <Field label="Depth">
              <input name="depth" type="number" min={1} max={16} required value={depth}
                onInput={(e) => setDepth(e.currentTarget.valueAsNumber)} />
            </Field>
            <Field label="Branches">
              <input name="branching" type="number" min={1} max={8} required value={branching}
                onInput={(e) => setBranching(e.currentTarget.valueAsNumber)} />
            </Field>
          </>
        )}
      </div>
      <Failure error={action.error} />
      <button class="primary" disabled={action.busy}>Create</button>
    </form>
  );
}
