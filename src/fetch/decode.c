/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/decode.h"

#include <brotli/decode.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#define ZLIB_CONST /* its input is const */
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { KIB = 1024, MIB = 1024 * KIB };

/* 8 MiB, which is as much as RFC 9659 lets a server take for granted. */
enum { ZSTD_MAX_WINDOW_LOG = 23 };

/* Bits of zlib's window: a zlib stream, a bare one, or one of gzip. */
enum { WINDOW_ZLIB = 15, WINDOW_RAW = -15, WINDOW_GZIP = 15 + 16 };

/* What is left to decode, and how much has come of it in decoder.out. */
struct step {
	const uint8_t *in;
	size_t n_in;
	size_t n_out;
};

/* Each decodes until the input or the room for output ends.  Returns 0, -EPROTO or -ENOMEM. */
struct codec {
	const char *name;
	size_t max_bytes; /* window and tables */
	int (*start)(struct decoder *d);
	int (*step)(struct decoder *d, struct step *s);
	void (*stop)(struct decoder *d);
};

struct decoder {
	const struct codec *codec;
	bool begun, ended; /* of the stream */
	z_stream zlib;
	BrotliDecoderState *brotli;
	ZSTD_DStream *zstd;
	uint8_t out[16 * 1024];
};

/* --- gzip, deflate ----------------------------------------------------------------- */

static int zlib_begin(struct decoder *d, int window_bits)
{
	d->begun = true;
	return inflateInit2(&d->zlib, window_bits) == Z_OK ? 0 : -ENOMEM;
}

static int zlib_step(struct decoder *d, struct step *s)
{
	z_stream *z = &d->zlib;

	z->next_in = s->in;
	z->avail_in = s->n_in < UINT_MAX ? (unsigned) s->n_in : UINT_MAX;
	z->next_out = d->out;
	z->avail_out = sizeof(d->out);
	int r = inflate(z, Z_NO_FLUSH);
	s->n_in -= (size_t) (z->next_in - s->in);
	s->in = z->next_in;
	s->n_out = sizeof(d->out) - z->avail_out;

	d->ended = r == Z_STREAM_END;
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR ? 0 : -EPROTO;
}

static int gzip_step(struct decoder *d, struct step *s)
{
	int r = d->begun ? 0 : zlib_begin(d, WINDOW_GZIP);
	if (r < 0)
		return r;
	if (d->ended) /* another member follows (RFC 1952, section 2.2) */
		(void) inflateReset(&d->zlib);
	return zlib_step(d, s);
}

/* The lower half of a zlib stream's first byte is 8; a bare one would begin like that only with
 * an uncompressed block whose padding is not zero. */
static int deflate_step(struct decoder *d, struct step *s)
{
	int r = d->begun ? 0 : zlib_begin(d, (s->in[0] & 0x0f) == 8 ? WINDOW_ZLIB : WINDOW_RAW);
	if (r < 0)
		return r;
	return d->ended ? -EPROTO : zlib_step(d, s);
}

static void zlib_stop(struct decoder *d)
{
	if (d->begun)
		(void) inflateEnd(&d->zlib);
}

/* --- br ---------------------------------------------------------------------------- */

static int br_start(struct decoder *d)
{
	d->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	return d->brotli ? 0 : -ENOMEM;
}

static bool is_memory_error(BrotliDecoderErrorCode code)
{
	return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
	       code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
}

static int br_step(struct decoder *d, struct step *s)
{
	uint8_t *out = d->out;
	size_t room = sizeof(d->out);

	if (d->ended)
		return -EPROTO;
	BrotliDecoderResult r = BrotliDecoderDecompressStream(d->brotli, &s->n_in, &s->in, &room, &out,
	                                                      NULL);
	s->n_out = sizeof(d->out) - room;
	d->ended = r == BROTLI_DECODER_RESULT_SUCCESS;
	if (r != BROTLI_DECODER_RESULT_ERROR)
		return 0;
	return is_memory_error(BrotliDecoderGetErrorCode(d->brotli)) ? -ENOMEM : -EPROTO;
}

static void br_stop(struct decoder *d) { BrotliDecoderDestroyInstance(d->brotli); }

/* --- zstd -------------------------------------------------------------------------- */

static int zstd_start(struct decoder *d)
{
	d->zstd = ZSTD_createDStream();
	if (!d->zstd)
		return -ENOMEM;
	(void) ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_MAX_WINDOW_LOG);
	return 0;
}

/* What stands behind the end of a frame is another one (RFC 8878, section 3.1). */
static int zstd_step(struct decoder *d, struct step *s)
{
	ZSTD_inBuffer in = { .src = s->in, .size = s->n_in };
	ZSTD_outBuffer out = { .dst = d->out, .size = sizeof(d->out) };

	size_t r = ZSTD_decompressStream(d->zstd, &out, &in);
	s->in += in.pos;
	s->n_in -= in.pos;
	s->n_out = out.pos;
	d->ended = r == 0;
	if (!ZSTD_isError(r))
		return 0;
	return ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation ? -ENOMEM : -EPROTO;
}

static void zstd_stop(struct decoder *d) { (void) ZSTD_freeDStream(d->zstd); }

/* --- all --------------------------------------------------------------------------- */

/* RFC 9110, section 8.4.1.3: "x-gzip" is the same as "gzip". */
static const struct codec codecs[] = {
	{ "gzip", 64 * KIB, NULL, gzip_step, zlib_stop },
	{ "x-gzip", 64 * KIB, NULL, gzip_step, zlib_stop },
	{ "deflate", 64 * KIB, NULL, deflate_step, zlib_stop },
	{ "br", 17 * MIB, br_start, br_step, br_stop }, /* a window of up to 16 MiB */
	{ "zstd", 9 * MIB, zstd_start, zstd_step, zstd_stop },
};

static const struct codec *find(const char *coding, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++)
		if (strlen(codecs[i].name) == n && strncasecmp(codecs[i].name, coding, n) == 0)
			return &codecs[i];
	return NULL;
}

size_t decoder_max_bytes(const char *coding, size_t n)
{
	const struct codec *codec = find(coding, n);
	return codec ? codec->max_bytes : 0;
}

int decoder_create(const char *coding, size_t n, struct decoder **ret_decoder)
{
	const struct codec *codec = find(coding, n);
	if (!codec)
		return -EOPNOTSUPP;

	struct decoder *d = malloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	memset(d, 0, offsetof(struct decoder, out));
	d->codec = codec;
	if (codec->start && codec->start(d) < 0) {
		free(d);
		return -ENOMEM;
	}
	*ret_decoder = d;
	return 0;
}

struct decoder *decoder_free(struct decoder *d)
{
	if (d) {
		d->codec->stop(d);
		free(d);
	}
	return NULL;
}

int decoder_feed(struct decoder *d, const char *data, size_t n,
                 int (*sink)(void *arg, const char *data, size_t n), void *arg)
{
	struct step s = { .in = (const uint8_t *) data, .n_in = n };

	/* If the room was filled, there may be more, unless that was the end. */
	while (s.n_in > 0 || (s.n_out == sizeof(d->out) && !d->ended)) {
		int r = d->codec->step(d, &s);
		if (r == 0 && s.n_out > 0)
			r = sink(arg, (const char *) d->out, s.n_out);
		if (r != 0)
			return r;
	}
	return 0;
}

bool decoder_is_whole(const struct decoder *d) { return d->ended; }
