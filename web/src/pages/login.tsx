// SPDX-License-Identifier: Apache-2.0
// Sign in, and the password change that the server may ask for first.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { api } from '../api';
import { Failure, Field, useAction } from '../ui/parts';

interface LoginAnswer {
  access_token: string;
  token_type: string;
  must_change_password: boolean;
}

const passwordMinBytes = 12;

export function Login(props: { notice: string | null; done(mustChange: boolean): void }): JSX.Element {
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const action = useAction();

  const submit = (ev: Event): void => {
    ev.preventDefault();
    action.run(async () => {
      const answer = await api.post<LoginAnswer>('/auth/login', { username, password });
      api.token = answer.access_token;
      props.done(answer.must_change_password);
    });
  };
  return (
    <main class="gate">
      <h1>decnet</h1>
      {props.notice && <p class="notice" role="status">{props.notice}</p>}
      <form onSubmit={submit} class="card">
        <h2>Sign in</h2>
        <Field label="User name">
          <input name="username" autocomplete="username" required maxLength={64} value={username}
            onInput={(e) => setUsername(e.currentTarget.value)} />
        </Field>
        <Field label="Password">
          <input name="password" type="password" autocomplete="current-password" required value={password}
            onInput={(e) => setPassword(e.currentTarget.value)} />
        </Field>
        <Failure error={action.error} />
        <button class="primary" disabled={action.busy}>Sign in</button>
      </form>
    </main>
  );
}

/** After the change older tokens are refused, so it signs in again with the new password. */
export function ChangePassword(props: { forced: boolean; done(notice: string): void }): JSX.Element {
  const [old, setOld] = useState('');
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const action = useAction();

  const submit = (ev: Event): void => {
    ev.preventDefault();
    action.run(async () => {
      if (new TextEncoder().encode(next).length < passwordMinBytes)
        throw new Error(`The new password needs at least ${passwordMinBytes} characters`);
      if (next !== again) throw new Error('The two new passwords differ');
      await api.post('/auth/change-password', { old_password: old, new_password: next });
      props.done('Password changed. Sign in with the new one.');
    });
  };
  return (
    <main class={props.forced ? 'gate' : 'page'}>
      {props.forced && <h1>decnet</h1>}
      <form onSubmit={submit} class="card narrow">
        <h2>Change password</h2>
        {props.forced && <p>This account has to choose a new password before it can do anything else.</p>}
        <Field label="Old password">
          <input name="old_password" type="password" autocomplete="current-password" required value={old}
            onInput={(e) => setOld(e.currentTarget.value)} />
        </Field>
        <Field label="New password" hint={`${passwordMinBytes} to 128 bytes`}>
          <input name="new_password" type="password" autocomplete="new-password" required maxLength={128} value={next}
            onInput={(e) => setNext(e.currentTarget.value)} />
        </Field>
        <Field label="New password again">
          <input name="new_password_again" type="password" autocomplete="new-password" required maxLength={128}
            value={again} onInput={(e) => setAgain(e.currentTarget.value)} />
        </Field>
        <Failure error={action.error} />
        <button class="primary" disabled={action.busy}>Change password</button>
      </form>
    </main>
  );
}
