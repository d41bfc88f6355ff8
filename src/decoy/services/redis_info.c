/* SPDX-License-Identifier: Apache-2.0 */
/* INFO and the parameters of CONFIG GET: what Debian's redis-server 7.0 says of itself, with
 * numbers that belong to the decky. */
#include <inttypes.h>
#include <stdio.h>

#include "decoy/persona.h"
#include "decoy/services/redis.h"

#define MIB (1024.0 * 1024.0)

struct facts {
	const struct redis *s;
	const struct redis_config *c;
	struct decoy_io *io;
	uint64_t seed, up_s, boot_s;
	uint64_t memory, peak, rss;
};

static struct facts
facts_of(const struct redis *s, struct decoy_io *io)
{
	struct facts f = {.s = s, .c = io->config, .io = io, .seed = io->host->seed};

	/* Started with the machine, a few seconds in. */
	f.boot_s = persona_boot_ms(f.seed, io->now_ms) / 1000 +
		   persona_pick(f.seed, "redis start", 6, 25);
	f.up_s = io->now_ms / 1000 > f.boot_s ? io->now_ms / 1000 - f.boot_s : 1;
	f.memory = persona_pick(f.seed, "redis memory", 1400000, 2600000) + s->keep.used;
	f.peak = f.memory + persona_pick(f.seed, "redis peak", 50000, 400000);
	f.rss = f.memory * 4 + persona_pick(f.seed, "redis rss", 500000, 4000000);
	return f;
}

static int
put_server(const struct facts *f, struct buf *b)
{
	char build[17], run[41];
	uint64_t up_us = f->io->now_ms * 1000 + f->io->peer_port % 1000;
	int r;

	persona_hex(0, f->c->version, build, 15);
	persona_hex(f->seed, "redis run", run, 40);
	r = buf_printf(b,
		       "# Server\r\nredis_version:%s\r\nredis_git_sha1:00000000\r\n"
		       "redis_git_dirty:0\r\nredis_build_id:%s\r\nredis_mode:standalone\r\n"
		       "os:%.*s\r\narch_bits:64\r\n",
		       f->c->version, build, (int)f->c->os.n, f->c->os.p);
	if (r == 0 && f->c->major >= 7)
		r = buf_put(b, SV("monotonic_clock:POSIX clock_gettime\r\n"));
	if (r < 0)
		return r;
	return buf_printf(b,
			  "multiplexing_api:epoll\r\natomicvar_api:%s\r\ngcc_version:%s\r\n"
			  "process_id:%" PRIu64 "\r\nprocess_supervised:systemd\r\nrun_id:%s\r\n"
			  "tcp_port:%u\r\nserver_time_usec:%" PRIu64 "\r\n"
			  "uptime_in_seconds:%" PRIu64 "\r\nuptime_in_days:%" PRIu64 "\r\nhz:10\r\n"
			  "configured_hz:10\r\nlru_clock:%" PRIu64 "\r\n"
			  "executable:/usr/bin/redis-server\r\n"
			  "config_file:/etc/redis/redis.conf\r\nio_threads_active:0\r\n",
			  f->c->major >= 7 ? "c11-builtin" : "atomic-builtin",
			  f->c->major >= 7 ? "12.2.0" : "10.2.1",
			  persona_pick(f->seed, "redis pid", 380, 1900), run, f->io->port, up_us,
			  f->up_s, f->up_s / 86400, f->io->now_ms / 1000 & 0xffffff);
}

static int
put_clients(const struct facts *f, struct buf *b)
{
	(void)f;
	return buf_put(b, SV("# Clients\r\nconnected_clients:1\r\ncluster_connections:0\r\n"
			     "maxclients:10000\r\nclient_recent_max_input_buffer:20480\r\n"
			     "client_recent_max_output_buffer:0\r\nblocked_clients:0\r\n"
			     "tracking_clients:0\r\nclients_in_timeout_table:0\r\n"));
}

