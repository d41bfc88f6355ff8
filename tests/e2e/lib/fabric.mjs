// SPDX-License-Identifier: Apache-2.0
// The decoy networks of a suite seen from inside: the fabric's links, and attackers in namespaces of their own.
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './suite.mjs';

/** Why this machine cannot have decoy networks, or null. */
export function cannot() {
  const tried = spawnSync('unshare', ['-nm', 'true'], { encoding: 'utf8' });
  return tried.status === 0 ? null : `no network namespaces here: ${tried.stderr?.trim() || tried.error?.message}`;
}

export class Fabric {
  constructor(suite) {
    this.dir = join(suite.dir, 'netns');
  }

  /** Names of deckies' namespaces, `<topology>.<decky>`. */
  spaces() {
    return existsSync(this.dir) ? readdirSync(this.dir).filter((n) => n !== 'fabric') : [];
  }

  enter(space, command, ...args) {
    // A line for each of thousands of links.
    return execFileSync('nsenter', [`--net=${join(this.dir, space)}`, command, ...args], { encoding: 'utf8', maxBuffer: 64 << 20 });
  }

  /** Links of the fabric, but for the loopback and those of attackers. */
  links() {
    return JSON.parse(this.enter('fabric', 'ip', '-j', 'link')).filter((l) => /^[bp]\d+$/.test(l.ifname));
  }

  bridge(lanId) {
    return this.links().find((l) => l.ifalias?.startsWith('decnet1 lan ') && l.ifalias.includes(lanId));
  }

  /** Interfaces of deckies: {topology, decky, lan, ip, mac}. */
  nics() {
    return this.links()
      .filter((l) => l.ifalias?.startsWith('decnet1 nic '))
      .map((l) => {
        const [, , topology, decky, lan, address, mac] = l.ifalias.split(' ');
        return { topology, decky, lan, ip: address.split('/')[0], mac, port: l.ifname };
      });
  }

  /** How many packets the fence has dropped. */
  dropped() {
    const text = this.enter('fabric', 'nft', 'list', 'table', 'bridge', 'decnet');
    return [...text.matchAll(/packets (\d+)/g)].reduce((sum, m) => sum + Number(m[1]), 0);
  }

  /** An attacker with an address on a LAN. */
  async attacker(lanId, cidr) {
    const bridge = this.bridge(lanId);
    const a = await Attacker.start();
    const name = `a${a.holder.pid}`;
    this.enter('fabric', 'ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(a.holder.pid));
    this.enter('fabric', 'ip', 'link', 'set', name, 'master', bridge.ifname, 'up');
    await a.run('ip', 'addr', 'add', cidr, 'dev', 'eth0');
    await a.run('ip', 'link', 'set', 'eth0', 'up');
    await eventually('the attacker is on the wire', async () => JSON.parse(await a.run('ip', '-j', 'link', 'show', 'eth0'))[0].operstate === 'UP');
    return a;
  }
}

export class Attacker {
  constructor(holder) {
    this.holder = holder;
  }

  /** One in a namespace of its own, on no network yet. */
  static async start() {
    const a = new Attacker(spawn('unshare', ['-n', 'sleep', '600'], { stdio: 'ignore' }));
    await eventually('the attacker is in a namespace of its own', () => a.separate());
    await a.run('ip', 'link', 'set', 'lo', 'up');
    return a;
  }

  separate() {
    const ns = (pid) => execFileSync('readlink', [`/proc/${pid}/ns/net`], { encoding: 'utf8' });
    return ns(this.holder.pid) !== ns(process.pid);
  }

  args(command, args) {
    return ['-t', String(this.holder.pid), '-n', command, ...args];
  }

  /** {status, stdout, stderr}; never throws. The loop goes on meanwhile, so connections to the API are not missed to be closed. */
  attempt(command, ...args) {
    return new Promise((good) => {
      execFile('nsenter', this.args(command, args), { encoding: 'utf8', timeout: 120000 }, (error, stdout, stderr) =>
        good({ status: error ? (error.code ?? -1) : 0, stdout, stderr }));
    });
  }

  /** Standard output of a command that must succeed. */
  async run(command, ...args) {
    const { status, stdout, stderr } = await this.attempt(command, ...args);
    if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${status} ${stderr}`);
    return stdout;
  }

  /** Whether a TCP port answers within two seconds. */
  async reaches(ip, port) {
    return (await this.attempt('timeout', '2', 'bash', '-c', `exec 3<>/dev/tcp/${ip}/${port}`)).status === 0;
  }

  /** Hosts that answer ARP: Map of address to hardware address, its own left out. */
  async hosts(cidr) {
    const xml = await this.run('nmap', '-sn', '-n', '-oX', '-', cidr);
    const found = new Map();
    for (const host of xml.matchAll(/<host\b[\s\S]*?<\/host>/g)) {
      const ip = /addr="([\d.]+)" addrtype="ipv4"/.exec(host[0])?.[1];
      const mac = /addr="([\dA-F:]+)" addrtype="mac"/.exec(host[0])?.[1];
      if (ip && mac && /state="up"/.test(host[0])) found.set(ip, mac.toLowerCase());
    }
    return found;
  }

  /** Open TCP ports of a host by a SYN scan. */
  async ports(ip, range) {
    const xml = await this.run('nmap', '-sS', '-n', '-Pn', '-p', range, '-oX', '-', ip);
    return [...xml.matchAll(/<port protocol="tcp" portid="(\d+)"><state state="open"/g)].map((m) => Number(m[1]));
  }

  leave() {
    this.holder.kill('SIGKILL');
  }
}
