/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock domains without a single rule. */
#include "util/landlock.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library's headers may be older than the kernel that runs: linux/landlock.h, in short. */
#define VERSION_FLAG	   1u
#define FS_FIRST	   ((UINT64_C(1) << 13) - 1) /* execute … make_sym: version 1 */
#define FS_REFER	   (UINT64_C(1) << 13)	     /* 2 */
#define FS_TRUNCATE	   (UINT64_C(1) << 14)	     /* 3 */
#define FS_IOCTL_DEV	   (UINT64_C(1) << 15)	     /* 5 */
#define NET_BIND	   UINT64_C(1)		     /* 4 */
#define NET_CONNECT	   UINT64_C(2)		     /* 4 */
#define SCOPE_UNIX_SIGNALS UINT64_C(3)		     /* 6 */

struct ruleset {
	uint64_t fs, net, scoped;
};

/* The kernel's version; 0: it has none, or it is switched off. Or a negative errno. */
static int
version(struct err *e)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);

	if (abi >= 0)
		return (int)abi;
	return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : err_set(e, -errno, "landlock: %m");
}

/* Into a domain without rules for all of `handled` that this version knows. */
static int
enter(int abi, struct ruleset handled, struct err *e)
{
	/* How much of the structure this kernel knows. */
	size_t size = abi >= 6	 ? sizeof(handled)
		      : abi >= 4 ? offsetof(struct ruleset, scoped)
				 : offsetof(struct ruleset, net);
	long fd, r;

	if (abi < 2)
		handled.fs &= ~FS_REFER;
	if (abi < 3)
		handled.fs &= ~FS_TRUNCATE;
	if (abi < 4)
		handled.net = 0;
	if (abi < 5)
		handled.fs &= ~FS_IOCTL_DEV;
	if (abi < 6)
		handled.scoped = 0;
	if (!(handled.fs | handled.net | handled.scoped))
		return 0;
	fd = syscall(SYS_landlock_create_ruleset, &handled, size, 0);
	if (fd < 0)
		return err_set(e, -errno, "landlock: %m");
	r = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
	(void)close((int)fd);
	return r < 0 ? err_set(e, (int)r, "landlock: the domain cannot be entered") : 0;
}

int
landlock_nothing(unsigned *ret_abi, struct err *e)
{
	const struct ruleset all = {FS_FIRST | FS_REFER | FS_TRUNCATE | FS_IOCTL_DEV,
				    NET_BIND | NET_CONNECT, SCOPE_UNIX_SIGNALS};
	int abi = version(e), r = abi > 0 ? enter(abi, all, e) : abi;

	*ret_abi = r == 0 && abi > 0 ? (unsigned)abi : 0;
	return r;
}

int
landlock_connections(struct err *e)
{
	const struct ruleset outside = {0, NET_CONNECT, SCOPE_UNIX_SIGNALS};
	int abi = version(e);

	return abi > 0 ? enter(abi, outside, e) : abi;
}