static int
put_memory(const struct facts *f, struct buf *b)
{
	uint64_t total = persona_pick(f->seed, "ram", 1, 4) * 4058152960;
	uint64_t overhead = 880000 + f->seed % 9000, startup = 862000 + f->seed % 5000;
	double m = (double)f->memory;

	return buf_printf(
		b,
		"# Memory\r\nused_memory:%" PRIu64 "\r\nused_memory_human:%.2fM\r\n"
		"used_memory_rss:%" PRIu64 "\r\nused_memory_rss_human:%.2fM\r\n"
		"used_memory_peak:%" PRIu64 "\r\nused_memory_peak_human:%.2fM\r\n"
		"used_memory_peak_perc:%.2f%%\r\nused_memory_overhead:%" PRIu64 "\r\n"
		"used_memory_startup:%" PRIu64 "\r\nused_memory_dataset:%" PRIu64 "\r\n"
		"used_memory_dataset_perc:%.2f%%\r\nallocator_allocated:%" PRIu64 "\r\n"
		"allocator_active:%" PRIu64 "\r\nallocator_resident:%" PRIu64 "\r\n"
		"total_system_memory:%" PRIu64 "\r\ntotal_system_memory_human:%.2fG\r\n"
		"used_memory_lua:31744\r\nused_memory_vm_eval:31744\r\n"
		"used_memory_lua_human:31.00K\r\nused_memory_scripts_eval:0\r\n"
		"number_of_cached_scripts:0\r\nnumber_of_functions:0\r\nnumber_of_libraries:0\r\n"
		"used_memory_vm_functions:32768\r\nused_memory_vm_total:64512\r\n"
		"used_memory_vm_total_human:63.00K\r\nused_memory_functions:184\r\n"
		"used_memory_scripts:184\r\nused_memory_scripts_human:184B\r\nmaxmemory:0\r\n"
		"maxmemory_human:0B\r\nmaxmemory_policy:noeviction\r\n"
		"mem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%" PRIu64 "\r\n"
		"mem_not_counted_for_evict:0\r\nmem_replication_backlog:0\r\n"
		"mem_total_replication_buffers:0\r\nmem_clients_slaves:0\r\n"
		"mem_clients_normal:1800\r\nmem_cluster_links:0\r\nmem_aof_buffer:0\r\n"
		"mem_allocator:jemalloc-5.3.0\r\nactive_defrag_running:0\r\n"
		"lazyfree_pending_objects:0\r\nlazyfreed_objects:0\r\n",
		f->memory, m / MIB, f->rss, (double)f->rss / MIB, f->peak, (double)f->peak / MIB,
		m * 100 / (double)f->peak, overhead, startup, f->memory - overhead,
		(m - (double)overhead) * 100 / (m - (double)startup), f->memory + 60000,
		f->memory + 440000, f->memory + 3100000, total, (double)total / MIB / 1024,
		(double)f->rss / m, f->rss - f->memory);
}

static int
put_persistence(const struct facts *f, struct buf *b)
{
	return buf_printf(
		b,
		"# Persistence\r\nloading:0\r\nasync_loading:0\r\ncurrent_cow_peak:0\r\n"
		"current_cow_size:0\r\ncurrent_cow_size_age:0\r\ncurrent_fork_perc:0.00\r\n"
		"current_save_keys_processed:0\r\ncurrent_save_keys_total:0\r\n"
		"rdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\n"
		"rdb_last_save_time:%" PRIu64 "\r\nrdb_last_bgsave_status:ok\r\n"
		"rdb_last_bgsave_time_sec:-1\r\nrdb_current_bgsave_time_sec:-1\r\nrdb_saves:0\r\n"
		"rdb_last_cow_size:0\r\nrdb_last_load_keys_expired:0\r\n"
		"rdb_last_load_keys_loaded:0\r\naof_enabled:0\r\naof_rewrite_in_progress:0\r\n"
		"aof_rewrite_scheduled:0\r\naof_last_rewrite_time_sec:-1\r\n"
		"aof_current_rewrite_time_sec:-1\r\naof_last_bgrewrite_status:ok\r\n"
		"aof_rewrites:0\r\naof_rewrites_consecutive_failures:0\r\n"
		"aof_last_write_status:ok\r\naof_last_cow_size:0\r\n"
		"module_fork_in_progress:0\r\nmodule_fork_last_cow_size:0\r\n",
		f->boot_s);
}

