/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of the agent and what they say of this decky. */
#include "decoy/services/snmp_mib.h"

#include <stdio.h>
#include <string.h>

#include "decoy/persona.h"

enum type {
	TYPE_OCTETS = BER_OCTETS,
	TYPE_OID = BER_OID,
	TYPE_INTEGER = BER_INTEGER,
	TYPE_COUNTER = 0x41,
	TYPE_GAUGE = 0x42,
	TYPE_TICKS = 0x43
};

enum value {
	VALUE_DESCR,
	VALUE_OBJECT_ID,
	VALUE_UPTIME,
	VALUE_CONTACT,
	VALUE_NAME,
	VALUE_LOCATION,
	VALUE_SERVICES,
	VALUE_ONE,
	VALUE_TWO,
	VALUE_LO,
	VALUE_ETH,
	VALUE_LO_TYPE,
	VALUE_ETH_TYPE,
	VALUE_LO_MTU,
	VALUE_ETH_MTU,
	VALUE_LO_SPEED,
	VALUE_ETH_SPEED,
	VALUE_LO_IN,
	VALUE_ETH_IN,
	VALUE_ETH_OUT,
};

static const struct {
	const char *oid;
	enum type type;
	enum value value;
} rows[] = {
#define ROW(oid, type, value) {oid, TYPE_##type, VALUE_##value},
#include "decoy/services/snmp_mib.def"
#undef ROW
};

/* By archetype; the first is everybody else's. `%s` is the host's name. */
static const struct device {
	const char *archetype, *descr, *object_id, *contact, *location, *eth;
	int64_t services;
} devices[] = {
	{"", "Linux %s 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) x86_64",
	 "1.3.6.1.4.1.8072.3.2.10", "Me <me@example.org>", "Sitting on the Dock of the Bay",
	 "ens18", 72},
	{"printer", "HP ETHERNET MULTI-ENVIRONMENT", "1.3.6.1.4.1.11.2.3.9.1", "", "", "eth0", 64},
	{"iot-device", "Linux %s 3.10.14 #1 PREEMPT Tue Aug 13 10:04:31 CST 2019 mips",
	 "1.3.6.1.4.1.8072.3.2.10", "root@localhost", "Unknown", "eth0", 72},
	{"industrial-control", "Siemens, SIMATIC S7, CPU-1200, 6ES7 214-1AG40-0XB0",
	 "1.3.6.1.4.1.4196.1.1.5", "", "", "Port 1", 78},
};

int
mib_find(const struct ber_oid *oid)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ber_oid have = ber_oid_of(rows[i].oid);

		if (ber_oid_cmp(&have, oid) == 0)
			return (int)i;
	}
	return -1;
}

int
mib_next(const struct ber_oid *oid)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ber_oid have = ber_oid_of(rows[i].oid);

		if (ber_oid_cmp(&have, oid) > 0)
			return (int)i;
	}
	return -1;
}

bool
mib_has_object(const struct ber_oid *oid)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ber_oid have = ber_oid_of(rows[i].oid);

		/* All arcs but the last name the object. */
		if (oid->n >= have.n - 1 &&
		    memcmp(have.arc, oid->arc, (have.n - 1) * sizeof(have.arc[0])) == 0)
			return true;
	}
	return false;
}

struct ber_oid
mib_oid(int row)
{
	return ber_oid_of(rows[row].oid);
}

static const struct device *
device_of(const struct decoy_host *host)
{
	for (size_t i = 1; i < ARRAY_LEN(devices); i++)
		if (strcmp(devices[i].archetype, host->archetype) == 0)
			return &devices[i];
	return &devices[0];
}

/* Traffic that never stops: so many bytes a second since the start, with a remainder that moves. */
static int64_t
counted(const struct decoy_io *io, const char *what, uint64_t most)
{
	uint64_t up = io->now_ms - persona_boot_ms(io->host->seed, io->now_ms);
	uint64_t rate = persona_pick(io->host->seed, what, most / 4, most);

	return (int64_t)((up / 1000 * rate + up % 1000 * rate / 1000) & UINT32_MAX);
}

static int64_t
number(enum value v, const struct decoy_io *io)
{
	switch (v) {
	case VALUE_UPTIME: {
		/* The agent starts with the machine, a little later. */
		uint64_t up = io->now_ms - persona_boot_ms(io->host->seed, io->now_ms);
		uint64_t late = persona_pick(io->host->seed, "snmpd", 9000, 30000);

		return (int64_t)(((up > late ? up - late : 0) / 10) & UINT32_MAX);
	}
	case VALUE_SERVICES: return device_of(io->host)->services;
	case VALUE_ONE: return 1;
	case VALUE_TWO: return 2;
	case VALUE_LO_TYPE: return 24;
	case VALUE_ETH_TYPE: return 6;
	case VALUE_LO_MTU: return 65536;
	case VALUE_ETH_MTU: return 1500;
	case VALUE_LO_SPEED: return 10000000;
	case VALUE_ETH_SPEED: return 1000000000;
	case VALUE_LO_IN: return counted(io, "lo", 40);
	case VALUE_ETH_IN: return counted(io, "eth-in", 4000);
	case VALUE_ETH_OUT: return counted(io, "eth-out", 1500);
	case VALUE_DESCR:
	case VALUE_OBJECT_ID:
	case VALUE_CONTACT:
	case VALUE_NAME:
	case VALUE_LOCATION:
	case VALUE_LO:
	case VALUE_ETH: break;
	}
	return 0;
}

static void
put_text(struct ber_out *o, enum value v, const struct decoy_io *io)
{
	const struct device *d = device_of(io->host);
	const char *text = v == VALUE_CONTACT	 ? d->contact
			   : v == VALUE_NAME	 ? io->host->hostname
			   : v == VALUE_LOCATION ? d->location
			   : v == VALUE_LO	 ? "lo"
			   : v == VALUE_ETH	 ? d->eth
						 : d->descr;
	struct sv rest = sv_from(text);
	size_t at = v == VALUE_DESCR ? sv_search(rest, SV("%s")) : SIZE_MAX, end = o->at;

	if (at == SIZE_MAX) {
		ber_put_octets(o, BER_OCTETS, rest);
		return;
	}
	ber_put_bytes(o, sv_drop(rest, at + 2));
	ber_put_bytes(o, sv_from(io->host->hostname));
	ber_put_bytes(o, (struct sv){rest.p, at});
	ber_put_head(o, BER_OCTETS, end);
}

void
mib_put_value(struct ber_out *o, int row, const struct decoy_io *io)
{
	struct ber_oid oid;

	switch (rows[row].type) {
	case TYPE_OCTETS: put_text(o, rows[row].value, io); return;
	case TYPE_OID:
		oid = ber_oid_of(device_of(io->host)->object_id);
		ber_put_oid(o, &oid);
		return;
	case TYPE_INTEGER:
	case TYPE_COUNTER:
	case TYPE_GAUGE:
	case TYPE_TICKS:
		ber_put_integer(o, (uint8_t)rows[row].type, number(rows[row].value, io));
		return;
	}
}
