// SPDX-License-Identifier: Apache-2.0
// Results as a Markdown table for people and as JSON for programs: both in the build folder, the table also on standard output.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from '../../e2e/lib/suite.mjs';
import { machine } from './programs.mjs';

export class Report {
  constructor(name, title) {
    this.name = name;
    this.title = title;
    this.machine = machine();
    this.tables = [];
    this.data = {};
  }

  table(caption, head, rows) {
    if (rows.length > 0) this.tables.push({ caption, head, rows });
  }

  /** A target beside what was measured. */
  static check(good) {
    return good ? 'met' : '**missed**';
  }

  markdown() {
    const lines = [`# ${this.title}`, '', this.machine, ''];
    for (const { caption, head, rows } of this.tables) {
      lines.push(`## ${caption}`, '', `| ${head.join(' | ')} |`, `| ${head.map(() => '---').join(' | ')} |`);
      for (const row of rows) lines.push(`| ${row.join(' | ')} |`);
      lines.push('');
    }
    return lines.join('\n');
  }

  write() {
    const dir = join(build, 'bench');
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, `${this.name}.md`), this.markdown());
    writeFileSync(join(dir, `${this.name}.json`), `${JSON.stringify({ machine: this.machine, ...this.data }, null, 1)}\n`);
    console.log(this.markdown());
    console.log(`written to ${dir}/${this.name}.md and .json`);
  }
}

export function thousands(n) {
  return n >= 1e6 ? `${(n / 1e6).toFixed(2)} M` : n >= 10000 ? `${Math.round(n / 1000)} k` : n >= 1000 ? `${(n / 1000).toFixed(1)} k` : String(Math.round(n));
}

export function ratio(a, b) {
  const x = a / b;
  return `${x >= 10 ? x.toFixed(0) : x >= 1 ? x.toFixed(1) : x.toFixed(2)}x`;
}

export function ms(us) {
  return (us / 1000).toFixed(us < 10000 ? 2 : 1);
}
