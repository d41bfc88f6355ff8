/* SPDX-License-Identifier: Apache-2.0 */
/* A Landlock domain without a single rule. */
#include "util/landlock.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library's headers may be older than the kernel that runs: linux/landlock.h, in short. */
#define VERSION_FLAG	   1u
#define FS_FIRST	   ((UINT64_C(1) << 13) - 1) /* execute … make_sym: version 1 */
#define FS_REFER	   (UINT64_C(1) << 13)	     /* 2 */
#define FS_TRUNCATE	   (UINT64_C(1) << 14)	     /* 3 */
#define FS_IOCTL_DEV	   (UINT64_C(1) << 15)	     /* 5 */
#define NET_BIND_CONNECT   UINT64_C(3)		     /* 4 */
#define SCOPE_UNIX_SIGNALS UINT64_C(3)		     /* 6 */

struct ruleset {
	uint64_t fs, net, scoped;
};

int
landlock_nothing(unsigned *ret_abi, struct err *e)
{
	struct ruleset all = {.fs = FS_FIRST};
	/* How much of the structure this kernel knows. */
	size_t size = sizeof(all.fs);
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG), fd, r;

	*ret_abi = 0;
	if (abi < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0
							      : err_set(e, -errno, "landlock: %m");
	if (abi >= 2)
		all.fs |= FS_REFER;
	if (abi >= 3)
		all.fs |= FS_TRUNCATE;
	if (abi >= 4) {
		all.net = NET_BIND_CONNECT;
		size += sizeof(all.net);
	}
	if (abi >= 5)
		all.fs |= FS_IOCTL_DEV;
	if (abi >= 6) {
		all.scoped = SCOPE_UNIX_SIGNALS;
		size += sizeof(all.scoped);
	}
	fd = syscall(SYS_landlock_create_ruleset, &all, size, 0);
	if (fd < 0)
		return err_set(e, -errno, "landlock: %m");
	r = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
	(void)close((int)fd);
	if (r < 0)
		return err_set(e, (int)r, "landlock: the domain cannot be entered");
	*ret_abi = (unsigned)abi;
	return 0;
}
