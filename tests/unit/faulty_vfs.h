/* SPDX-License-Identifier: Apache-2.0 */
/* A VFS of SQLite's (sqlite.org/vfs.html) around the usual one, whose writes, syncs and
 * truncations fail when faults.h says. */
#ifndef PENSTOCK_TESTS_FAULTY_VFS_H
#define PENSTOCK_TESTS_FAULTY_VFS_H

#include "faults.h"
#include "unit.h"

#include <sqlite3.h>
#include <string.h>

struct faulty_file {
	sqlite3_file base;
	sqlite3_file *real; /* follows in memory */
};

static struct {
	sqlite3_vfs vfs, *real;
} faulty;

static inline sqlite3_file *faulty_real(sqlite3_file *f) { return ((struct faulty_file *) f)->real; }

#define FAULTY_PASS(name, params, args)                         \
	static inline int faulty_##name params                  \
	{                                                       \
		sqlite3_file *real = faulty_real(f);            \
		return real->pMethods->x##name args;            \
	}
#define FAULTY_FAIL(name, params, args)                         \
	static inline int faulty_##name params                  \
	{                                                       \
		int code = faults_next();                       \
		sqlite3_file *real = faulty_real(f);            \
		return code != SQLITE_OK ? code : real->pMethods->x##name args; \
	}

FAULTY_PASS(Close, (sqlite3_file *f), (real))
FAULTY_PASS(Read, (sqlite3_file *f, void *p, int n, sqlite3_int64 at), (real, p, n, at))
FAULTY_FAIL(Write, (sqlite3_file *f, const void *p, int n, sqlite3_int64 at), (real, p, n, at))
FAULTY_FAIL(Truncate, (sqlite3_file *f, sqlite3_int64 size), (real, size))
FAULTY_FAIL(Sync, (sqlite3_file *f, int flags), (real, flags))
FAULTY_PASS(FileSize, (sqlite3_file *f, sqlite3_int64 *size), (real, size))
FAULTY_PASS(Lock, (sqlite3_file *f, int lock), (real, lock))
FAULTY_PASS(Unlock, (sqlite3_file *f, int lock), (real, lock))
FAULTY_PASS(CheckReservedLock, (sqlite3_file *f, int *out), (real, out))
FAULTY_PASS(FileControl, (sqlite3_file *f, int op, void *arg), (real, op, arg))
FAULTY_PASS(SectorSize, (sqlite3_file *f), (real))
FAULTY_PASS(DeviceCharacteristics, (sqlite3_file *f), (real))
FAULTY_PASS(ShmMap, (sqlite3_file *f, int page, int size, int extend, void volatile **p),
            (real, page, size, extend, p))
FAULTY_PASS(ShmLock, (sqlite3_file *f, int offset, int n, int flags), (real, offset, n, flags))
FAULTY_PASS(ShmUnmap, (sqlite3_file *f, int delete), (real, delete))

static inline void faulty_ShmBarrier(sqlite3_file *f)
{
	sqlite3_file *real = faulty_real(f);
	real->pMethods->xShmBarrier(real);
}

static inline int faulty_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
                              int *ret_flags)
{
	static const sqlite3_io_methods methods = {
		.iVersion = 2,
		.xClose = faulty_Close, .xRead = faulty_Read, .xWrite = faulty_Write,
		.xTruncate = faulty_Truncate, .xSync = faulty_Sync, .xFileSize = faulty_FileSize,
		.xLock = faulty_Lock, .xUnlock = faulty_Unlock,
		.xCheckReservedLock = faulty_CheckReservedLock,
		.xFileControl = faulty_FileControl, .xSectorSize = faulty_SectorSize,
		.xDeviceCharacteristics = faulty_DeviceCharacteristics,
		.xShmMap = faulty_ShmMap, .xShmLock = faulty_ShmLock,
		.xShmBarrier = faulty_ShmBarrier, .xShmUnmap = faulty_ShmUnmap,
	};
	struct faulty_file *mine = (struct faulty_file *) f;

	(void) vfs;
	mine->real = (sqlite3_file *) (mine + 1);
	int code = faulty.real->xOpen(faulty.real, name, mine->real, flags, ret_flags);
	mine->base.pMethods = mine->real->pMethods ? &methods : NULL;
	return code;
}

/* From now on every database is opened through it. */
static inline void faults_install(void)
{
	faulty.real = sqlite3_vfs_find(NULL);
	faulty.vfs = *faulty.real;
	faulty.vfs.zName = "faulty";
	faulty.vfs.szOsFile += (int) sizeof(struct faulty_file);
	faulty.vfs.xOpen = faulty_open;
	if (sqlite3_vfs_register(&faulty.vfs, 1) != SQLITE_OK)
		abort();
}

#endif
