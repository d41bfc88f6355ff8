// SPDX-License-Identifier: Apache-2.0
// One topology, live: networks, deckies, queue, and what an administrator can do to it.
import type { JSX } from 'preact';
import { useEffect, useMemo, useReducer } from 'preact/hooks';
import { api, type Answer } from '../api';
import { TopologyFold, topologyEvents, type Finished, type TopologySnapshot, type Traffic } from '../fold/topology';
import type { Decky, Edge, Issue, Lan, Mutation, Topology, TopologyDetail } from '../types';
import { useLive } from '../ui/live';
import { Badge, Chips, Confirm, Failure, Recent, useAction, When } from '../ui/parts';
import { useAdmin } from '../ui/session';
import { MutateForms } from './mutate';

const trafficShownS = 10;

/** Repaint now and then, so that old traffic fades; 0 for never. */
function useTick(ms: number): void {
  const [, tick] = useReducer((n: number) => n + 1, 0);

  useEffect(() => {
    if (ms === 0) return undefined;
    const timer = setInterval(() => tick(0), ms);
    return () => clearInterval(timer);
  }, [ms]);
}

export function TopologyPage({ id }: { id: string }): JSX.Element {
  const admin = useAdmin();
  const fold = useMemo(() => new TopologyFold(), [id]);
  const live = useLive<TopologyDetail>(
    () => ({
      path: `/topologies/${encodeURIComponent(id)}/events`,
      names: topologyEvents,
      read: async () => {
        const answer: Answer<TopologyDetail> = await api.get(`/topologies/${encodeURIComponent(id)}`);
        return { mark: answer.watermark, value: answer.body };
      },
      reset: (value, mark) => fold.reset(value, mark),
      apply: (f) => fold.apply(f),
      snapshot: (data) => fold.snapshot(data as unknown as TopologySnapshot),
    }),
    [id],
  );
  const detail = fold.detail();
  useTick(fold.traffic.size > 0 ? trafficShownS * 500 : 0);

  if (fold.deleted)
    return (
      <main class="page" id="content" tabIndex={-1}>
        <h1>{detail?.topology.name ?? 'Topology'}</h1>
        <p class="notice">This topology has been deleted. <a href="#/topologies">All topologies</a></p>
      </main>
    );
  if (!detail)
    return (
      <main class="page" id="content" tabIndex={-1}>
        <h1>Topology</h1>
        <Failure error={live.error} />
        {!live.error && <p role="status">{live.status?.state === 'ended' ? live.status.reason : 'Loading…'}</p>}
      </main>
    );
  const t = detail.topology;
  const open = t.status === 'active' || t.status === 'degraded';
  return (
    <main class="page" id="content" tabIndex={-1}>
      <div class="head">
        <h1 id="topology-name">{t.name}</h1>
        <span id="topology-status"><Badge state={t.status} /></span>
        <span class="dim">version <span id="topology-version">{t.version}</span></span>
        {t.needs_resync && <span class="note">waiting for {t.target_host}</span>}
        {admin && <Actions topology={t} />}
      </div>
      <Failure error={live.error} />
      <Queue queue={fold.queue} finished={fold.finished} admin={admin} topology={t.id} />
      <Networks detail={detail} traffic={fold.traffic} />
      {admin && open && <MutateForms detail={detail} />}
      {admin && t.status === 'pending' && <p class="notice">Deploy this topology to change it through the queue.</p>}
      <section aria-labelledby="recent-title">
        <h2 id="recent-title">Latest events</h2>
        <Recent frames={live.recent} />
      </section>
    </main>
  );
}

function Actions({ topology }: { topology: Topology }): JSX.Element {
  const action = useAction();
  const may = (states: string[]): boolean => states.includes(topology.status) && !action.busy;
  const path = `/topologies/${topology.id}`;

  return (
    <div class="row end">
      <button type="button" disabled={action.busy} onClick={() =>
        action.run(async () => {
          const { issues } = (await api.get<{ issues: Issue[] }>(`${path}/issues`)).body;
          return issues.length === 0 ? 'No issues' : issues.map((i) => `${i.severity}: ${i.message}`).join('; ');
        })}>
        Check
      </button>
      <button type="button" class="primary" disabled={!may(['pending'])}
        onClick={() => action.run(async () => void (await api.post(`${path}/deploy`)))}>
        Deploy
      </button>
      <Confirm label="Tear down" danger question={`Tear down “${topology.name}”? Its deckies stop and their connections end.`}
        disabled={!may(['active', 'degraded', 'failed', 'deploying'])}
        act={() => action.run(async () => void (await api.post(`${path}/teardown`)))} />
      <Confirm label="Delete" danger question={`Delete “${topology.name}” with its history?`}
        disabled={!may(['pending', 'torn_down', 'failed'])}
        act={() => action.run(async () => { await api.delete(path); location.hash = '#/topologies'; })} />
      {(action.error || action.done) && (
        <div class="said" role="status">
          <Failure error={action.error} />
          {action.done}
        </div>
      )}
    </div>
  );
}

