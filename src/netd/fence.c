/* SPDX-License-Identifier: Apache-2.0 */
/* The nftables rules of the fabric and the sets that they look into. */
#include "netd/fence.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"

/* A whole rule set of thousands of deckies fits. */
#define TEXT_MAX (8 << 20)

struct fence {
	struct nft_ctx *nft;
	struct buf text;
	int r; /* of the puts */
};

/*
 * A SYN alone begins a connection, fast open too. An answer in UDP goes to whoever has asked within
 * ten seconds (the shorter, the more has to be made up to fill the list), from the port that was
 * asked: connection tracking for bridges is not in every kernel, so the fence keeps its own list of
 * questions. Of ICMP all passes but a ping of one's own. What does not bear an address of the
 * port's decky comes from somebody else: only a router may pass it on, and only from or to a decky.
 * The priority is the one of filters for bridges: from 0 on br_netfilter, where it is loaded, takes
 * packets past the chains that are older than the first bridge. Who has a decky's address is
 * answered by its bridge, so the question must not reach the decky as well, or there would be two
 * answers.
 */
static const char rules[] = "add table bridge decnet\n"
			    "delete table bridge decnet\n"
			    "table bridge decnet {\n"
			    " set deckies { type ipv4_addr; }\n"
			    " set ports { type ifname; }\n"
			    " set own { type ifname . ipv4_addr; }\n"
			    " set routers { type ifname; }\n"
			    " set silent { type ifname; }\n"
			    " set asked {\n"
			    "  type ipv4_addr . ipv4_addr . inet_service . inet_service\n"
			    "  flags dynamic,timeout; size 131072; timeout 10s\n"
			    " }\n"
			    " chain forward {\n"
			    "  type filter hook forward priority -200; policy accept;\n"
			    "  iifname @silent drop\n"
			    "  oifname @silent drop\n"
			    "  iifname @ports jump outgoing\n"
			    "  oifname @ports ether type arp arp operation request drop\n"
			    "  ip daddr @deckies ip protocol udp"
			    " update @asked { ip saddr . ip daddr . udp sport . udp dport }\n"
			    " }\n"
			    " chain outgoing {\n"
			    "  ether type arp return\n"
			    "  ether type != ip counter drop\n"
			    "  iifname . ip saddr @own goto own_words\n"
			    "  iifname != @routers counter drop\n"
			    "  ip saddr @deckies return\n"
			    "  ip daddr @deckies return\n"
			    "  counter drop\n"
			    " }\n"
			    " chain own_words {\n"
			    "  ip protocol tcp tcp flags & (syn | ack) == syn counter drop\n"
			    "  ip protocol tcp return\n"
			    "  ip protocol udp"
			    " ip daddr . ip saddr . udp dport . udp sport @asked return\n"
			    "  ip protocol icmp icmp type != echo-request return\n"
			    "  counter drop\n"
			    " }\n"
			    "}\n";

int
fence_new(struct fence **ret, struct err *e)
{
	struct fence *f = calloc(1, sizeof(*f));

	if (f) {
		buf_init(&f->text, TEXT_MAX);
		f->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	}
	if (!f || !f->nft || nft_ctx_buffer_error(f->nft) < 0 ||
	    nft_ctx_buffer_output(f->nft) < 0) {
		fence_free(f);
		return err_set(e, -ENOMEM, "nftables: out of memory");
	}
	*ret = f;
	return 0;
}

void
fence_free(struct fence *f)
{
	if (!f)
		return;
	if (f->nft)
		nft_ctx_free(f->nft);
	buf_fini(&f->text);
	free(f);
}

static void
keep(struct fence *f, int r)
{
	if (f->r == 0)
		f->r = r;
}

void
fence_put_rules(struct fence *f)
{
	keep(f, buf_put(&f->text, sv_from(rules)));
}

