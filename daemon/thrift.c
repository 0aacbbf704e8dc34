/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/thrift.h"

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE_BLOCK (64 * 1024)

void thrift_begin(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
	(void)mallopt(M_TRIM_THRESHOLD, LARGE_BLOCK);
	(void)mallopt(M_TOP_PAD, 0);
}

/* Only what cannot be written: relocated data are ours alone, and would be lost. */
static int give_back_object(struct dl_phdr_info *info, size_t size, void *userdata)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)userdata;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t first = info->dlpi_addr + segment->p_vaddr;
		uintptr_t end = first + segment->p_memsz;

		if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
			continue;
		first &= ~(page - 1);
		(void)madvise((void *)first, end - first, MADV_DONTNEED);
	}
	return 0;
}

void thrift_give_back(void)
{
	malloc_trim(0);
	(void)dl_iterate_phdr(give_back_object, NULL);
}
