// SPDX-License-Identifier: Apache-2.0
// The suite's SQLite file from outside: rows that would take too long to make by REST, and a writer that does not let go.
import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';

const file = (suite) => join(suite.dir, 'decnet.db');

/** Runs SQL statements in one transaction. */
export function sql(suite, script) {
  execFileSync('python3', ['-c', 'import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],timeout=30)\nc.executescript("BEGIN IMMEDIATE;"+sys.stdin.read()+"COMMIT;")', file(suite)], { input: script });
}

/** The first column of the first row. */
export function value(suite, query) {
  const script = 'import sqlite3,sys,json\nc=sqlite3.connect("file:"+sys.argv[1]+"?mode=ro",uri=True,timeout=30)\nprint(json.dumps(c.execute(sys.argv[2]).fetchone()[0]))';
  return JSON.parse(execFileSync('python3', ['-c', script, file(suite), query], { encoding: 'utf8' }));
}

/** Holds the write lock until `release()`. */
export class WriteLock {
  static async take(suite) {
    const lock = new WriteLock();
    lock.process = spawn('python3', ['-c', 'import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],timeout=30,isolation_level=None)\nc.execute("BEGIN IMMEDIATE")\nprint("held",flush=True)\nsys.stdin.read()\nc.execute("ROLLBACK")', file(suite)], { stdio: ['pipe', 'pipe', 'inherit'] });
    lock.exited = new Promise((good) => lock.process.once('exit', good));
    await new Promise((good, bad) => {
      lock.process.stdout.once('data', good);
      lock.process.once('exit', () => bad(new Error('the lock was not taken')));
    });
    return lock;
  }

  async release() {
    this.process.stdin.end();
    await this.exited;
  }
}
