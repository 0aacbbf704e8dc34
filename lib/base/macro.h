/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small helpers that every room uses: cleanup attributes and take-pointers. Nothing here allocates.
 *
 * An owning local wears _cleanup_(x); it leaves its function only through TAKE_PTR().
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)         __attribute__((cleanup(f)))
#define _printf_(fmt, first) __attribute__((format(printf, fmt, first)))
#define _pure_               __attribute__((pure))
#define _unused_             __attribute__((unused))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b)  ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)  ((a) > (b) ? (a) : (b))

#define TAKE_PTR(p)                            \
	({                                     \
		__typeof__(p) take_ptr_ = (p); \
		(p) = NULL;                    \
		take_ptr_;                     \
	})

#define TAKE_FD(fd)                  \
	({                           \
		int take_fd_ = (fd); \
		(fd) = -1;           \
		take_fd_;            \
	})

/* Defines a cleanup function for a pointer type whose destructor takes NULL. */
#define DEFINE_CLEANUP(type, destroy)                                                    \
	static inline void destroy##_p(type *p) /* NOLINT(bugprone-macro-parentheses) */ \
	{                                                                                \
		if (*p)                                                                  \
			destroy(*p);                                                     \
	}                                                                                \
	struct define_cleanup_semicolon_

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _cleanup_free_  _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)
