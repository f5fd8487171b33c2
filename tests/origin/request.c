/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include <errno.h>
#include <string.h>

/* What the field lines say, gathered before it is judged as a whole. */
struct findings {
	unsigned hosts;
	bool says_close;
	bool says_keep_alive;
	bool is_bad;
};

/* tchar of RFC 9110, section 5.6.2. */
static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];
		bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
				(c >= '0' && c <= '9');
		if (!is_alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.len > 0;
}

static bool has_controls(struct slice s, bool tab_is_fine)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char) s.at[i];
		if ((c < 0x20 && !(c == '\t' && tab_is_fine)) || c == 0x7f)
			return true;
	}
	return false;
}

bool request_next_field(struct slice *fields, struct slice *ret_name, struct slice *ret_value)
{
	if (fields->len == 0)
		return false;

	struct slice value = slice_cut(fields, '\n');
	if (value.len == 0 || value.at[value.len - 1] != '\r')
		return false;
	value.len--;
	if (!memchr(value.at, ':', value.len))
		return false;

	*ret_name = slice_cut(&value, ':');
	*ret_value = slice_trim(value);
	return is_token(*ret_name) && !has_controls(*ret_value, true);
}

/* Whether a comma-separated list holds 'word'. */
static bool lists(struct slice list, const char *word)
{
	while (list.len > 0)
		if (slice_is_nocase(slice_trim(slice_cut(&list, ',')), word))
			return true;
	return false;
}

static void note_length(struct request *req, struct slice value, struct findings *f)
{
	uint64_t length = 0;

	if (text_number(value, INT64_MAX, &length) < 0 ||
	    (req->has_length && length != req->content_length))
		f->is_bad = true;
	req->has_length = true;
	req->content_length = length;
}

static void note_field(struct request *req, struct slice name, struct slice value,
		       struct findings *f)
{
	if (slice_is_nocase(name, "Host")) {
		f->hosts++;
	} else if (slice_is_nocase(name, "Content-Length")) {
		note_length(req, value, f);
	} else if (slice_is_nocase(name, "Transfer-Encoding")) {
		f->is_bad |= req->is_chunked || !slice_is_nocase(value, "chunked");
		req->is_chunked = true;
	} else if (slice_is_nocase(name, "Connection")) {
		f->says_close |= lists(value, "close");
		f->says_keep_alive |= lists(value, "keep-alive");
	} else if (slice_is_nocase(name, "Expect")) {
		req->expects_continue = slice_is_nocase(value, "100-continue");
	}
}

static int parse_fields(struct request *req)
{
	struct slice rest = req->fields;
	struct slice name = { 0 };
	struct slice value = { 0 };
	struct findings f = { 0 };

	while (rest.len > 0) {
		if (!request_next_field(&rest, &name, &value))
			return -EBADMSG;
		note_field(req, name, value, &f);
	}

	bool is_ambiguous = req->is_chunked && (req->has_length || req->is_http10);
	bool lacks_host = f.hosts != 1 && !(req->is_http10 && f.hosts == 0);
	if (f.is_bad || is_ambiguous || lacks_host)
		return -EBADMSG;

	req->keeps_alive = !f.says_close && (!req->is_http10 || f.says_keep_alive);
	req->expects_continue = req->expects_continue && !req->is_http10;
	return 0;
}

/* Splits the target.  The absolute form (http://host/path) loses its first two parts. */
static void split_target(struct request *req)
{
	struct slice rest = req->target;
	const char *colon = memmem(rest.at, rest.len, "://", 3);

	if (rest.at[0] != '/' && colon) {
		rest.len -= (size_t) (colon + 3 - rest.at);
		rest.at = colon + 3;
		const char *slash = rest.len > 0 ? memchr(rest.at, '/', rest.len) : NULL;
		rest.len = slash ? rest.len - (size_t) (slash - rest.at) : 1;
		rest.at = slash ? slash : "/";
	}
	req->path = slice_cut(&rest, '?');
	req->query = rest;
}

static int parse_request_line(struct slice line, struct request *req)
{
	req->method = slice_cut(&line, ' ');
	req->target = slice_cut(&line, ' ');
	req->version = line;

	bool is_http1 = line.len == 8 && memcmp(line.at, "HTTP/1.", 7) == 0 &&
			line.at[7] >= '0' && line.at[7] <= '9';
	if (!is_http1 || !is_token(req->method) || req->target.len == 0 ||
	    has_controls(req->target, false))
		return -EBADMSG;

	req->is_http10 = line.at[7] == '0';
	req->is_head = slice_is(req->method, "HEAD");
	split_target(req);
	return 0;
}

int request_parse(struct slice head, struct request *ret_request)
{
	struct request req = { 0 };

	head.len -= 2; /* the empty line */
	struct slice line = slice_cut(&head, '\n');
	if (line.len == 0 || line.at[line.len - 1] != '\r')
		return -EBADMSG;
	line.len--;

	int r = parse_request_line(line, &req);
	if (r < 0)
		return r;
	req.fields = head;
	r = parse_fields(&req);
	if (r < 0)
		return r;

	*ret_request = req;
	return 0;
}
