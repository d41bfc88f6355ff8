// SPDX-License-Identifier: Apache-2.0
// The bus and nats-server side by side: what a plain socket says and hears, then what a NATS client library sees.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { connect, createInbox, Empty, ErrorCode, Events, headers, JSONCodec, StringCodec } from 'nats';
import { DIFFERENCES, OURS_ALONE } from './lib/busdiff.mjs';
import { SCENES } from './lib/busscenes.mjs';
import { CREDENTIALS, Stage, TOKEN, difference, natsServer, ourBroker } from './lib/rawbus.mjs';
import { eventually } from './lib/suite.mjs';

const brokers = {};

before(async () => {
  [brokers.ours, brokers.theirs] = await Promise.all([ourBroker(), natsServer()]);
});

after(async () => {
  await brokers.ours?.stop();
  await brokers.theirs?.stop();
});

/** What was said and heard, client by client; DECNET_TRANSCRIPTS names a folder to keep it in. */
async function play(scene, which) {
  const stage = new Stage(brokers[which]);
  try {
    await scene.run(stage);
    const lines = stage.lines();
    if (process.env.DECNET_TRANSCRIPTS) {
      mkdirSync(process.env.DECNET_TRANSCRIPTS, { recursive: true });
      writeFileSync(`${process.env.DECNET_TRANSCRIPTS}/${scene.name.replace(/\W+/g, '-')}.${which}`, `${lines.join('\n')}\n`);
    }
    return scene.anyOrder ? lines.sort() : lines;
  } finally {
    stage.cut();
  }
}

describe('a plain socket hears the same from both brokers', () => {
  const rows = new Map(DIFFERENCES.map(([name, ours, theirs, why]) => [name, { ours, theirs, why }]));

  test('INFO says what a client needs', async () => {
    for (const which of ['ours', 'theirs']) {
      const stage = new Stage(brokers[which]);
      const { info } = await stage.open('a');
      stage.cut();
      const { proto, headers: has, max_payload, auth_required } = info;
      assert.deepEqual({ proto, has, max_payload, auth_required }, { proto: 1, has: true, max_payload: 1048576, auth_required: true }, which);
      for (const key of ['server_id', 'server_name', 'version']) assert.equal(typeof info[key], 'string', `${which}: ${key}`);
      assert.ok(Number.isInteger(info.client_id), which);
      if (which === 'ours')
        assert.deepEqual(Object.keys(info), ['server_id', 'server_name', 'version', 'proto', 'headers', 'max_payload', 'auth_required', 'client_id']);
    }
  });

  for (const scene of SCENES) {
    const row = rows.get(scene.name);
    test(`${scene.name}${row ? ` (${row.why})` : ''}`, async () => {
      if (scene.alone) {
        const heard = (await play(scene, 'ours')).filter((line) => line.startsWith('a < ') && !line.includes('INFO'));
        assert.deepEqual(heard, OURS_ALONE[scene.name]);
        return;
      }
      const [ours, theirs] = await Promise.all([play(scene, 'ours'), play(scene, 'theirs')]);
      if (row) assert.deepEqual(difference(ours, theirs), { ours: row.ours, theirs: row.theirs });
      else assert.deepEqual(ours, theirs);
    });
  }

  test('every row of the table of differences has its scene', () => {
    const names = new Set(SCENES.map((s) => s.name));
    for (const name of [...rows.keys(), ...Object.keys(OURS_ALONE)]) assert.ok(names.has(name), name);
  });

  test('one client more than 1024', async () => {
    const heard = {};
    for (const which of ['ours', 'theirs']) {
      const stage = new Stage(brokers[which]);
      try {
        await Promise.all(Array.from({ length: 1024 }, (_, i) => stage.client(`c${i}`)));
        const late = await stage.open('late');
        await late.wait('the end', () => late.closed);
        // nats-server greets before it refuses.
        heard[which] = late.transcript.filter((line) => line !== '< INFO {…}');
        stage.clients[0].cut();
        await stage.clients[0].wait('its end', () => stage.clients[0].closed);
        await eventually('there is room again', async () => {
          const next = await stage.client('next');
          next.cut();
          return next.pongs === 1;
        });
      } finally {
        stage.cut();
      }
    }
    assert.deepEqual(heard.ours, ["< -ERR 'Maximum Connections Exceeded'", '< (closed)']);
    assert.deepEqual(heard.theirs.map((line) => line.toLowerCase()), heard.ours.map((line) => line.toLowerCase()));
  });

  // Ninety seconds of silence: 30 until the first ping, 30 until the second, 30 until the end.
  test('pings that nobody answers', { skip: !process.env.DECNET_SOAK }, async () => {
    const talk = async (which) => {
      const stage = new Stage(brokers[which]);
      const a = await stage.client('a');
      await a.wait('the end', () => a.closed, 150000);
      return stage.lines();
    };
    const [ours, theirs] = await Promise.all([talk('ours'), talk('theirs')]);
    assert.deepEqual(ours.slice(-4), ['a < PING', 'a < PING', "a < -ERR 'Stale Connection'", 'a < (closed)']);
    assert.deepEqual(ours, theirs);
  });
});

