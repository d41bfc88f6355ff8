/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the shell that is a table. */
#include "decoy/services/telnet_shell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "decoy/persona.h"

#define WORDS_MAX 16
#define PARTS_MAX 16

struct words {
	struct sv v[WORDS_MAX];
	unsigned n;
};

void
shell_init(struct shell *sh, bool root, const struct telnet_config *c, const char *hostname)
{
	sh->root = root;
	sh->user = root ? "root" : c->user;
	sh->hostname = hostname;
	sh->someone = c->user;
	(void)snprintf(sh->home, sizeof(sh->home), root ? "/root" : "/home/%.64s", c->user);
	(void)snprintf(sh->cwd, sizeof(sh->cwd), "%s", sh->home);
}

const char *
shell_shown_cwd(const struct shell *sh)
{
	return strcmp(sh->cwd, sh->home) == 0 ? "~" : sh->cwd;
}

/* Text with LF becomes text with CR LF, as a terminal shows it; byte 1 stands for the ordinary
 * user's name. */
static int
say_as(struct decoy_io *io, struct sv text, const char *someone)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < text.n; i++) {
		if (text.p[i] == '\n')
			r = buf_put(io->out, SV("\r\n"));
		else if (text.p[i] == 1)
			r = buf_put(io->out, sv_from(someone));
		else
			r = buf_putc(io->out, text.p[i]);
	}
	return r;
}

static int
say(struct decoy_io *io, struct sv text)
{
	return say_as(io, text, "");
}

static const struct {
	const char *path, *text;
} files[] = {
	{"/etc/debian_version", "12.5\n"},
	{"/etc/issue", "Debian GNU/Linux 12 \\n \\l\n\n"},
	{"/etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian "
			    "GNU/Linux\"\nVERSION_ID=\"12\"\n"
			    "VERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n"},
	{"/etc/passwd",
	 "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
	 "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nsshd:x:105:65534::/run/sshd:/usr/"
	 "sbin/nologin\n"
	 "\1:x:1000:1000:,,,:/home/\1:/bin/bash\n"},
	{"/proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) "
			  "Xeon(R) CPU E5-2650 v4 @ 2.20GHz\n"
			  "cpu MHz\t\t: 2199.998\ncache size\t: 30720 KB\nbogomips\t: 4399.99\n\n"},
	{"/proc/mounts", "sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0\nproc /proc proc "
			 "rw,nosuid,nodev,noexec,relatime 0 0\n"
			 "/dev/vda1 / ext4 rw,relatime,errors=remount-ro 0 0\ntmpfs /run tmpfs "
			 "rw,nosuid,nodev,size=400912k,mode=755 0 0\n"},
	{"/proc/version", "Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org) (gcc-12 "
			  "(Debian 12.2.0-14) 12.2.0) #1 SMP "
			  "PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)\n"},
};

static const struct {
	const char *path, *names;
} directories[] = {
	{"/", "bin   dev  home  lib64\t    media  opt\t root  sbin  sys  usr\nboot  etc  lib   "
	      "lost+found  mnt    proc  run   srv\t  tmp  var\n"},
	{"/etc", "apt\t  crontab\t  group     hostname  hosts  issue  network  os-release  passwd  "
		 "shadow  ssh  ssl  systemd\n"},
	{"/home", "\1\n"},
	{"/root", "backup.sh  notes.txt\n"},
	{"/tmp", ""},
	{"/var", "backups  cache  lib  local  lock  log  mail  opt  run  spool  tmp  www\n"},
	{"/var/www", "html\n"},
};

/* The first bytes of every program here; loaders look at them to learn the processor. */
static const char elf_head[] = {
	0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0,  0, 0,  0, 0,  0, 0,  0, 3,	 0, 62, 0, 1, 0,
	0,    0,   0,	0,   0, 0, 0, 0, 0,  0, 64, 0, 0,  0, 0,  0, 0,	 0, 0,	0, 0, 0,
	0,    0,   0,	0,   0, 0, 0, 0, 64, 0, 56, 0, 13, 0, 64, 0, 31, 0, 30, 0,
};

