/* SPDX-License-Identifier: Apache-2.0 */
/* socket.h: whose the socket's file is. */
#include "control/socket.h"

#include "control_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

static struct control_socket opened(mode_t mode)
{
	struct control_socket s = { .listen_fd = -1 };

	CU_ASSERT_EQUAL_FATAL(control_socket_open(SOCKET_NAME, mode, &s), 0);
	return s;
}

/* A socket file that we did not make; listens or is stale. */
static int foreign_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET_NAME };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
	return fd;
}

static void test_the_mode_is_as_asked_whatever_the_umask(void)
{
	static const mode_t masks[] = { 0, 022, 077, 0777 };
	static const mode_t modes[] = { 0600, 0660, 0666 };
	mode_t before = umask(0);

	for (size_t i = 0; i < ARRAY_LEN(masks) * ARRAY_LEN(modes); i++) {
		mode_t mode = modes[i % ARRAY_LEN(modes)];
		struct stat st = { 0 };
		(void) umask(masks[i / ARRAY_LEN(modes)]);
		struct control_socket s = opened(mode);
		CU_ASSERT_EQUAL(lstat(SOCKET_NAME, &st), 0);
		CU_ASSERT_TRUE(S_ISSOCK(st.st_mode));
		CU_ASSERT_EQUAL(st.st_mode & 07777, mode);
		control_socket_close(&s);
	}
	(void) umask(before);
}

static void test_it_listens_without_blocking(void)
{
	struct control_socket s = opened(0660);

	CU_ASSERT_TRUE(fcntl(s.listen_fd, F_GETFL) & O_NONBLOCK);
	CU_ASSERT_TRUE(fcntl(s.listen_fd, F_GETFD) & FD_CLOEXEC);
	CU_ASSERT_TRUE(fcntl(s.lock_fd, F_GETFD) & FD_CLOEXEC);
	(void) close(connect_to(SOCKET_NAME));
	control_socket_close(&s);
}

static void test_a_second_daemon_is_refused(void)
{
	struct control_socket s = opened(0660), untouched = { .listen_fd = -7 };

	CU_ASSERT_EQUAL(control_socket_open(SOCKET_NAME, 0660, &untouched), -EADDRINUSE);
	CU_ASSERT_EQUAL(untouched.listen_fd, -7);
	(void) close(connect_to(SOCKET_NAME)); /* the first is still there */

	/* Also while it has no file: the lock alone says whose it is. */
	CU_ASSERT_EQUAL(unlink(SOCKET_NAME), 0);
	CU_ASSERT_EQUAL(control_socket_open(SOCKET_NAME, 0660, &untouched), -EADDRINUSE);
	control_socket_close(&s);
}

static void test_a_live_socket_without_a_lock_is_left_alone(void)
{
	struct control_socket untouched = { .listen_fd = -7 };
	int fds[64], fd = foreign_socket();
	size_t n = 0;

	CU_ASSERT_EQUAL(control_socket_open(SOCKET_NAME, 0660, &untouched), -EADDRINUSE);

	/* A full backlog is no sign of death either. */
	for (; n < ARRAY_LEN(fds); n++) {
		struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET_NAME };
		fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(fds[n], (struct sockaddr *) &address, sizeof(address)) < 0)
			break;
	}
	CU_ASSERT_TRUE_FATAL(n < ARRAY_LEN(fds));
	CU_ASSERT_EQUAL(control_socket_open(SOCKET_NAME, 0660, &untouched), -EADDRINUSE);
	for (size_t i = 0; i <= n; i++)
		(void) close(fds[i]);
	(void) close(fd);
	CU_ASSERT_EQUAL(unlink(SOCKET_NAME), 0);
}

static void test_a_stale_socket_is_replaced(void)
{
	(void) close(foreign_socket());
	struct control_socket s = opened(0660);
	(void) close(connect_to(SOCKET_NAME));
	control_socket_close(&s);
}

