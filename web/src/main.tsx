// SPDX-License-Identifier: Apache-2.0
// Entry: who is signed in decides which page is shown.
import { render, type JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { api, ApiError } from './api';
import { AttackerPage, AttackersPage } from './pages/attackers';
import { IdentitiesPage, IdentityPage } from './pages/identities';
import { LogPage } from './pages/log';
import { ChangePassword, Login } from './pages/login';
import { SystemPage } from './pages/system';
import { TopologiesPage } from './pages/topologies';
import { TopologyPage } from './pages/topology';
import './style.css';
import type { Config } from './types';
import { Connection, Failure } from './ui/parts';
import { accessEndings, useConnection } from './ui/live';
import { useRoute, type Route } from './ui/route';
import { SessionContext, type Session } from './ui/session';

type Gate = 'login' | 'change' | 'loading' | 'open';

const mustChangeText = 'Password change required before accessing this resource';

const pages = [
  { page: 'topologies', label: 'Topologies' },
  { page: 'identities', label: 'Identities' },
  { page: 'attackers', label: 'Attackers' },
  { page: 'log', label: 'Log' },
  { page: 'system', label: 'System' },
];

function Page({ route }: { route: Route }): JSX.Element {
  switch (route.page) {
    case 'topologies':
      return route.id === '' ? <TopologiesPage /> : <TopologyPage key={route.id} id={route.id} />;
    case 'identities':
      return route.id === '' ? <IdentitiesPage /> : <IdentityPage key={route.id} id={route.id} />;
    case 'attackers':
      return route.id === '' ? <AttackersPage /> : <AttackerPage key={route.id} id={route.id} />;
    case 'log':
      return <LogPage />;
    case 'system':
      return <SystemPage />;
    default:
      return <main class="page"><h1>No such page</h1></main>;
  }
}

/** The stream is over for good because the access is: what is shown is no longer live. */
function Ended({ signOut }: { signOut(why: string): void }): JSX.Element | null {
  const status = useConnection();
  const why = status?.state === 'ended' ? accessEndings[status.reason ?? ''] : undefined;

  if (why === undefined) return null;
  return (
    <div class="ended" role="alert">
      <span>{why} What you see is no longer live.</span>
      <button type="button" onClick={() => signOut(why)}>Sign in again</button>
    </div>
  );
}

function Shell({ session, changed }: { session: Session; changed(notice: string): void }): JSX.Element {
  const route = useRoute();

  useEffect(() => {
    document.title = `${pages.find((p) => p.page === route.page)?.label ?? 'Account'} · decnet`;
  }, [route.page]);
  return (
    <SessionContext.Provider value={session}>
      <a class="skip" href="#content" onClick={(e) => { e.preventDefault(); document.querySelector('main')?.focus(); }}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/">decnet</a>
        <nav aria-label="Pages">
          {pages.map((p) => (
            <a key={p.page} href={`#/${p.page}`} aria-current={route.page === p.page ? 'page' : undefined}>
              {p.label}
            </a>
          ))}
        </nav>
        <Connection />
        <div class="who">
          <a href="#/account" title={`Signed in as ${session.config.role}; change the password`}>
            {session.config.username}
          </a>
          <button type="button" class="quiet" onClick={() => session.signOut()}>Sign out</button>
        </div>
      </header>
      <Ended signOut={session.signOut} />
      {route.page === 'account' ? <ChangePassword forced={false} done={changed} /> : <Page route={route} />}
      <footer class="dim">decnet {session.config.version} · {session.config.net_driver} driver · pool {session.config.pool}</footer>
    </SessionContext.Provider>
  );
}

function App(): JSX.Element {
  const [gate, setGate] = useState<Gate>(api.token === null ? 'login' : 'loading');
  const [config, setConfig] = useState<Config | null>(null);
  const [notice, setNotice] = useState<string | null>(null);
  const [error, setError] = useState<Error | null>(null);

  const leave = (why: string | null): void => {
    api.token = null;
    setConfig(null);
    setNotice(why);
    setGate('login');
  };
  const load = (): void => {
    setGate('loading');
    setError(null);
    api.get<Config>('/config').then(
      ({ body }) => {
        setConfig(body);
        setGate('open');
      },
      (e: unknown) => {
        if (e instanceof ApiError && e.status === 403 && e.message === mustChangeText) setGate('change');
        else if (e instanceof ApiError && e.status === 401) leave('Your session has ended.');
        else setError(e instanceof Error ? e : new Error(String(e)));
      },
    );
  };
  useEffect(() => {
    api.onSignedOut = () => leave('Your session has ended.');
    if (api.token !== null) load();
  }, []);

  const session = useMemo<Session | null>(
    () =>
      config && {
        config,
        signOut: (why) => {
          // The answer does not matter: the token is forgotten either way.
          if (why === undefined) api.post('/auth/logout').catch(() => {});
          leave(why ?? null);
        },
      },
    [config],
  );

  if (gate === 'login')
    return <Login notice={notice} done={(mustChange) => { setNotice(null); mustChange ? setGate('change') : load(); }} />;
  if (gate === 'change') return <ChangePassword forced done={leave} />;
  if (gate === 'open' && session) return <Shell session={session} changed={leave} />;
  return (
    <main class="gate">
      <h1>decnet</h1>
      {error ? (
        <div class="card">
          <Failure error={error} />
          <button type="button" onClick={load}>Try again</button>
        </div>
      ) : (
        <p role="status">Loading…</p>
      )}
    </main>
  );
}

const root = document.getElementById('app');
if (root) render(<App />, root);
