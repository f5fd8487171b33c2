/* SPDX-License-Identifier: Apache-2.0 */
/* URLs that parsers are known to take differently.  "{P}" stands for the port of a server on
 * 127.0.0.1, and every name leads there; "SECRET" stands where nothing may be shown. */
#ifndef PENSTOCK_TESTS_ODD_URLS_H
#define PENSTOCK_TESTS_ODD_URLS_H

/* Between "http://" and "/": who is asked. */
static const char *const odd_authorities[] = {
	"a.test:{P}", "A.TEST:{P}", "a.test.:{P}", "a.test..:{P}", ".a.test:{P}", "a..test:{P}",
	"a_b.test:{P}", "-a.test:{P}", "a-.test:{P}", "xn--bcher-kva.test:{P}",
	"b\xc3\xbc" "cher.test:{P}", "B\xc3\x9c" "CHER.test:{P}", "fa\xc3\x9f.test:{P}",
	"xn--a.test:{P}", "\xe2\x80\x8b" "a.test:{P}", "a\xe3\x80\x82test:{P}", "a\xef\xbc\x8etest:{P}",
	"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1:{P}", "\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1:{P}",
	"\xef\xbd\x81.test:{P}", "\xe2\x84\xab.test:{P}", "a\xc2\xad" "b.test:{P}",
	"a\xe2\x80\x8d.test:{P}", "\xd7\x90.test:{P}", "\xf0\x9f\x98\x80.test:{P}", "a\xff.test:{P}",
	"127.0.0.1:{P}", "127.1:{P}", "127.0.1:{P}", "2130706433:{P}", "0x7f000001:{P}", "0x7f.1:{P}",
	"0X7F.0.0.1:{P}", "0177.0.0.1:{P}", "0177.1:{P}", "017700000001:{P}", "127.0.0.01:{P}",
	"127.0.0.1.:{P}", "127.0.0.1..:{P}", "0127.0.0.1:{P}", "00177.0.0.1:{P}", "127.0.0.0x1:{P}",
	"127.00.00.01:{P}", "4294967295:{P}", "4294967296:{P}", "127.0.0.256:{P}", "127.0.0.1.1:{P}",
	"127.0.0:{P}", "127..1:{P}", "0:{P}", "0x:{P}", "0x7f.0x0.0x0.0x1:{P}", "127.0.0.08:{P}",
	"1e3:{P}", "127.0.0.1%20:{P}", "127%2e0%2e0%2e1:{P}", "%31%32%37.0.0.1:{P}", "127.0.0.1%00:{P}",
	"a%2etest:{P}", "%61.test:{P}", "a%00.test:{P}", "a%2f.test:{P}", "a%40b.test:{P}", "a%3a.test:{P}",
	"a%0a.test:{P}", "a%zz.test:{P}", "a%.test:{P}", "%C3%BC.test:{P}",
	"[::1]:{P}", "[::ffff:127.0.0.1]:{P}", "[::ffff:7f00:1]:{P}", "[0:0:0:0:0:ffff:7f00:0001]:{P}",
	"[::127.0.0.1]:{P}", "[64:ff9b::7f00:1]:{P}", "[::1%25lo]:{P}", "[::1%lo]:{P}", "[fe80::1%25eth0]:{P}",
	"[::1:{P}", "::1:{P}", "[]:{P}", "[:]:{P}", "[::1]]:{P}", "[[::1]]:{P}", "[::1]x:{P}", "[v1.a]:{P}",
	"[127.0.0.1]:{P}", "[a.test]:{P}", "[::1%2500]:{P}", "[::G]:{P}", "[1:2:3:4:5:6:7:8:9]:{P}",
	"a.test", "a.test:", "a.test:{P}:", "a.test::{P}", "a.test:{P}:{P}", "a.test:0{P}", "a.test:00000{P}",
	"a.test:+{P}", "a.test:-{P}", "a.test: {P}", "a.test:{P} ", "a.test:{P}a", "a.test:0x50", "a.test:0",
	"a.test:65535", "a.test:65536", "a.test:99999999999", "a.test:http", "a.test:%38%30",
	"user@a.test:{P}", "user:@a.test:{P}", ":SECRET@a.test:{P}", "@a.test:{P}", ":@a.test:{P}",
	"user:SECRET@a.test:{P}", "user:SECRET@b.test@a.test:{P}", "b.test:80@a.test:{P}",
	"user:SEC@RET@a.test:{P}", "user%40b.test:SECRET@a.test:{P}", "user;o=1:SECRET@a.test:{P}",
	"b.test%2f@a.test:{P}", "b.test%23@a.test:{P}", "b.test%5c@a.test:{P}", "us er:SECRET@a.test:{P}",
	"user:SECRET\xc3\xbc@a.test:{P}", "user:SECRET%0d%0aX:1@a.test:{P}", "user:SECRET@", "@", "user@",
	"b.test\\@a.test:{P}", "a.test:{P}\\@b.test", "b.test#@a.test:{P}", "b.test?@a.test:{P}",
	"user:SECRET\\x@a.test:{P}", "b.test;@a.test:{P}", "b.test&@a.test:{P}", "b.test,a.test:{P}",
	"user:SEC:RET@a.test:{P}", "user:SECRET@[::1]:{P}", "user:SECRET@127.1:{P}", "[user:SECRET@::1]:{P}",
	"a.test:{P}@", "a.test:{P}@127.0.0.1:{P}", "a b.test:{P}", "a\tb.test:{P}", " a.test:{P}",
	"a.test:{P}\t", "a<b.test:{P}", "a>b.test:{P}", "a\"b.test:{P}", "a'b.test:{P}", "a|b.test:{P}",
	"a^b.test:{P}", "a`b.test:{P}", "{a}.test:{P}", "*.test:{P}", "a!b.test:{P}", "a$b.test:{P}",
	"a(b).test:{P}", "a+b.test:{P}", "a,b.test:{P}", "a;b.test:{P}", "a=b.test:{P}", "a~b.test:{P}",
	"", ":", ":{P}", ".", "..", ".:{P}", "%20", "localhost:{P}", "LOCALHOST:{P}", "localhost.:{P}",
};