static int
on_cat(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	int r = 0;

	for (unsigned i = 1; r == 0 && i < w->n; i++) {
		size_t f = 0;

		while (f < ARRAY_LEN(files) && !sv_eq(w->v[i], sv_from(files[f].path)))
			f++;
		if (f < ARRAY_LEN(files))
			r = say_as(io, sv_from(files[f].text), sh->someone);
		else if (sv_starts(w->v[i], SV("/bin/")) || sv_starts(w->v[i], SV("/usr/bin/")) ||
			 sv_eq(w->v[i], SV("/proc/self/exe")))
			r = buf_put(io->out, (struct sv){elf_head, sizeof(elf_head)});
		else
			r = buf_printf(io->out, "cat: %.*s: %s\r\n",
				       (int)(w->v[i].n < 200 ? w->v[i].n : 200), w->v[i].p,
				       sv_eq(w->v[i], SV("/etc/shadow")) && !sh->root
					       ? "Permission denied"
					       : "No such file or directory");
	}
	return r;
}

static int
on_ls(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	struct sv path = sv_from(sh->cwd);

	for (unsigned i = 1; i < w->n; i++)
		if (w->v[i].n && w->v[i].p[0] != '-')
			path = w->v[i];
	if (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	for (size_t i = 0; i < ARRAY_LEN(directories); i++)
		if (sv_eq(path, sv_from(directories[i].path)))
			return say_as(io, sv_from(directories[i].names), sh->someone);
	if (sv_eq(path, sv_from(sh->home)))
		return 0;
	return buf_printf(io->out, "ls: cannot access '%.*s': No such file or directory\r\n",
			  (int)(path.n < 200 ? path.n : 200), path.p);
}

static int
on_cd(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	struct sv path = w->n > 1 ? w->v[1] : sv_from(sh->home);

	if (sv_eq(path, SV("~")))
		path = sv_from(sh->home);
	if (sv_eq(path, SV("..")) || sv_eq(path, SV("-"))) {
		char *slash = strrchr(sh->cwd, '/');

		if (slash)
			slash[slash == sh->cwd] = 0;
		return 0;
	}
	if (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	for (size_t i = 0; i < ARRAY_LEN(directories); i++)
		if (sv_eq(path, sv_from(directories[i].path)))
			return sv_copy(path, sh->cwd, sizeof(sh->cwd)) < 0 ? 0 : 0;
	if (sv_eq(path, sv_from(sh->home)) || sv_eq(path, SV("/dev/shm")) ||
	    sv_eq(path, SV("/var/run")) || sv_eq(path, SV("/var/tmp")) || sv_eq(path, SV("/mnt")) ||
	    sv_eq(path, SV("/usr")))
		return sv_copy(path, sh->cwd, sizeof(sh->cwd)) < 0 ? 0 : 0;
	return buf_printf(io->out, "-bash: cd: %.*s: No such file or directory\r\n",
			  (int)(path.n < 200 ? path.n : 200), path.p);
}

static int
on_pwd(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	(void)w;
	return buf_printf(io->out, "%s\r\n", sh->cwd);
}

static int
on_whoami(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	(void)w;
	return buf_printf(io->out, "%s\r\n", sh->user);
}

static int
on_hostname(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	(void)w;
	return buf_printf(io->out, "%s\r\n", sh->hostname);
}

static int
on_id(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	(void)w;
	if (sh->root)
		return buf_put(io->out, SV("uid=0(root) gid=0(root) groups=0(root)\r\n"));
	return buf_printf(io->out, "uid=1000(%s) gid=1000(%s) groups=1000(%s),27(sudo)\r\n",
			  sh->user, sh->user, sh->user);
}

static int
on_uname(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	struct sv flag = w->n > 1 ? w->v[1] : SV("-s");

	if (sv_eq(flag, SV("-a")))
		return buf_printf(io->out,
				  "Linux %s 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 "
				  "(2024-02-01) x86_64 GNU/Linux\r\n",
				  sh->hostname);
	if (sv_eq(flag, SV("-r")))
		return buf_put(io->out, SV("6.1.0-18-amd64\r\n"));
	if (sv_eq(flag, SV("-m")) || sv_eq(flag, SV("-p")))
		return buf_put(io->out, SV("x86_64\r\n"));
	if (sv_eq(flag, SV("-n")))
		return buf_printf(io->out, "%s\r\n", sh->hostname);
	return buf_put(io->out, SV("Linux\r\n"));
}

static int
put_uptime(struct decoy_io *io)
{
	uint64_t up = (io->now_ms - persona_boot_ms(io->host->seed, io->now_ms)) / 1000;
	time_t now = (time_t)(io->now_ms / 1000);
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	return buf_printf(io->out,
			  " %02d:%02d:%02d up %u days, %2u:%02u,  1 user,  load average: 0.%02u, "
			  "0.%02u, 0.%02u\r\n",
			  tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(up / 86400),
			  (unsigned)(up / 3600 % 24), (unsigned)(up / 60 % 60),
			  (unsigned)persona_number(io->host->seed, 30 + up / 60, 30),
			  (unsigned)persona_number(io->host->seed, 31 + up / 300, 20),
			  (unsigned)persona_number(io->host->seed, 32 + up / 900, 15));
}

static int
on_uptime(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	(void)sh;
	(void)w;
	return put_uptime(io);
}

static int
on_w(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	int r = put_uptime(io);

	(void)w;
	if (r == 0)
		r = buf_put(io->out, SV("USER     TTY      FROM             LOGIN@   IDLE   JCPU   "
					"PCPU WHAT\r\n"));
	return r < 0 ? r
		     : buf_printf(io->out,
				  "%-8.8s pts/0    %-16.*s %02u:%02u    0.00s  0.02s  0.00s w\r\n",
				  sh->user, (int)io->peer_ip.n, io->peer_ip.p,
				  (unsigned)(io->now_ms / 3600000 % 24),
				  (unsigned)(io->now_ms / 60000 % 60));
}

static const struct {
	const char *user;
	unsigned pid, kib;
	const char *state, *command;
} processes[] = {
	{"root", 1, 12012, "Ss", "/sbin/init"},
	{"root", 231, 15820, "Ss", "/lib/systemd/systemd-journald"},
	{"root", 258, 6312, "Ss", "/lib/systemd/systemd-udevd"},
	{"root", 412, 2756, "Ss", "/usr/sbin/cron -f"},
	{"message+", 413, 4608, "Ss", "/usr/bin/dbus-daemon --system --address=systemd: --nofork"},
	{"root", 441, 1208, "Ss", "/usr/sbin/telnetd -F -l /bin/login"},
	{"root", 498, 9312, "Ss", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"},
	{"www-data", 733, 18044, "S", "/usr/sbin/apache2 -k start"},
};

static int
on_ps(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	uint64_t pid = 1200 + persona_number(io->host->seed, 40, 9000);
	struct tm tm;
	time_t boot;
	char day[16];
	int r;

	if (w->n == 1)
		return buf_printf(io->out,
				  "    PID TTY          TIME CMD\r\n%7u pts/0    00:00:00 "
				  "bash\r\n%7u pts/0    00:00:00 ps\r\n",
				  (unsigned)pid, (unsigned)pid + 7);
	boot = (time_t)(persona_boot_ms(io->host->seed, io->now_ms) / 1000);
	(void)gmtime_r(&boot, &tm);
	(void)strftime(day, sizeof(day), "%b%d", &tm);
	r = say(io,
		SV("USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n"));
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(processes); i++)
		r = buf_printf(
			io->out, "%-8s %7u  0.0  0.%u %6u %5u ?        %-4s %s   0:%02u %s\r\n",
			processes[i].user,
			processes[i].pid == 1 ? 1u
					      : processes[i].pid + (unsigned)(io->host->seed % 50),
			processes[i].kib / 40000, processes[i].kib * 9, processes[i].kib,
			processes[i].state, day, (unsigned)i * 3, processes[i].command);
	return r < 0 ? r
		     : buf_printf(
			       io->out,
			       "%-8.8s %7u  0.0  0.1   7196  4012 pts/0    Ss   %02u:%02u   0:00 "
			       "-bash\r\n%-8.8s %7u  0.0  0.1  11084  4420 pts/0    R+   "
			       "%02u:%02u   0:00 ps %.*s\r\n",
			       sh->user, (unsigned)pid, (unsigned)(io->now_ms / 3600000 % 24),
			       (unsigned)(io->now_ms / 60000 % 60), sh->user, (unsigned)pid + 7,
			       (unsigned)(io->now_ms / 3600000 % 24),
			       (unsigned)(io->now_ms / 60000 % 60),
			       w->v[1].n < 20 ? (int)w->v[1].n : 20, w->v[1].p);
}

/* Where somebody fetches his tools from, as host:port. */
static int
tell_endpoint(struct decoy_io *io, struct sv program, struct sv url, struct sv name)
{
	unsigned port = sv_ends(program, SV("tftp"))	 ? 69
			: sv_starts(url, SV("https://")) ? 443
			: sv_starts(url, SV("ftp://"))	 ? 21
							 : 80;
	char where[256];

	if (name.n == 0 || name.p[0] == '-')
		return 0;
	if (sv_find(name, ':') < name.n)
		(void)snprintf(where, sizeof(where), "%.*s", (int)name.n, name.p);
	else
		(void)snprintf(where, sizeof(where), "%.*s:%u", (int)name.n, name.p, port);
	return DECOY_CAPTURE(io, CAPTURE_FINGERPRINT, {SV("primitive"), SV("c2.endpoint")},
			     {SV("value"), sv_from(where)});
}

/* The word that names a place: with a scheme, else the first that looks like a host. */
static struct sv
find_url(const struct words *w)
{
	for (unsigned i = 1; i < w->n; i++)
		if (sv_search(w->v[i], SV("://")) != SIZE_MAX)
			return w->v[i];
	for (unsigned i = 1; i < w->n; i++)
		if (w->v[i].n && w->v[i].p[0] != '-' && w->v[i].p[0] != '/' &&
		    sv_find(w->v[i], '.') < w->v[i].n)
			return w->v[i];
	return w->v[w->n - 1];
}

static bool
is_address(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '.' && (s.p[i] < '0' || s.p[i] > '9'))
			return false;
	return s.n > 0;
}

/* Everything from the network seems to time out: slow, plausible, and nothing is sent. */
static int
on_fetch(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	bool curl = sv_ends(w->v[0], SV("curl")), address;
	struct sv url = find_url(w), name = url;
	int r, n;

	(void)sh;
	if (w->n == 1)
		return say(io, curl ? SV("curl: try 'curl --help' or 'curl --manual' for more "
					 "information\n")
				    : SV("wget: missing URL\nUsage: wget [OPTION]... [URL]...\n"));
	io->pause = DECOY_PAUSE_COMMAND;
	if (sv_search(name, SV("://")) != SIZE_MAX)
		name = sv_drop(name, sv_search(name, SV("://")) + 3);
	name.n = sv_find(name, '/');
	if (name.n > 200)
		name.n = 200;
	r = tell_endpoint(io, w->v[0], url, name);
	if (r < 0)
		return r;
	name.n = sv_find(name, ':');
	n = (int)name.n;
	address = is_address(name);
	if (curl)
		return buf_printf(
			io->out,
			address ? "curl: (7) Failed to connect to %.*s port 80 after 3051 "
				  "ms: Couldn't connect to server\r\n"
				: "curl: (6) Could not resolve host: %.*s\r\n",
			n, name.p);
	if (sv_ends(w->v[0], SV("tftp")))
		return buf_put(io->out, SV("tftp: timeout\r\n"));
	if (address)
		return buf_printf(io->out, "Connecting to %.*s:80... failed: No route to host.\r\n",
				  n, name.p);
	return buf_printf(io->out,
			  "Resolving %.*s (%.*s)... failed: Temporary failure in name "
			  "resolution.\r\nwget: unable to resolve host address '%.*s'\r\n",
			  n, name.p, n, name.p, n, name.p);
}

static int
on_echo(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	unsigned from = w->n > 1 && (sv_eq(w->v[1], SV("-e")) || sv_eq(w->v[1], SV("-n")) ||
				     sv_eq(w->v[1], SV("-ne")))
				? 2
				: 1;
	int r = 0;

	(void)sh;
	for (unsigned i = from; r == 0 && i < w->n; i++) {
		struct sv word = w->v[i];

		if (word.n >= 2 && (word.p[0] == '"' || word.p[0] == '\'') &&
		    word.p[word.n - 1] == word.p[0])
			word = (struct sv){word.p + 1, word.n - 2};
		r = i > from ? buf_putc(io->out, ' ') : 0;
		/* `\xNN` is how loaders see whether they talk to a real shell. */
		for (size_t k = 0; r == 0 && k < word.n; k++) {
			unsigned value;
			char hex[3] = {0};

			if (from == 2 && k + 3 < word.n && word.p[k] == '\\' &&
			    word.p[k + 1] == 'x') {
				memcpy(hex, word.p + k + 2, 2);
				if (sscanf(hex, "%2x", &value) == 1) {
					r = buf_putc(io->out, (char)value);
					k += 3;
					continue;
				}
			}
			r = buf_putc(io->out, word.p[k]);
		}
	}
	return r < 0 ? r : buf_put(io->out, SV("\r\n"));
}

static int run_words(struct shell *sh, struct decoy_io *io, const struct words *w);

/* One of its own commands, or the answer by which loaders know it. */
static int
on_busybox(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	static const char *const applets[] = {"cat",   "chmod", "cp",	 "echo", "ls",
					      "mkdir", "mv",	"ps",	 "rm",	 "sh",
					      "tftp",  "touch", "uname", "wget"};
	struct words rest = {.n = w->n - 1};

	for (unsigned i = 1; i < w->n; i++)
		rest.v[i - 1] = w->v[i];
	for (size_t i = 0; w->n > 1 && i < ARRAY_LEN(applets); i++)
		if (sv_eq(w->v[1], sv_from(applets[i])))
			return run_words(sh, io, &rest);
	if (w->n == 1)
		return say(io, SV("BusyBox v1.35.0 (Debian 1:1.35.0-4+b3) multi-call binary.\n"));
	return buf_printf(io->out, "%.*s: applet not found\r\n",
			  (int)(w->v[1].n < 100 ? w->v[1].n : 100), w->v[1].p);
}

static int
on_quiet(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	(void)sh;
	(void)io;
	(void)w;
	return 0;
}

static int
on_leave(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	(void)sh;
	(void)w;
	return buf_put(io->out, SV("logout\r\n")) < 0 ? -ENOBUFS : 1;
}

static int
on_fixed(struct decoy_io *io, struct sv name)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{"df", "Filesystem     1K-blocks    Used Available Use% Mounted on\nudev           "
		       "   985412       0    985412   0% /dev\n"
		       "/dev/vda1       20466256 4127516  15273628  22% /\n"},
		{"free", "               total        used        free      shared  buff/cache   "
			 "available\n"
			 "Mem:         2004564      312408     1203044         832      489112     "
			 "1537236\nSwap:              0           0           0\n"},
		{"nproc", "1\n"},
		{"arch", "x86_64\n"},
		{"tty", "/dev/pts/0\n"},
		{"crontab", "no crontab for root\n"},
		{"last", "\nwtmp begins Mon Jan  1 00:00:01 2024\n"},
		{"lscpu", "Architecture:            x86_64\n  CPU op-mode(s):        32-bit, "
			  "64-bit\nCPU(s):                  1\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (sv_eq(name, sv_from(rows[i].name)))
			return say(io, sv_from(rows[i].text)) < 0 ? -ENOBUFS : 0;
	return -ENOENT;
}

static const struct {
	const char *name;
	int (*run)(struct shell *, struct decoy_io *, const struct words *);
} commands[] = {
	{"busybox", on_busybox}, {"cat", on_cat},	{"cd", on_cd},
	{"chmod", on_quiet},	 {"cp", on_quiet},	{"clear", on_quiet},
	{"curl", on_fetch},	 {"echo", on_echo},	{"exit", on_leave},
	{"export", on_quiet},	 {"history", on_quiet}, {"hostname", on_hostname},
	{"id", on_id},		 {"kill", on_quiet},	{"logout", on_leave},
	{"ls", on_ls},		 {"mkdir", on_quiet},	{"mv", on_quiet},
	{"nohup", on_quiet},	 {"ps", on_ps},		{"pwd", on_pwd},
	{"quit", on_leave},	 {"rm", on_quiet},	{"sh", on_quiet},
	{"bash", on_quiet},	 {"sleep", on_quiet},	{"sync", on_quiet},
	{"tftp", on_fetch},	 {"touch", on_quiet},	{"uname", on_uname},
	{"unset", on_quiet},	 {"uptime", on_uptime}, {"w", on_w},
	{"wget", on_fetch},	 {"whoami", on_whoami},
};

static int
run_words(struct shell *sh, struct decoy_io *io, const struct words *w)
{
	struct sv name = w->v[0];
	size_t slash;
	int r;

	/* /bin/ls is ls. */
	while ((slash = sv_find(name, '/')) < name.n && sv_starts(w->v[0], SV("/")))
		name = sv_drop(name, slash + 1);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (sv_eq(name, sv_from(commands[i].name)))
			return commands[i].run(sh, io, w);
	r = on_fixed(io, name);
	if (r != -ENOENT)
		return r;
	if (sv_find(w->v[0], '/') < w->v[0].n)
		return buf_printf(io->out, "-bash: %.*s: No such file or directory\r\n",
				  (int)(w->v[0].n < 200 ? w->v[0].n : 200), w->v[0].p);
	return buf_printf(io->out, "-bash: %.*s: command not found\r\n",
			  (int)(w->v[0].n < 200 ? w->v[0].n : 200), w->v[0].p);
}

/* Words apart at blanks; a quoted one keeps its blanks; redirections and what they name are left
 * out. */
static void
split(struct sv part, struct words *w)
{
	w->n = 0;
	while (w->n < WORDS_MAX) {
		size_t n = 0;
		char quote = 0;

		part = sv_trim(part);
		if (part.n == 0)
			return;
		while (n < part.n && (quote || (part.p[n] != ' ' && part.p[n] != '\t'))) {
			char c = part.p[n++];

			if (quote)
				quote = c == quote ? 0 : quote;
			else if (c == '"' || c == '\'')
				quote = c;
		}
		if (part.p[0] == '>' || part.p[0] == '<' || sv_starts(part, SV("2>")) ||
		    sv_starts(part, SV("&"))) {
			bool alone = n <= 2;

			part = sv_drop(part, n);
			if (alone) {
				part = sv_trim(part);
				part = sv_drop(part, sv_find(part, ' '));
			}
			continue;
		}
		w->v[w->n++] = (struct sv){part.p, n};
		part = sv_drop(part, n);
	}
}

int
shell_run(struct shell *sh, struct decoy_io *io, struct sv line)
{
	int r = 0;

	for (unsigned parts = 0; r == 0 && line.n && parts < PARTS_MAX; parts++) {
		size_t n = 0;
		bool pipe = false;
		struct words w;

		while (n < line.n && line.p[n] != ';' && line.p[n] != '|' &&
		       !(line.p[n] == '&' && n + 1 < line.n && line.p[n + 1] == '&'))
			n++;
		split((struct sv){line.p, n}, &w);
		pipe = n < line.n && line.p[n] == '|' && (n + 1 >= line.n || line.p[n + 1] != '|');
		line = sv_drop(line, n + 1);
		if (line.n && (line.p[0] == '&' || line.p[0] == '|'))
			line = sv_drop(line, 1);
		if (w.n)
			r = run_words(sh, io, &w);
		/* What follows a pipe would read this output: the simplest believable thing is that
		 * it shows it. */
		if (pipe)
			line = sv_drop(line, sv_find(line, ';') + 1);
	}
	return r;
}
