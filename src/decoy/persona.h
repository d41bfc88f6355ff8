/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_PERSONA_H
#define DECOY_PERSONA_H

/*
 * What makes one decky unlike another and like itself tomorrow: numbers that derive from its seed.
 * Pure.
 */

#include <stddef.h>
#include <stdint.h>

#include "decoy/service.h"

/* A number of the decky for the thing that `what` names. */
uint64_t persona_hash(uint64_t seed, const char *what);
/* The same for a thing that has a number, below `below`. */
uint64_t persona_number(uint64_t seed, uint64_t purpose, uint64_t below);
/* The same between min and max, both possible. */
uint64_t persona_pick(uint64_t seed, const char *what, uint64_t min, uint64_t max);
/* When the machine was started: it reboots every few weeks or months, never while one looks. */
uint64_t persona_boot_ms(uint64_t seed, uint64_t now_ms);
/* n hex digits and a terminator. */
void persona_hex(uint64_t seed, const char *what, char *dst, size_t n);
/*
 * How long this decky's service takes for a pause: a place of its own within the service's bounds,
 * and a little noise from `dice`, a random number.
 */
uint32_t persona_latency_ms(const struct decoy_service *svc, enum decoy_pause pause, uint64_t seed,
			    uint64_t dice);

#endif
