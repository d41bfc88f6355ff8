// SPDX-License-Identifier: Apache-2.0
// Pages are named in the fragment, so the server needs to know none of them.
import { useEffect, useState } from 'preact/hooks';

export interface Route {
  page: string;
  /** The second part, an id; empty for none. */
  id: string;
}

export function parseRoute(hash: string): Route {
  const [page = '', id = ''] = hash.replace(/^#?\/?/, '').split('/');
  return { page: page === '' ? 'topologies' : page, id: decodeURIComponent(id) };
}

export function useRoute(): Route {
  const [route, set] = useState(() => parseRoute(location.hash));

  useEffect(() => {
    const changed = (): void => set(parseRoute(location.hash));
    window.addEventListener('hashchange', changed);
    return () => window.removeEventListener('hashchange', changed);
  }, []);
  return route;
}