static void
put_element(struct fence *f, const char *verb, const char *set, const char *port, uint32_t ip)
{
	bool named = strcmp(set, "deckies") != 0, addressed = strcmp(set, "own") == 0 || !named;

	keep(f, buf_printf(&f->text, "%s element bridge decnet %s { ", verb, set));
	if (named)
		keep(f, buf_printf(&f->text, "\"%s\"%s", port, addressed ? " . " : ""));
	if (addressed)
		keep(f, buf_printf(&f->text, "%u.%u.%u.%u", ip >> 24, (ip >> 16) & 255,
				   (ip >> 8) & 255, ip & 255));
	keep(f, buf_put(&f->text, SV(" }\n")));
}

/* Deleting what is not there is an error for nftables, so it is added first. For a deletion
 * libnftables reads all there is: a new port needs none. */
static void
put_absent(struct fence *f, const char *set, const char *port, uint32_t ip)
{
	put_element(f, "add", set, port, ip);
	put_element(f, "delete", set, port, ip);
}

void
fence_put_port(struct fence *f, const char *port, uint32_t ip, bool router)
{
	put_element(f, "add", "deckies", port, ip);
	put_element(f, "add", "own", port, ip);
	if (router)
		put_element(f, "add", "routers", port, ip);
	/* Last: from here on the port is watched. */
	put_element(f, "add", "ports", port, ip);
}

void
fence_put_router(struct fence *f, const char *port, bool is)
{
	if (is)
		put_element(f, "add", "routers", port, 0);
	else
		put_absent(f, "routers", port, 0);
}

void
fence_put_silent(struct fence *f, const char *port)
{
	put_element(f, "add", "silent", port, 0);
}

void
fence_put_gone(struct fence *f, const char *port, uint32_t ip, bool moved)
{
	put_absent(f, "ports", port, ip);
	put_absent(f, "silent", port, ip);
	put_absent(f, "routers", port, ip);
	put_absent(f, "own", port, ip);
	if (!moved)
		put_absent(f, "deckies", port, ip);
}

void
fence_put_own(struct fence *f, const char *port, uint32_t ip, bool has)
{
	if (has)
		put_element(f, "add", "own", port, ip);
	else
		put_absent(f, "own", port, ip);
}

int
fence_commit(struct fence *f, struct err *e)
{
	int r = f->r;

	if (r == 0 && f->text.n > 0)
		r = buf_putc(&f->text, '\0');
	if (r == 0 && f->text.n > 0 && nft_run_cmd_from_buffer(f->nft, f->text.p) != 0) {
		const char *why = nft_ctx_get_error_buffer(f->nft);
		struct sv line = sv_from(why);

		line = sv_cut(&line, '\n');
		r = err_set(e, -EIO, "nftables: %.*s", (int)(line.n < 200 ? line.n : 200), line.p);
	} else if (r < 0) {
		(void)err_set(e, r, "nftables: %s", strerror(-r));
	}
	buf_reset(&f->text);
	f->r = 0;
	return r;
}

int
fence_try(struct err *e)
{
	struct fence *f = NULL;
	int r = fence_new(&f, e);

	if (r < 0)
		return r;
	fence_put_rules(f);
	fence_put_port(f, "p1", 0x0a000002, true);
	fence_put_gone(f, "p1", 0x0a000002, false);
	r = fence_commit(f, e);
	fence_free(f);
	return r;
}

/* May be there already, with interfaces of other suites. The earliest place that there is. */
static const char deaf[] = "add table inet decnet\n"
			   "add set inet decnet deaf { type ifname; }\n"
			   "add chain inet decnet deaf"
			   " { type filter hook prerouting priority -400; policy accept; }\n"
			   "flush chain inet decnet deaf\n"
			   "add rule inet decnet deaf iifname @deaf counter drop\n";

int
fence_deafen(const char *interface, struct err *e)
{
	struct fence *f = NULL;
	int r = fence_new(&f, e);

	if (r < 0)
		return r;
	keep(f, buf_put(&f->text, sv_from(deaf)));
	keep(f, buf_printf(&f->text, "add element inet decnet deaf { \"%s\" }\n", interface));
	r = fence_commit(f, e);
	fence_free(f);
	return r;
}
