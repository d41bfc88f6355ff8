// SPDX-License-Identifier: Apache-2.0
// Attackers: one row for each source address. The list is folded; one attacker is read again when it changes.
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { api } from '../api';
import { attackerEvents, AttackersFold } from '../fold/attackers';
import type { Attacker, AttackerDetail, Page } from '../types';
import { useLive } from '../ui/live';
import { Chips, Failure, short, When } from '../ui/parts';
import { AttackerTable } from './identities';

const readMax = 200;

export function AttackersPage(): JSX.Element {
  const fold = useMemo(() => new AttackersFold(), []);
  const live = useLive<Page<Attacker>>(
    () => ({
      path: '/events?topics=attacker.%3E,identity.%3E',
      names: attackerEvents,
      read: async () => {
        const { body, watermark } = await api.get<Page<Attacker>>(`/attackers?limit=${readMax}`);
        return { mark: watermark, value: body };
      },
      reset: (page, mark) => fold.reset(page, mark),
      apply: (f) => {
        const reread = fold.apply(f);
        fold.trim();
        return reread;
      },
    }),
    [],
  );
  const rows = fold.list();
  return (
    <main class="page" id="content" tabIndex={-1}>
      <div class="head">
        <h1>Attackers</h1>
        <span class="dim"><span id="attacker-count">{fold.total}</span> in all</span>
      </div>
      <Failure error={live.error} />
      {live.loaded && rows.length === 0 && <p class="dim">Nobody has come by yet.</p>}
      {rows.length > 0 && <AttackerTable rows={rows} />}
    </main>
  );
}

export function AttackerPage({ id }: { id: string }): JSX.Element {
  const state = useMemo(() => ({ row: null as AttackerDetail | null, mark: 0 }), [id]);
  const path = `/attackers/${encodeURIComponent(id)}`;
  const live = useLive<AttackerDetail>(
    () => ({
      path: `${path}/events`,
      names: attackerEvents.map((name) => name.replace(/^identity\./, '')).concat('credential.captured'),
      read: async () => {
        const { body, watermark } = await api.get<AttackerDetail>(path);
        return { mark: watermark, value: body };
      },
      reset: (row, mark) => Object.assign(state, { row, mark }),
      apply: (f) => f.id !== null && f.id > state.mark,
    }),
    [id],
  );
  const a = state.row;

  if (!a)
    return (
      <main class="page" id="content" tabIndex={-1}>
        <h1>Attacker</h1>
        <Failure error={live.error} />
        {!live.error && <p role="status">{live.status?.state === 'ended' ? live.status.reason : 'Loading…'}</p>}
      </main>
    );
  return (
    <main class="page" id="content" tabIndex={-1}>
      <div class="head"><h1>Attacker <code>{a.ip}</code></h1></div>
      <Failure error={live.error} />
      <dl class="facts">
        <dt>Identity</dt>
        <dd>{a.identity_id ? <a href={`#/identities/${a.identity_id}`}><code>{short(a.identity_id)}</code></a> : '–'}</dd>
        <dt>First seen</dt><dd><When at={a.first_seen} /></dd>
        <dt>Last seen</dt><dd><When at={a.last_seen} /></dd>
        <dt>Events</dt><dd>{a.event_count}</dd>
        <dt>Credentials</dt><dd>{a.credential_count}</dd>
        <dt>Deckies</dt><dd><Chips items={a.deckies} /></dd>
        <dt>Talked to</dt><dd><Chips items={a.service_activity.interacted} /></dd>
        <dt>Only scanned</dt><dd><Chips items={a.service_activity.scanned} /></dd>
        {a.traversal_path && [<dt key="t">Path</dt>, <dd key="tv">{a.traversal_path}</dd>]}
        {a.behavior?.behavior_class && [<dt key="b">Behaviour</dt>, <dd key="bv">{a.behavior.behavior_class}</dd>]}
        {a.behavior && a.behavior.tool_guesses.length > 0 && [
          <dt key="g">Tools</dt>,
          <dd key="gv"><Chips items={a.behavior.tool_guesses} /></dd>,
        ]}
      </dl>
      <section aria-labelledby="obs-title">
        <h2 id="obs-title">Fingerprints <span class="count">{a.observations.length}</span></h2>
        {a.observations.length === 0 ? <p class="dim">None.</p> : (
          <div class="scroll">
            <table>
              <thead><tr><th>Primitive</th><th>Value</th><th class="num">Confidence</th><th>Source</th><th>Since</th></tr></thead>
              <tbody>
                {a.observations.map((o) => (
                  <tr key={o.primitive}>
                    <td>{o.primitive}</td>
                    <td class="clip"><code title={o.value}>{o.value}</code></td>
                    <td class="num">{Math.round(o.confidence * 100)} %</td>
                    <td>{o.source}</td>
                    <td><When at={o.ts} /></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
      <section aria-labelledby="cmd-title">
        <h2 id="cmd-title">Commands <span class="count">{a.commands.length}</span></h2>
        {a.commands.length === 0 ? <p class="dim">None.</p> : (
          <ol class="recent">
            {a.commands.map((c, i) => (
              <li key={`${c.timestamp}${i}`}>
                <When at={c.timestamp} /> <span class="dim">{c.decky}/{c.service}</span> <code>{c.command}</code>
              </li>
            ))}
          </ol>
        )}
      </section>
    </main>
  );
}