static void test_other_files_are_left_alone(void)
{
	struct control_socket untouched = { .listen_fd = -7 };
	struct stat st;

	write_text(SOCKET_NAME, "precious");
	CU_ASSERT_EQUAL(control_socket_open(SOCKET_NAME, 0660, &untouched), -ENOTSOCK);
	CU_ASSERT_TRUE(stat(SOCKET_NAME, &st) == 0 && st.st_size == 8);
	CU_ASSERT_EQUAL(unlink(SOCKET_NAME), 0);

	CU_ASSERT_EQUAL(symlink("elsewhere", SOCKET_NAME), 0);
	CU_ASSERT_EQUAL(control_socket_open(SOCKET_NAME, 0660, &untouched), -ENOTSOCK);
	CU_ASSERT_EQUAL(unlink(SOCKET_NAME), 0);
	CU_ASSERT_TRUE(access("elsewhere", F_OK) < 0);
}

static void test_the_lock_follows_no_link(void)
{
	struct control_socket untouched = { .listen_fd = -7 };

	(void) unlink(SOCKET_NAME ".lock");
	CU_ASSERT_EQUAL(symlink("elsewhere", SOCKET_NAME ".lock"), 0);
	CU_ASSERT_EQUAL(control_socket_open(SOCKET_NAME, 0660, &untouched), -ELOOP);
	CU_ASSERT_TRUE(access("elsewhere", F_OK) < 0);
	CU_ASSERT_EQUAL(unlink(SOCKET_NAME ".lock"), 0);
}

static void test_a_failure_lets_the_lock_go(void)
{
	struct control_socket untouched = { .listen_fd = -7 };

	write_text(SOCKET_NAME, "");
	CU_ASSERT_EQUAL(control_socket_open(SOCKET_NAME, 0660, &untouched), -ENOTSOCK);
	CU_ASSERT_EQUAL(unlink(SOCKET_NAME), 0);
	struct control_socket s = opened(0660);
	control_socket_close(&s);
}

static void test_impossible_paths_are_refused(void)
{
	struct control_socket untouched = { .listen_fd = -7 };
	char path[109];

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	CU_ASSERT_EQUAL(control_socket_open(path, 0660, &untouched), -ENAMETOOLONG);
	path[sizeof(path) - 2] = '\0'; /* the longest that fits */
	struct control_socket s = { .listen_fd = -1 };
	CU_ASSERT_EQUAL_FATAL(control_socket_open(path, 0660, &s), 0);
	(void) close(connect_to(path));
	control_socket_close(&s);

	CU_ASSERT_EQUAL(control_socket_open("", 0660, &untouched), -ENOENT);
	CU_ASSERT_EQUAL(control_socket_open("no/such/directory", 0660, &untouched), -ENOENT);
}

static void test_closing_removes_the_file_once(void)
{
	struct control_socket s = opened(0660);

	control_socket_close(&s);
	CU_ASSERT_TRUE(access(SOCKET_NAME, F_OK) < 0);
	CU_ASSERT_EQUAL(s.listen_fd, -1);
	struct control_socket next = opened(0660);
	control_socket_close(&s); /* touches nothing of the next one's */
	(void) close(connect_to(SOCKET_NAME));
	control_socket_close(&next);
}

static void test_a_socket_that_was_handed_over_keeps_its_file(void)
{
	struct control_socket s = { .listen_fd = foreign_socket(), .lock_fd = -1 };

	control_socket_close(&s);
	CU_ASSERT_EQUAL(access(SOCKET_NAME, F_OK), 0);
	CU_ASSERT_EQUAL(unlink(SOCKET_NAME), 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the mode is as asked, whatever the umask",
		  test_the_mode_is_as_asked_whatever_the_umask },
		{ "it listens without blocking", test_it_listens_without_blocking },
		{ "a second daemon is refused", test_a_second_daemon_is_refused },
		{ "a live socket without a lock is left alone",
		  test_a_live_socket_without_a_lock_is_left_alone },
		{ "a stale socket is replaced", test_a_stale_socket_is_replaced },
		{ "other files are left alone", test_other_files_are_left_alone },
		{ "the lock follows no link", test_the_lock_follows_no_link },
		{ "a failure lets the lock go", test_a_failure_lets_the_lock_go },
		{ "impossible paths are refused", test_impossible_paths_are_refused },
		{ "closing removes the file, once", test_closing_removes_the_file_once },
		{ "a socket that was handed over keeps its file",
		  test_a_socket_that_was_handed_over_keeps_its_file },
		CU_TEST_INFO_NULL,
	};
	return run_in_directory("control_socket", tests);
}
