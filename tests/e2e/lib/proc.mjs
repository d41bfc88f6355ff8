// SPDX-License-Identifier: Apache-2.0
// What the kernel says of a process.
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

/** Resident memory in MiB. */
export const rssMiB = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

/** Open descriptors of all threads: each may have a table of its own; what they share counts once. */
export function descriptors(pid) {
  const open = new Set();
  for (const task of readdirSync(`/proc/${pid}/task`))
    for (const fd of readdirSync(`/proc/${pid}/task/${task}/fd`))
      try {
        open.add(`${fd} ${readlinkSync(`/proc/${pid}/task/${task}/fd/${fd}`)}`);
      } catch {
        // Closed while we looked.
      }
  return open.size;
}

/** Whether the program is built with AddressSanitizer, whose memory says nothing of ours. */
export const sanitized = (pid) => /libasan|__asan|sanitizer/.test(readFileSync(`/proc/${pid}/maps`, 'latin1')) || readFileSync(`/proc/${pid}/exe`).includes('__asan_init');
