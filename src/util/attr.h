/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_ATTR_H
#define UTIL_ATTR_H

/* Attributes and the few macros that every file may use. */

#include <stddef.h>
#include <stdint.h>

#define A_NODISCARD	    __attribute__((warn_unused_result))
#define A_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define A_UNUSED	    __attribute__((unused))
#define A_NORETURN	    __attribute__((noreturn))
/* Of a large local array in a busy function that is written before it is read: not filled with the
 * pattern that other locals get. */
#define A_UNINIT	    __attribute__((uninitialized))

/* A large array on the stack, written before it is read: not to be filled at every call. */
#define A_SCRATCH __attribute__((uninitialized))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Give ownership away and clear the variable that held it. */
#define TAKE(p)                                                                                    \
	__extension__({                                                                            \
		__typeof__(p) take_tmp_ = (p);                                                     \
		(p) = NULL;                                                                        \
		take_tmp_;                                                                         \
	})

/* From a pointer to a member back to the object that embeds it. */
#define CONTAINER_OF(ptr, type, member) ((type *)((uintptr_t)(ptr)-offsetof(type, member)))

#endif