const text = StringCodec();
const json = JSONCodec();

for (const which of ['ours', 'theirs'])
  describe(`the nats package against ${which === 'ours' ? 'decnet-bus' : 'nats-server'}`, () => {
    const open = [];
    const client = async (options = {}) => {
      const nc = await connect({
        servers: `127.0.0.1:${brokers[which].port}`,
        authenticator: () => CREDENTIALS,
        reconnectTimeWait: 50,
        maxReconnectAttempts: -1,
        ...options,
      });
      open.push(nc);
      return nc;
    };
    after(async () => {
      for (const nc of open) await nc.close();
    });

    /** The next `n` messages as [subject, text]. */
    const take = async (sub, n) => {
      const got = [];
      for await (const m of sub) {
        got.push([m.subject, text.decode(m.data)]);
        if (got.length === n) break;
      }
      return got;
    };

    for (const flags of [{}, { verbose: true }, { pedantic: true }, { verbose: true, pedantic: true }])
      test(`publish and subscribe with wildcards ${JSON.stringify(flags)}`, async () => {
        const a = await client(flags);
        const b = await client(flags);
        const [one, tail, all, exact] = ['ext.*', 'ext.x.>', 'ext.>', 'ext.x.y'].map((p) => a.subscribe(p));
        await a.flush();
        for (const s of ['ext.x', 'ext.x.y', 'ext.x.y.z', 'ext.z']) b.publish(s, text.encode(s));
        assert.deepEqual(await take(all, 4), ['ext.x', 'ext.x.y', 'ext.x.y.z', 'ext.z'].map((s) => [s, s]));
        assert.deepEqual(await take(one, 2), ['ext.x', 'ext.z'].map((s) => [s, s]));
        assert.deepEqual(await take(tail, 2), ['ext.x.y', 'ext.x.y.z'].map((s) => [s, s]));
        assert.deepEqual(await take(exact, 1), [['ext.x.y', 'ext.x.y']]);
      });

    test('each message of a queue group goes to one member, and to the one who is left', async () => {
      const seen = [];
      const members = await Promise.all([1, 2, 3].map(() => client()));
      for (const [i, nc] of members.entries()) {
        nc.subscribe('ext.work', { queue: 'hands', callback: (_, m) => seen.push([i, Number(text.decode(m.data))]) });
        await nc.flush();
      }
      const b = await client();
      for (let i = 0; i < 300; i++) b.publish('ext.work', text.encode(String(i)));
      await eventually('all were worked', () => seen.length === 300);
      assert.deepEqual(seen.map((s) => s[1]).sort((x, y) => x - y), Array.from({ length: 300 }, (_, i) => i));
      assert.deepEqual(new Set(seen.map((s) => s[0])), new Set([0, 1, 2]));
      await members[0].drain();
      await members[1].drain();
      seen.length = 0;
      for (let i = 0; i < 20; i++) b.publish('ext.work', text.encode(String(i)));
      await eventually('the last one does it all', () => seen.length === 20);
      assert.deepEqual(seen, Array.from({ length: 20 }, (_, i) => [2, i]));
    });

    test('headers and empty payloads', async () => {
      const a = await client();
      const sub = a.subscribe('ext.h');
      const h = headers();
      h.append('Trace', 'one');
      h.append('Trace', 'two');
      h.set('Empty', '');
      a.publish('ext.h', json.encode({ ä: 1 }), { headers: h, reply: '_INBOX.r' });
      a.publish('ext.h', Empty, { headers: h });
      a.publish('ext.h');
      const got = [];
      for await (const m of sub) {
        got.push(m);
        if (got.length === 3) break;
      }
      assert.deepEqual(got[0].headers.values('Trace'), ['one', 'two']);
      assert.deepEqual(json.decode(got[0].data), { ä: 1 });
      assert.equal(got[0].reply, '_INBOX.r');
      assert.equal(got[1].headers.get('Trace'), 'one');
      assert.equal(got[1].data.length, 0);
      assert.equal(got[2].headers, undefined);
    });

    test('request and reply, many at once', async () => {
      const service = await client();
      service.subscribe('ext.double', { callback: (_, m) => m.respond(text.encode(String(2 * Number(text.decode(m.data))))) });
      await service.flush();
      for (const noMux of [false, true]) {
        const asker = await client();
        const answers = await Promise.all(
          Array.from({ length: 50 }, (_, i) => asker.request('ext.double', text.encode(String(i)), { timeout: 10000, noMux, reply: noMux ? createInbox() : undefined })),
        );
        assert.deepEqual(answers.map((m) => Number(text.decode(m.data))), Array.from({ length: 50 }, (_, i) => 2 * i));
      }
    });

    test('a request that nobody serves', async () => {
      const asker = await client();
      // nats-server tells; ours ignores no_responders, so the asker's deadline does.
      await assert.rejects(asker.request('ext.nobody', Empty, { timeout: 500 }), { code: which === 'ours' ? ErrorCode.Timeout : ErrorCode.NoResponders });
    });

    test('own messages come back, or not', async () => {
      for (const noEcho of [false, true]) {
        const a = await client({ noEcho });
        const b = await client();
        const sub = a.subscribe('ext.echo');
        await a.flush();
        a.publish('ext.echo', text.encode('own'));
        await a.flush();
        b.publish('ext.echo', text.encode('other'));
        await b.flush();
        await a.flush();
        await sub.drain();
        const got = [];
        for await (const m of sub) got.push(text.decode(m.data));
        assert.deepEqual(got, noEcho ? ['other'] : ['own', 'other']);
      }
    });

    test('a subscription that ends after so many', async () => {
      const a = await client();
      const early = a.subscribe('ext.max', { max: 3 });
      const late = a.subscribe('ext.max');
      for (let i = 0; i < 5; i++) a.publish('ext.max', text.encode(String(i)));
      const got = [];
      for await (const m of early) got.push(text.decode(m.data));
      assert.deepEqual(got, ['0', '1', '2']);
      assert.equal((await take(late, 5)).length, 5);
      const third = a.subscribe('ext.max');
      a.publish('ext.max');
      await a.flush();
      third.unsubscribe(2);
      for (let i = 0; i < 5; i++) a.publish('ext.max');
      let n = 0;
      for await (const _ of third) n++;
      assert.equal(n, 2);
    });

    test('ping and pong, and how long they take', async () => {
      const a = await client({ pingInterval: 50 });
      assert.ok((await a.rtt()) >= 0);
      const status = a.status()[Symbol.asyncIterator]();
      await eventually('pings of the client are answered', async () => (await status.next()).value.type === 'pingTimer');
      await a.flush();
      assert.equal(a.isClosed(), false);
    });

    test('drain loses nothing that was sent before', async () => {
      const a = await client();
      const b = await client();
      let n = 0;
      a.subscribe('ext.drain', { callback: () => n++ });
      await a.flush();
      for (let i = 0; i < 2000; i++) b.publish('ext.drain', text.encode('x'.repeat(100)));
      await b.drain();
      await a.drain();
      assert.equal(n, 2000);
      assert.ok(a.isClosed() && b.isClosed());
    });

    test('the greatest payload, and one byte more', async () => {
      const a = await client();
      assert.equal(a.info.max_payload, 1048576);
      const sub = a.subscribe('ext.big');
      a.publish('ext.big', new Uint8Array(1048576).fill(7));
      for await (const m of sub) {
        assert.equal(m.data.length, 1048576);
        assert.ok(m.data.every((x) => x === 7));
        break;
      }
      // The library refuses by itself; told of a greater ceiling, it leaves that to the broker.
      assert.throws(() => a.publish('ext.big', new Uint8Array(1048577)), { code: ErrorCode.MaxPayloadExceeded });
      const b = await client({ reconnect: false });
      b.protocol.info.max_payload = 1e9;
      b.publish('ext.big', new Uint8Array(1048577));
      const why = await b.closed();
      assert.ok(which === 'theirs' || why?.message === "'Maximum Payload Violation'", String(why));
    });

    test('subjects that are none', async () => {
      const a = await client({ pedantic: true });
      assert.throws(() => a.publish(''), { code: ErrorCode.BadSubject });
      const errors = [];
      (async () => {
        for await (const s of a.status()) if (s.type === Events.Error) errors.push(s.data);
      })();
      a.publish('ext.*', Empty);
      await a.flush();
      assert.equal(a.isClosed(), false);
      const sub = a.subscribe('ext..x');
      await a.flush().catch(() => {});
      sub.unsubscribe();
      const b = await client();
      await b.flush();
    });

    test('publishing where one may not is told, and the connection stays', async () => {
      const a = await client();
      const told = (async () => {
        for await (const s of a.status()) if (s.type === Events.Error) return s;
        return null;
      })();
      a.publish('system.log', text.encode('{}'));
      const { data, permissionContext } = await told;
      assert.equal(data, ErrorCode.PermissionsViolation);
      assert.deepEqual(permissionContext, { operation: 'publish', subject: 'system.log', queue: undefined });
      const sub = a.subscribe('ext.after');
      a.publish('ext.after', text.encode('still here'));
      assert.deepEqual(await take(sub, 1), [['ext.after', 'still here']]);
    });

    test('the wrong token', async () => {
      await assert.rejects(client({ authenticator: () => ({ ...CREDENTIALS, auth_token: `${TOKEN}x`, pass: 'x' }), reconnect: false }), {
        code: ErrorCode.AuthorizationViolation,
      });
    });

    test('ten thousand messages in their order to three clients', async () => {
      const b = await client();
      const subs = await Promise.all(
        [1, 2, 3].map(async () => {
          const nc = await client();
          const got = [];
          nc.subscribe('ext.many.*', { callback: (_, m) => got.push(Number(text.decode(m.data))) });
          await nc.flush();
          return got;
        }),
      );
      for (let i = 0; i < 10000; i++) {
        b.publish(`ext.many.${i % 7}`, text.encode(String(i)));
        // Not more than a subscriber may have waiting.
        if (i % 500 === 499) await eventually('they have caught up', () => subs.every((got) => got.length === i + 1));
      }
      for (const got of subs) assert.deepEqual(got, Array.from({ length: 10000 }, (_, i) => i));
    });

    test('a cut connection comes back with its subscriptions', async () => {
      const a = await client();
      const b = await client();
      const got = [];
      a.subscribe('ext.again', { callback: (_, m) => got.push(text.decode(m.data)) });
      await a.flush();
      const back = (async () => {
        for await (const s of a.status()) if (s.type === Events.Reconnect) return;
      })();
      a.protocol.transport.disconnect();
      await back;
      await a.flush();
      b.publish('ext.again', text.encode('after'));
      await eventually('the renewed subscription hears', () => got.length === 1);
    });
  });
