// SPDX-License-Identifier: Apache-2.0
// What the kernel says of a process.
import { readFileSync, readdirSync } from 'node:fs';

/** Resident memory in MiB. */
export const rssMiB = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

export const descriptors = (pid) => readdirSync(`/proc/${pid}/fd`).length;

/** Whether the program is built with AddressSanitizer, whose memory says nothing of ours. */
export const sanitized = (pid) => /libasan|__asan|sanitizer/.test(readFileSync(`/proc/${pid}/maps`, 'latin1')) || readFileSync(`/proc/${pid}/exe`).includes('__asan_init');
