// SPDX-License-Identifier: Apache-2.0
// Forms that put a change of a running topology into its queue.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { api } from '../api';
import type { Archetype, ServiceInfo, TopologyDetail } from '../types';
import { Failure, Field, useAction } from '../ui/parts';

const ops = [
  'add_lan',
  'remove_lan',
  'add_decky',
  'attach_decky',
  'detach_decky',
  'remove_decky',
  'update_decky',
  'update_lan',
];

interface Queued {
  mutation_id: string;
  state: string;
  version: number;
}

interface Catalogue {
  archetypes: Archetype[];
  services: ServiceInfo[];
}

function useCatalogue(): Catalogue {
  const [catalogue, set] = useState<Catalogue>({ archetypes: [], services: [] });

  useEffect(() => {
    let gone = false;
    Promise.all([
      api.get<{ archetypes: Archetype[] }>('/topologies/archetypes'),
      api.get<{ services: ServiceInfo[] }>('/topologies/services'),
    ]).then(
      ([a, s]) => {
        if (!gone) set({ archetypes: a.body.archetypes, services: s.body.services.filter((x) => x.available) });
      },
      // Without the catalogue the names are typed; the server checks them anyway.
      () => {},
    );
    return () => void (gone = true);
  }, []);
  return catalogue;
}

export function MutateForms({ detail }: { detail: TopologyDetail }): JSX.Element {
  const [guarded, setGuarded] = useState(false);
  const { id, version } = detail.topology;

  const enqueue = async (op: string, payload: unknown): Promise<string> => {
    const body = { op, payload, ...(guarded ? { expected_version: version } : {}) };
    const queued = await api.post<Queued>(`/topologies/${id}/mutations`, body);
    return `Queued as version ${queued.version}`;
  };
  return (
    <section aria-labelledby="mutate-title">
      <h2 id="mutate-title">Change it</h2>
      <label class="check">
        <input type="checkbox" checked={guarded} onChange={(e) => setGuarded(e.currentTarget.checked)} />
        only if the version is still {version}
      </label>
      <div class="forms">
        <AddDecky detail={detail} enqueue={enqueue} />
        <RemoveDecky detail={detail} enqueue={enqueue} />
        <FreeOp enqueue={enqueue} />
      </div>
    </section>
  );
}

type Enqueue = (op: string, payload: unknown) => Promise<string>;

function AddDecky({ detail, enqueue }: { detail: TopologyDetail; enqueue: Enqueue }): JSX.Element {
  const catalogue = useCatalogue();
  const [name, setName] = useState('');
  const [lan, setLan] = useState('');
  const [archetype, setArchetype] = useState('');
  const [services, setServices] = useState('');
  const action = useAction();
  const chosen = detail.lans.some((l) => l.name === lan) ? lan : ((detail.lans.find((l) => l.is_dmz) ?? detail.lans[0])?.name ?? '');

  const pick = (slug: string): void => {
    const row = catalogue.archetypes.find((a) => a.slug === slug);
    setArchetype(slug);
    // An archetype brings its services; what this build does not offer is left out.
    if (row) setServices(row.services.filter((s) => catalogue.services.some((x) => x.name === s)).join(', '));
  };
  const submit = (ev: Event): void => {
    ev.preventDefault();
    const list = services.split(/[\s,]+/).filter((s) => s !== '');
    action.run(async () => {
      const said = await enqueue('add_decky', {
        name,
        lan: chosen,
        services: list,
        ...(archetype === '' ? {} : { archetype }),
      });
      setName('');
      return said;
    });
  };
  return (
    <form class="card" onSubmit={submit} id="form-add-decky">
      <h3>Add a decky</h3>
      <Field label="Name">
        <input name="name" required pattern="[a-z0-9]([a-z0-9\-]{0,62}[a-z0-9])?" maxLength={64} value={name}
          title="small letters, digits and dashes" onInput={(e) => setName(e.currentTarget.value)} />
      </Field>
      <Field label="Network">
        <select name="lan" value={chosen} onChange={(e) => setLan(e.currentTarget.value)}>
          {detail.lans.map((l) => <option key={l.id} value={l.name}>{l.name} ({l.subnet})</option>)}
        </select>
      </Field>
      <Field label="Archetype">
        <select name="archetype" value={archetype} onChange={(e) => pick(e.currentTarget.value)}>
          <option value="">none</option>
          {catalogue.archetypes.map((a) => (
            <option key={a.slug} value={a.slug} title={a.description}>{a.display_name}</option>
          ))}
        </select>
      </Field>
      <Field label="Services" hint={catalogue.services.map((s) => s.name).join(' ')}>
        <input name="services" value={services} placeholder="ssh, http" spellcheck={false}
          onInput={(e) => setServices(e.currentTarget.value)} />
      </Field>
      <Outcome action={action} />
      <button class="primary" disabled={action.busy}>Add</button>
    </form>
  );
}

function RemoveDecky({ detail, enqueue }: { detail: TopologyDetail; enqueue: Enqueue }): JSX.Element {
  const [decky, setDecky] = useState('');
  const action = useAction();
  const chosen = detail.deckies.some((d) => d.name === decky) ? decky : '';

  const submit = (ev: Event): void => {
    ev.preventDefault();
    action.run(() => enqueue('remove_decky', { decky: chosen }));
  };
  return (
    <form class="card" onSubmit={submit} id="form-remove-decky">
      <h3>Remove a decky</h3>
      <Field label="Decky">
        <select name="decky" required value={chosen} onChange={(e) => setDecky(e.currentTarget.value)}>
          <option value="">choose…</option>
          {detail.deckies.map((d) => <option key={d.uuid} value={d.name}>{d.name}</option>)}
        </select>
      </Field>
      <Outcome action={action} />
      <button class="danger" disabled={action.busy || chosen === ''}>Remove</button>
    </form>
  );
}

function FreeOp({ enqueue }: { enqueue: Enqueue }): JSX.Element {
  const [op, setOp] = useState('update_decky');
  const [payload, setPayload] = useState('{}');
  const action = useAction();

  const submit = (ev: Event): void => {
    ev.preventDefault();
    action.run(async () => {
      let value: unknown;
      try {
        value = JSON.parse(payload);
      } catch (e) {
        throw new Error(`The payload is not JSON: ${(e as Error).message}`);
      }
      return enqueue(op, value);
    });
  };
  return (
    <form class="card" onSubmit={submit} id="form-free-op">
      <h3>Any operation</h3>
      <Field label="Operation">
        <select name="op" value={op} onChange={(e) => setOp(e.currentTarget.value)}>
          {ops.map((name) => <option key={name}>{name}</option>)}
        </select>
      </Field>
      <Field label="Payload (JSON)">
        <textarea name="payload" rows={5} spellcheck={false} value={payload}
          onInput={(e) => setPayload(e.currentTarget.value)} />
      </Field>
      <Outcome action={action} />
      <button class="primary" disabled={action.busy}>Enqueue</button>
    </form>
  );
}

function Outcome({ action }: { action: ReturnType<typeof useAction> }): JSX.Element {
  return (
    <div role="status">
      <Failure error={action.error} />
      {action.done && <p class="notice">{action.done}</p>}
    </div>
  );
}