/* Behind "http://a.test:{P}": what is asked for. */
static const char *const odd_paths[] = {
	"", "/", "//", "///", "/.", "/..", "/../", "/./", "/../..", "/a/../b", "/a/./b", "/a/b/..",
	"/a//../b", "/%2e%2e/a", "/%2e/a", "/a/%2E%2E/b", "/.%2e/a", "/...", "/a/..;/b", "/..a", "/a..",
	"/a/../../../b", "//b.test/", "//b.test:80/..//", "/\\", "/\\b.test", "/a\\..\\b", "\\", "\\b.test",
	"\\@b.test/", "/@b.test", "/:80", "/user:pass@b.test/", "/http://b.test/", "/?", "?", "?a", "??", "/??a",
	"/?a?b", "/?a#b", "/#", "#", "##", "/#a", "#a#b", "/a#?b", "#@b.test/", "?@b.test/", "/?u=http://b.test/",
	"/?a=b&c=d", "/?a/../b", "/?/..", "/a;b", "/;", "/a;b=c/d", "/a=b", "/a,b", "/a!$&'()*+", "/~a", "/a~",
	"/%", "/%%", "/%4", "/%41", "/%zz", "/%00", "/a%00b", "/%0a", "/%0d%0aX: 1", "/%20", "/%2f", "/%2F..%2f",
	"/%5c", "/%3f", "/%23", "/%25", "/%c3%bc", "/\xc3\xbc", "/\xff", "/\xc3", "/?\xc3\xbc", "/?\xff", "#\xc3\xbc",
	"/a b", "/ a", "/a\tb", "?a b", "#a b", "/\"", "/<a>", "/a|b", "/[a]", "/{a}", "/a^b", "/a`b", "/?{a}",
	"/?[a]", "/?\"", "/?'", "/?<", "/a\x7f", "/a\x01", "/a\xc2\x80", "/\xe2\x80\xae", "/\xef\xbc\x8f", "/\xe2\x81\x84",
	"/index.html", "/a.b.c", "/a/", "/a/b/", "/a/.hidden", "/a/..b", "/..%00/", "/a%2f..%2fb", "/%252e%252e/",
	":", ":/", "/a:b", "/:", "?:", "&", ";", ";a", "&a=b", "=", "+", "/+", "?+", "/?a=%", "/?a=%0d%0a",
};

/* Whole: how it begins, or that it is none. */
static const char *const odd_urls[] = {
	"http:a.test:{P}/", "http:/a.test:{P}/", "http:///a.test:{P}/", "http:////a.test:{P}/",
	"http://///a.test:{P}/", "http:\\\\a.test:{P}/", "http:\\/a.test:{P}/", "http:/\\a.test:{P}/",
	"http://\\a.test:{P}/", "http//a.test:{P}/", "http;//a.test:{P}/", "http ://a.test:{P}/",
	"http: //a.test:{P}/", "http:// a.test:{P}/", "HTTP://a.test:{P}/", "HtTp://a.test:{P}/",
	"httP:a.test", "http", "http:", "http:/", "http://", "https:", "https://", "//a.test:{P}/", "/a", "a",
	"a.test:{P}", "a.test:{P}/", "www.a.test:{P}", "ftp.a.test:{P}", "://a.test:{P}/", ":a.test:{P}/",
	"ftp://a.test:{P}/", "file:///etc/passwd", "file://a.test/etc/passwd", "gopher://a.test:{P}/",
	"dict://a.test:{P}/", "ldap://a.test:{P}/", "javascript:alert(1)", "data:text/plain,x", "mailto:a@a.test",
	"ws://a.test:{P}/", "httpx://a.test:{P}/", "xhttp://a.test:{P}/", "1http://a.test:{P}/",
	"h%74tp://a.test:{P}/", "http+unix://a.test:{P}/", "view-source:http://a.test:{P}/",
	"http://http://a.test:{P}/", "http:http://a.test:{P}/", "http://a.test:{P}http://b.test/",
	"jar:http://a.test:{P}/!/", "blob:http://a.test:{P}/", "http:user:SECRET@a.test:{P}/",
	"http:/user:SECRET@a.test:{P}/", "http:///user:SECRET@a.test:{P}/", "user:SECRET@a.test:{P}/",
	"http:\\\\user:SECRET@a.test:{P}/", "//user:SECRET@a.test:{P}/", "http://user:SECRET@a.test:bad/",
	"http://user:SEC?RET@a.test:{P}/", "http://user:SEC#RET@a.test:{P}/", "http://user:SEC/RET@a.test:{P}/",
	"http://user:SECRET@a.test:{P}/\x01", "http://user:SECRET@[a.test:{P}/", "ftp://user:SECRET@a.test/",
	"", " ", "?", "#", "%", "{", "\\", "@", "*",
};

#endif