static int
put_stats(const struct facts *f, struct buf *b)
{
	/* A quiet server: a probe now and then. */
	uint64_t connections = f->up_s / persona_pick(f->seed, "redis calls", 900, 7200) + 1;
	uint64_t commands = connections * 3 + f->s->commands;

	return buf_printf(
		b,
		"# Stats\r\ntotal_connections_received:%" PRIu64 "\r\n"
		"total_commands_processed:%" PRIu64 "\r\ninstantaneous_ops_per_sec:0\r\n"
		"total_net_input_bytes:%" PRIu64 "\r\ntotal_net_output_bytes:%" PRIu64 "\r\n"
		"total_net_repl_input_bytes:0\r\ntotal_net_repl_output_bytes:0\r\n"
		"instantaneous_input_kbps:0.00\r\ninstantaneous_output_kbps:0.00\r\n"
		"instantaneous_input_repl_kbps:0.00\r\ninstantaneous_output_repl_kbps:0.00\r\n"
		"rejected_connections:0\r\nsync_full:0\r\nsync_partial_ok:0\r\n"
		"sync_partial_err:0\r\nexpired_keys:0\r\nexpired_stale_perc:0.00\r\n"
		"expired_time_cap_reached_count:0\r\nexpire_cycle_cpu_milliseconds:%" PRIu64 "\r\n"
		"evicted_keys:0\r\nevicted_clients:0\r\ntotal_eviction_exceeded_time:0\r\n"
		"current_eviction_exceeded_time:0\r\nkeyspace_hits:0\r\nkeyspace_misses:0\r\n"
		"pubsub_channels:0\r\npubsub_patterns:0\r\npubsubshard_channels:0\r\n"
		"latest_fork_usec:0\r\ntotal_forks:0\r\nmigrate_cached_sockets:0\r\n"
		"slave_expires_tracked_keys:0\r\nactive_defrag_hits:0\r\n"
		"active_defrag_misses:0\r\nactive_defrag_key_hits:0\r\n"
		"active_defrag_key_misses:0\r\ntotal_active_defrag_time:0\r\n"
		"current_active_defrag_time:0\r\ntracking_total_keys:0\r\n"
		"tracking_total_items:0\r\ntracking_total_prefixes:0\r\n"
		"unexpected_error_replies:0\r\ntotal_error_replies:%" PRIu64 "\r\n"
		"dump_payload_sanitizations:0\r\ntotal_reads_processed:%" PRIu64 "\r\n"
		"total_writes_processed:%" PRIu64 "\r\nio_threaded_reads_processed:0\r\n"
		"io_threaded_writes_processed:0\r\nreply_buffer_shrinks:%" PRIu64 "\r\n"
		"reply_buffer_expands:0\r\n",
		connections, commands, commands * 23, commands * 310, f->up_s / 40, connections / 9,
		commands + connections, commands, connections);
}

static int
put_replication(const struct facts *f, struct buf *b)
{
	char id[41];
	struct sv host = sv_from(f->s->master), port;
	int r;

	persona_hex(f->seed, "redis repl", id, 40);
	port = host;
	host = sv_cut(&port, ' ');
	if (f->s->master[0])
		r = buf_printf(b,
			       "# Replication\r\nrole:slave\r\nmaster_host:%.*s\r\n"
			       "master_port:%.*s\r\nmaster_link_status:down\r\n"
			       "master_last_io_seconds_ago:-1\r\nmaster_sync_in_progress:0\r\n"
			       "slave_read_repl_offset:0\r\nslave_repl_offset:0\r\n"
			       "master_link_down_since_seconds:-1\r\nslave_priority:100\r\n"
			       "slave_read_only:1\r\nreplica_announced:1\r\n",
			       (int)host.n, host.p, (int)port.n, port.p);
	else
		r = buf_put(b, SV("# Replication\r\nrole:master\r\n"));
	if (r < 0)
		return r;
	return buf_printf(b,
			  "connected_slaves:0\r\nmaster_failover_state:no-failover\r\n"
			  "master_replid:%s\r\n"
			  "master_replid2:0000000000000000000000000000000000000000\r\n"
			  "master_repl_offset:0\r\nsecond_repl_offset:-1\r\n"
			  "repl_backlog_active:0\r\nrepl_backlog_size:1048576\r\n"
			  "repl_backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n",
			  id);
}

