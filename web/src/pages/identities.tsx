// SPDX-License-Identifier: Apache-2.0
// Identities: the same hands behind several addresses. The list is folded; one identity is read again when it changes.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { api } from '../api';
import { concerns, IdentitiesFold, identityEvents } from '../fold/identities';
import type { Attacker, Evidence, Identity, IdentityDetail, Page } from '../types';
import { useLive } from '../ui/live';
import { Chips, Confirm, Failure, Field, Recent, short, useAction, When } from '../ui/parts';
import { useAdmin } from '../ui/session';

const readMax = 200;

export function IdentitiesPage(): JSX.Element {
  const fold = useMemo(() => new IdentitiesFold(), []);
  const live = useLive<Page<Identity>>(
    () => ({
      path: '/identities/events',
      names: identityEvents,
      read: async () => {
        const { body, watermark } = await api.get<Page<Identity>>(`/identities?limit=${readMax}`);
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
        <h1>Identities</h1>
        <span class="dim"><span id="identity-count">{fold.total}</span> in all</span>
      </div>
      <Failure error={live.error} />
      {live.loaded && rows.length === 0 && <p class="dim">Nobody has come by yet.</p>}
      {rows.length > 0 && (
        <div class="scroll">
          <table id="identities">
            <thead>
              <tr>
                <th>Identity</th><th class="num">Addresses</th><th>Confidence</th><th>Known by</th><th>First seen</th>
                <th>Last seen</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={row.uuid} data-identity={row.uuid}>
                  <td><a href={`#/identities/${row.uuid}`} title={row.uuid}><code>{short(row.uuid)}</code></a></td>
                  <td class="num">{row.observation_count}</td>
                  <td><Confidence value={row.confidence} /></td>
                  <td><Chips items={knownBy(row)} /></td>
                  <td><When at={row.first_seen_at} /></td>
                  <td><When at={row.last_seen_at} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <section aria-labelledby="recent-title">
        <h2 id="recent-title">Latest events</h2>
        <Recent frames={live.recent} />
      </section>
    </main>
  );
}

function Confidence({ value }: { value: number }): JSX.Element {
  return (
    <span class="meter">
      <meter min={0} max={1} value={value} /> {Math.round(value * 100)} %
    </span>
  );
}

const signals: [keyof Identity, string][] = [
  ['ja3_hashes', 'TLS (JA3)'],
  ['hassh_hashes', 'SSH (HASSH)'],
  ['ja4h_hashes', 'HTTP (JA4H)'],
  ['ja4_quic_hashes', 'QUIC (JA4)'],
  ['http_versions_seen', 'HTTP version'],
  ['tls_cert_sha256', 'client certificate'],
  ['ipv6_link_local_iids', 'IPv6 interface'],
  ['payload_simhashes', 'payload'],
  ['c2_endpoints', 'C2 endpoint'],
];

function knownBy(row: Identity): string[] {
  const list = signals.filter(([key]) => (row[key] as string[]).length > 0).map(([, label]) => label);
  return row.kd_digraph_simhash === null ? list : [...list, 'typing'];
}

interface Whole {
  identity: IdentityDetail;
  observations: Page<Attacker>;
  evidence: Page<Evidence>;
}

/** All three reads; the watermark is the least of them, so nothing newer than it can be missed. */
async function readWhole(id: string): Promise<{ mark: number; value: Whole }> {
  const path = `/identities/${encodeURIComponent(id)}`;
  const [identity, observations, evidence] = await Promise.all([
    api.get<IdentityDetail>(path),
    api.get<Page<Attacker>>(`${path}/observations?limit=200`),
    api.get<Page<Evidence>>(`${path}/evidence?limit=100`),
  ]);
  return {
    mark: Math.min(identity.watermark, observations.watermark, evidence.watermark),
    value: { identity: identity.body, observations: observations.body, evidence: evidence.body },
  };
}

export function IdentityPage({ id }: { id: string }): JSX.Element {
  const admin = useAdmin();
  const state = useMemo(() => ({ whole: null as Whole | null, mark: 0 }), [id]);
  const live = useLive<Whole>(
    () => ({
      path: '/identities/events',
      names: identityEvents,
      read: () => readWhole(id),
      reset: (whole, mark) => Object.assign(state, { whole, mark }),
      apply: (f) => {
        if (f.id === null || f.id <= state.mark) return false;
        const row = state.whole?.identity;
        return concerns(f, new Set([id, ...(row ? [row.uuid, ...row.merged_from] : [])]));
      },
    }),
    [id],
  );
  const whole = state.whole;

  if (!whole)
    return (
      <main class="page" id="content" tabIndex={-1}>
        <h1>Identity</h1>
        <Failure error={live.error} />
        {!live.error && <p role="status">Loading…</p>}
      </main>
    );
  const row = whole.identity;
  return (
    <main class="page" id="content" tabIndex={-1}>
      <div class="head">
        <h1>Identity <code>{short(row.uuid)}</code></h1>
        <Confidence value={row.confidence} />
      </div>
      {row.uuid !== id && <p class="notice">{short(id)} was merged into this identity.</p>}
      <Failure error={live.error} />
      <dl class="facts">
        <dt>Identifier</dt><dd><code>{row.uuid}</code></dd>
        <dt>Addresses</dt><dd>{row.observation_count_live}</dd>
        <dt>First seen</dt><dd><When at={row.first_seen_at} /></dd>
        <dt>Last seen</dt><dd><When at={row.last_seen_at} /></dd>
        {signals.map(([key, label]) => {
          const values = row[key] as string[];
          return values.length === 0 ? null : [<dt key={key}>{label}</dt>, <dd key={`${key}v`}><Chips items={values} /></dd>];
        })}
        {row.kd_digraph_simhash && [<dt key="kd">Typing</dt>, <dd key="kdv"><code>{row.kd_digraph_simhash}</code></dd>]}
        {row.merged_from.length > 0 && [
          <dt key="mf">Merged from</dt>,
          <dd key="mfv"><Chips items={row.merged_from} /></dd>,
        ]}
      </dl>
      <section aria-labelledby="observations-title">
        <h2 id="observations-title">Observations <span class="count">{whole.observations.total}</span></h2>
        {admin ? <Decide whole={whole} /> : <AttackerTable rows={whole.observations.data} />}
      </section>
      <EvidenceTable evidence={whole.evidence} names={new Map(whole.observations.data.map((a) => [a.uuid, a.ip]))} />
      <Notes identity={row} admin={admin} />
    </main>
  );
}

/** What an analyst knows better: part observations from this identity, or join another one to it. */
function Decide({ whole }: { whole: Whole }): JSX.Element {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [other, setOther] = useState('');
  const action = useAction();
  const uuid = whole.identity.uuid;
  const parts = whole.observations.data.filter((a) => chosen.has(a.uuid)).map((a) => a.uuid);

  const choose = (id: string): void => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  const split = (): void =>
    action.run(async () => {
      const made = await api.post<{ new_identity_uuid: string }>(`/identities/${uuid}/split`, { observation_uuids: parts });
      setChosen(new Set());
      return `They are now identity ${made.new_identity_uuid}`;
    });
  const merge = (ev: Event): void => {
    ev.preventDefault();
    action.run(async () => {
      await api.post('/identities/merge', { winner_uuid: uuid, loser_uuid: other.trim() });
      setOther('');
      return 'Merged into this identity';
    });
  };
  return (
    <>
      <AttackerTable rows={whole.observations.data} chosen={chosen} choose={choose} />
      <div class="row decide">
        <Confirm label="Split off the chosen" disabled={action.busy || parts.length === 0}
          question={`Make ${parts.length === 1 ? 'this address' : `these ${parts.length} addresses`} an identity of its own? The engine will not join them again.`}
          act={split} />
        <form class="row" onSubmit={merge}>
          <input name="other" aria-label="Identifier of another identity" placeholder="identifier of another identity" required
            pattern="[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}" value={other} onInput={(e) => setOther(e.currentTarget.value)} />
          <button disabled={action.busy}>Merge it into this one</button>
        </form>
      </div>
      <Failure error={action.error} />
      {action.done && <p class="notice" role="status">{action.done}</p>}
    </>
  );
}

export function AttackerTable(props: {
  rows: Attacker[];
  chosen?: ReadonlySet<string>;
  choose?(uuid: string): void;
}): JSX.Element {
  const { rows, chosen, choose } = props;
  return (
    <div class="scroll">
      <table class="attackers">
        <thead>
          <tr>
            {choose && <td />}
            <th>Address</th><th class="num">Events</th><th class="num">Credentials</th><th>Services</th><th>Deckies</th>
            <th>First seen</th><th>Last seen</th><th>Identity</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((a) => (
            <tr key={a.uuid} data-attacker={a.ip}>
              {choose && (
                <td>
                  <input type="checkbox" aria-label={`Choose ${a.ip}`} checked={chosen?.has(a.uuid) ?? false}
                    onChange={() => choose(a.uuid)} />
                </td>
              )}
              <td>
                <a href={`#/attackers/${a.uuid}`}><code>{a.ip}</code></a>
                {a.is_traversal && <span class="tag" title={a.traversal_path ?? ''}>moved on</span>}
              </td>
              <td class="num">{a.event_count}</td>
              <td class="num">{a.credential_count}</td>
              <td><Chips items={a.services} /></td>
              <td><Chips items={a.deckies} /></td>
              <td><When at={a.first_seen} /></td>
              <td><When at={a.last_seen} /></td>
              <td>
                {a.identity_id ? (
                  <a href={`#/identities/${a.identity_id}`} title={a.identity_id}><code>{short(a.identity_id)}</code></a>
                ) : (
                  <span class="dim">–</span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function EvidenceTable({ evidence, names }: { evidence: Page<Evidence>; names: Map<string, string> }): JSX.Element | null {
  if (evidence.data.length === 0) return null;
  return (
    <section aria-labelledby="evidence-title">
      <h2 id="evidence-title">Evidence <span class="count">{evidence.total}</span></h2>
      <div class="scroll">
        <table>
          <thead><tr><th>Between</th><th>Signal</th><th>Value</th><th class="num">Weight</th><th>Since</th></tr></thead>
          <tbody>
            {evidence.data.map((e) => (
              <tr key={`${e.a}${e.b}${e.signal}${e.value ?? ''}`}>
                <td><code>{names.get(e.a) ?? short(e.a)}</code> and <code>{names.get(e.b) ?? short(e.b)}</code></td>
                <td>{e.signal}</td>
                <td class="clip">{e.value ?? '–'}</td>
                <td class="num">{e.weight === null ? '–' : e.weight.toFixed(1)}</td>
                <td><When at={e.at} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Notes({ identity, admin }: { identity: Identity; admin: boolean }): JSX.Element {
  const [text, setText] = useState('');
  const action = useAction();

  const submit = (ev: Event): void => {
    ev.preventDefault();
    action.run(async () => {
      await api.post(`/identities/${identity.uuid}/notes`, { text });
      setText('');
    });
  };
  return (
    <section aria-labelledby="notes-title">
      <h2 id="notes-title">Notes</h2>
      {identity.notes ? <pre class="notes">{identity.notes}</pre> : <p class="dim">None.</p>}
      {admin && (
        <form class="card" onSubmit={submit}>
          <Field label="Add a note">
            <textarea name="text" rows={2} required maxLength={4096} value={text}
              onInput={(e) => setText(e.currentTarget.value)} />
          </Field>
          <Failure error={action.error} />
          <button disabled={action.busy}>Add</button>
        </form>
      )}
    </section>
  );
}
