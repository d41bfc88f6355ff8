// SPDX-License-Identifier: Apache-2.0
// Visitors of a key-value decoy from addresses of our choice: whom the engine takes for one is known beforehand.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { eventually } from './suite.mjs';

/** Where a service of the demo network answers. */
export async function endpoint(api, service) {
  const { deckies } = await api.expect(200, 'GET', `/topologies/${(await api.demoTopology()).id}`);
  return deckies.flatMap((d) => d.endpoints).find((e) => e.service === service);
}

/** One visit: commands, one a line, from an address of the loopback network. */
export function visit(at, ip, ...commands) {
  return new Promise((good, bad) => {
    const socket = connect({ host: at.address, port: at.port, localAddress: ip }, () => socket.end([...commands, 'QUIT', ''].join('\r\n')));
    socket.on('error', bad).on('close', good).resume();
  });
}

/** What hands of one name do everywhere: log in with what only they know, and make their own server the master. */
export function habits(name) {
  const logins = ['one', 'two', 'three', 'four'].map((n) => `AUTH ${name} ${name}-${n}-9f2c`);
  return [...logins, `REPLICAOF ${name}.example 6380`];
}

/** The attacker row of an address, once it belongs to an identity. */
export function attackerOf(api, ip, enough = () => true) {
  return eventually(`${ip} is known`, async () => {
    const { data } = await api.expect(200, 'GET', `/attackers?search=${ip}&limit=1000`);
    const row = data.find((a) => a.ip === ip);
    return row?.identity_id && enough(row) ? row : null;
  });
}

/** A visit from a new address, and its attacker row. */
export async function arrive(api, at, ip, ...commands) {
  await visit(at, ip, ...commands);
  const row = await attackerOf(api, ip);
  assert.equal(row.ip, ip);
  return row;
}