static int
put_cpu(const struct facts *f, struct buf *b)
{
	uint64_t sys = f->up_s * persona_pick(f->seed, "redis sys", 900, 1400);
	uint64_t user = f->up_s * persona_pick(f->seed, "redis user", 700, 1300);

	return buf_printf(
		b,
		"# CPU\r\nused_cpu_sys:%" PRIu64 ".%06" PRIu64 "\r\nused_cpu_user:%" PRIu64
		".%06" PRIu64 "\r\nused_cpu_sys_children:0.000000\r\n"
		"used_cpu_user_children:0.000000\r\nused_cpu_sys_main_thread:%" PRIu64 ".%06" PRIu64
		"\r\nused_cpu_user_main_thread:%" PRIu64 ".%06" PRIu64 "\r\n",
		sys / 1000000, sys % 1000000, user / 1000000, user % 1000000, sys / 1000000,
		(sys + 999000 - f->seed % 900) % 1000000, user / 1000000, user % 1000000);
}

static int
put_modules(const struct facts *f, struct buf *b)
{
	(void)f;
	return buf_put(b, SV("# Modules\r\n"));
}

static int
put_errors(const struct facts *f, struct buf *b)
{
	(void)f;
	return buf_put(b, SV("# Errorstats\r\n"));
}

static int
put_cluster(const struct facts *f, struct buf *b)
{
	(void)f;
	return buf_put(b, SV("# Cluster\r\ncluster_enabled:0\r\n"));
}

static int
put_keyspace(const struct facts *f, struct buf *b)
{
	int r = buf_put(b, SV("# Keyspace\r\n"));

	for (uint8_t db = 0; r == 0 && db < REDIS_DATABASES; db++) {
		unsigned expiring;
		unsigned n = keep_count(&f->s->keep, db, f->io->now_ms, &expiring);

		if (n > 0)
			r = buf_printf(b, "db%u:keys=%u,expires=%u,avg_ttl=0\r\n", db, n, expiring);
	}
	return r;
}

static const struct {
	const char *name;
	int (*put)(const struct facts *f, struct buf *b);
} sections[] = {
	{"server", put_server},	    {"clients", put_clients},
	{"memory", put_memory},	    {"persistence", put_persistence},
	{"stats", put_stats},	    {"replication", put_replication},
	{"cpu", put_cpu},	    {"modules", put_modules},
	{"errorstats", put_errors}, {"cluster", put_cluster},
	{"keyspace", put_keyspace},
};

static bool
wanted(const char *name, const struct sv *names, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (sv_eq_ci(names[i], sv_from(name)) || sv_eq_ci(names[i], SV("all")) ||
		    sv_eq_ci(names[i], SV("default")) || sv_eq_ci(names[i], SV("everything")))
			return true;
	return n == 0;
}

int
redis_info(const struct redis *s, struct decoy_io *io, const struct sv *names, unsigned n)
{
	const struct facts f = facts_of(s, io);
	size_t start = io->out->n;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(sections); i++) {
		if (!wanted(sections[i].name, names, n))
			continue;
		if (io->out->n > start)
			r = buf_put(io->out, SV("\r\n"));
		if (r == 0)
			r = sections[i].put(&f, io->out);
	}
	return r;
}

static const struct {
	const char *name, *value;
} parameters[] = {
#define PARAMETER(name, value) {name, value},
#include "decoy/services/redis_parameters.def"
#undef PARAMETER
};

const char *
redis_parameter(size_t at, const char **ret_name)
{
	if (at >= ARRAY_LEN(parameters))
		return NULL;
	*ret_name = parameters[at].name;
	return parameters[at].value;
}
