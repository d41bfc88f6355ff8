// SPDX-License-Identifier: Apache-2.0
// What the kernel says of a process.
import { readFileSync, readdirSync } from 'node:fs';

/** Resident memory in MiB. */
export const rssMiB = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

/** Open descriptors of all threads: each may have a table of its own, and a table that two share counts twice. */
export const descriptors = (pid) => readdirSync(`/proc/${pid}/task`).reduce((sum, task) => sum + readdirSync(`/proc/${pid}/task/${task}/fd`).length, 0);

/** Whether the program is built with AddressSanitizer, whose memory says nothing of ours. */
export const sanitized = (pid) => /libasan|__asan|sanitizer/.test(readFileSync(`/proc/${pid}/maps`, 'latin1')) || readFileSync(`/proc/${pid}/exe`).includes('__asan_init');
