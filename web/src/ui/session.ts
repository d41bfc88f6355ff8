// SPDX-License-Identifier: Apache-2.0
// Who is signed in. The token itself is the REST client's business.
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Config } from '../types';

export interface Session {
  config: Config;
  signOut(why?: string): void;
}

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error('no session');
  return session;
}

export function useAdmin(): boolean {
  return useSession().config.role === 'admin';
}