function Queue(props: { queue: Mutation[]; finished: Finished[]; admin: boolean; topology: string }): JSX.Element {
  const action = useAction();

  return (
    <section aria-labelledby="queue-title">
      <h2 id="queue-title">In flight <span class="count" id="queue-count">{props.queue.length}</span></h2>
      <Failure error={action.error} />
      {props.queue.length === 0 ? (
        <p class="dim">No change is waiting.</p>
      ) : (
        <div class="scroll">
          <table>
            <thead><tr><th>Operation</th><th>State</th><th>Payload</th><th>Requested</th><td /></tr></thead>
            <tbody>
              {props.queue.map((m) => (
                <tr key={m.id} data-mutation={m.id}>
                  <td><code>{m.op}</code></td>
                  <td><Badge state={m.state} /></td>
                  <td class="clip"><code>{JSON.stringify(m.payload)}</code></td>
                  <td><When at={m.requested_at} /></td>
                  <td>
                    {props.admin && m.state === 'pending' && (
                      <button type="button" class="quiet" disabled={action.busy} onClick={() =>
                        action.run(() => api.delete(`/topologies/${props.topology}/mutations/${m.id}`))}>
                        Cancel
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {props.finished.length > 0 && (
        <ul class="finished" aria-live="polite">
          {props.finished.map((f) => (
            <li key={f.id} data-finished={f.id}>
              <Badge state={f.state} /> <code>{f.op}</code> <When at={f.at} /> {f.reason && <span class="note">{f.reason}</span>}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Networks({ detail, traffic }: { detail: TopologyDetail; traffic: Map<string, Traffic> }): JSX.Element {
  const members = new Map<string, { decky: Decky; edge: Edge }[]>();
  const byUuid = new Map(detail.deckies.map((d) => [d.uuid, d]));
  const names = new Map(detail.lans.map((l) => [l.id, l.name]));

  for (const edge of detail.edges) {
    const decky = byUuid.get(edge.decky_uuid);
    if (decky) members.set(edge.lan_id, [...(members.get(edge.lan_id) ?? []), { decky, edge }]);
  }
  const lans = [...detail.lans].sort((a, b) => Number(b.is_dmz) - Number(a.is_dmz));
  const placed = new Set(detail.edges.map((e) => e.decky_uuid));
  const loose = detail.deckies.filter((d) => !placed.has(d.uuid));
  return (
    <section aria-labelledby="lans-title">
      <h2 id="lans-title">
        Networks <span class="count">{detail.lans.length}</span> · deckies{' '}
        <span class="count" id="decky-count">{detail.deckies.length}</span>
      </h2>
      <div class="lans">
        {lans.map((lan) => (
          <LanCard key={lan.id} lan={lan} members={members.get(lan.id) ?? []} names={names} traffic={traffic} />
        ))}
        {loose.length > 0 && (
          <article class="lan">
            <h3>Without a network</h3>
            <ul class="deckies">
              {loose.map((d) => <li key={d.uuid}><DeckyCard decky={d} ip={null} also={[]} traffic={undefined} /></li>)}
            </ul>
          </article>
        )}
      </div>
    </section>
  );
}

function LanCard(props: {
  lan: Lan;
  members: { decky: Decky; edge: Edge }[];
  names: Map<string, string>;
  traffic: Map<string, Traffic>;
}): JSX.Element {
  const { lan, members } = props;
  const sorted = [...members].sort((a, b) => (a.decky.name < b.decky.name ? -1 : 1));
  return (
    <article class={lan.is_dmz ? 'lan dmz' : 'lan'} data-lan={lan.name}>
      <h3>
        {lan.name} {lan.is_dmz && <span class="tag">DMZ</span>} <code class="dim">{lan.subnet}</code>
      </h3>
      {sorted.length === 0 && <p class="dim">empty</p>}
      <ul class="deckies">
        {sorted.map(({ decky, edge }) => {
          const home = decky.home_lan_id === lan.id;
          const also = Object.keys(decky.decky_config.ips_by_lan).filter((name) => name !== lan.name);
          return (
            <li key={edge.id}>
              {home ? (
                <DeckyCard decky={decky} ip={edge.ip} also={also} traffic={props.traffic.get(decky.name)} />
              ) : (
                <div class="decky guest" title={`Its home is ${props.names.get(decky.home_lan_id ?? '') ?? 'elsewhere'}`}>
                  <strong>{decky.name}</strong> <code>{edge.ip}</code>
                  <span class="tag">{edge.forwards_l3 ? 'router' : 'bridge'}</span>
                </div>
              )}
            </li>
          );
        })}
      </ul>
    </article>
  );
}

function DeckyCard(props: { decky: Decky; ip: string | null; also: string[]; traffic: Traffic | undefined }): JSX.Element {
  const d = props.decky;
  const fresh = props.traffic && Date.now() / 1000 - props.traffic.ts < trafficShownS ? props.traffic : null;
  return (
    <div class={fresh ? 'decky busy' : 'decky'} data-decky={d.name} data-state={d.state}>
      <div class="row">
        <strong>{d.name}</strong>
        <Badge state={d.state} />
        {d.decky_config.forwards_l3 && <span class="tag">router</span>}
      </div>
      <div class="row dim">
        {props.ip && <code>{props.ip}</code>}
        {d.decky_config.archetype && <span>{d.decky_config.archetype}</span>}
        {props.also.length > 0 && <span>also on {props.also.join(', ')}</span>}
      </div>
      <Chips items={d.services} empty="no services" />
      {d.endpoints.length > 0 && (
        <details>
          <summary>{d.endpoints.length === 1 ? '1 endpoint' : `${d.endpoints.length} endpoints`}</summary>
          <ul class="endpoints">
            {d.endpoints.map((e) => (
              <li key={`${e.proto}${e.address}${e.port}`}>
                {e.service} <code>{e.proto} {e.address}:{e.port}</code>
              </li>
            ))}
          </ul>
        </details>
      )}
      {d.last_error && <p class="failure">{d.last_error}</p>}
      {fresh && (
        <p class="traffic">
          {fresh.service}: {fresh.connections} from <code>{fresh.attacker_ip}</code>
        </p>
      )}
    </div>
  );
}
