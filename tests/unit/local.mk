# One CUnit program a module.
UNIT_LIBS = $(PENSTOCK_LIBS) $(CUNIT_LIBS)
EXTRA_DIST += \
	tests/unit/backlog_calls.h \
	tests/unit/body_stage.h \
	tests/unit/config_example.h \
	tests/unit/control_mock.h \
	tests/unit/control_stage.h \
	tests/unit/directory_stage.h \
	tests/unit/dns_server.h \
	tests/unit/engine_stage.h \
	tests/unit/failing_malloc.h \
	tests/unit/faults.h \
	tests/unit/faulty_vfs.h \
	tests/unit/fetch_stage.h \
	tests/unit/job_maker.h \
	tests/unit/no_sync.h \
	tests/unit/odd_urls.h \
	tests/unit/origin_process.h \
	tests/unit/queue_calls.h \
	tests/unit/results_stage.h \
	tests/unit/seed.h \
	tests/unit/source_stage.h \
	tests/unit/sqlite_stage.h \
	tests/unit/sqlite_steps.h \
	tests/unit/stub_jobs.h \
	tests/unit/unit.h \
	tests/unit/wire_server.h \
	tests/unit/wire_stage.h

check_PROGRAMS += tests/unit/test_answer
TESTS += tests/unit/test_answer
tests_unit_test_answer_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_answer_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_arrivals
TESTS += tests/unit/test_arrivals
tests_unit_test_arrivals_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_arrivals_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_base64
TESTS += tests/unit/test_base64
tests_unit_test_base64_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_base64_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_bodies_dir
TESTS += tests/unit/test_bodies_dir
tests_unit_test_bodies_dir_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_bodies_dir_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_body
TESTS += tests/unit/test_body
tests_unit_test_body_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_body_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_buf
TESTS += tests/unit/test_buf
tests_unit_test_buf_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_buf_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_claims
TESTS += tests/unit/test_claims
tests_unit_test_claims_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_claims_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_clock
TESTS += tests/unit/test_clock
tests_unit_test_clock_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_clock_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_config
TESTS += tests/unit/test_config
tests_unit_test_config_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_config_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_config_change
TESTS += tests/unit/test_config_change
tests_unit_test_config_change_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_config_change_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_config_drop_ins
TESTS += tests/unit/test_config_drop_ins
tests_unit_test_config_drop_ins_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_config_drop_ins_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_config_elements
TESTS += tests/unit/test_config_elements
tests_unit_test_config_elements_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_config_elements_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_config_errors
TESTS += tests/unit/test_config_errors
tests_unit_test_config_errors_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_config_errors_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_control
TESTS += tests/unit/test_control
tests_unit_test_control_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_control_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_control_jobs
TESTS += tests/unit/test_control_jobs
tests_unit_test_control_jobs_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_control_jobs_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_control_levers
TESTS += tests/unit/test_control_levers
tests_unit_test_control_levers_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_control_levers_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_control_orders
TESTS += tests/unit/test_control_orders
tests_unit_test_control_orders_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_control_orders_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_control_results
TESTS += tests/unit/test_control_results
tests_unit_test_control_results_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_control_results_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_control_socket
TESTS += tests/unit/test_control_socket
tests_unit_test_control_socket_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_control_socket_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_control_upload
TESTS += tests/unit/test_control_upload
tests_unit_test_control_upload_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_control_upload_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_control_waits
TESTS += tests/unit/test_control_waits
tests_unit_test_control_waits_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_control_waits_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_crash
TESTS += tests/unit/test_crash
tests_unit_test_crash_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_crash_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_deadlines
TESTS += tests/unit/test_deadlines
tests_unit_test_deadlines_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_deadlines_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_decode
TESTS += tests/unit/test_decode
tests_unit_test_decode_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_decode_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_directory
TESTS += tests/unit/test_directory
tests_unit_test_directory_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_directory_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_directory_restart
TESTS += tests/unit/test_directory_restart
tests_unit_test_directory_restart_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_directory_restart_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_endpoint
TESTS += tests/unit/test_endpoint
tests_unit_test_endpoint_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_endpoint_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_engine
TESTS += tests/unit/test_engine
tests_unit_test_engine_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_engine_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_explain
TESTS += tests/unit/test_explain
tests_unit_test_explain_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_explain_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_fetch
TESTS += tests/unit/test_fetch
tests_unit_test_fetch_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_fetch_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_fetch_guard
TESTS += tests/unit/test_fetch_guard
tests_unit_test_fetch_guard_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_fetch_guard_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_fetch_hops
TESTS += tests/unit/test_fetch_hops
tests_unit_test_fetch_hops_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_fetch_hops_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_fetch_reuse
TESTS += tests/unit/test_fetch_reuse
tests_unit_test_fetch_reuse_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_fetch_reuse_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_fetch_timeouts
TESTS += tests/unit/test_fetch_timeouts
tests_unit_test_fetch_timeouts_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_fetch_timeouts_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_fetch_redirects
TESTS += tests/unit/test_fetch_redirects
tests_unit_test_fetch_redirects_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_fetch_redirects_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_fetch_upload
TESTS += tests/unit/test_fetch_upload
tests_unit_test_fetch_upload_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_fetch_upload_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_fetch_wire
TESTS += tests/unit/test_fetch_wire
tests_unit_test_fetch_wire_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_fetch_wire_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_follow
TESTS += tests/unit/test_follow
tests_unit_test_follow_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_follow_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_heap
TESTS += tests/unit/test_heap
tests_unit_test_heap_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_heap_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_guard
TESTS += tests/unit/test_guard
tests_unit_test_guard_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_guard_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_head
TESTS += tests/unit/test_head
tests_unit_test_head_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_head_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_history
TESTS += tests/unit/test_history
tests_unit_test_history_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_history_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_hop
TESTS += tests/unit/test_hop
tests_unit_test_hop_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_hop_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_job
TESTS += tests/unit/test_job
tests_unit_test_job_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_job_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_job_hop
TESTS += tests/unit/test_job_hop
tests_unit_test_job_hop_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_job_hop_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_job_refusals
TESTS += tests/unit/test_job_refusals
tests_unit_test_job_refusals_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_job_refusals_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_job_write
TESTS += tests/unit/test_job_write
tests_unit_test_job_write_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_job_write_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_ledger
TESTS += tests/unit/test_ledger
tests_unit_test_ledger_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_ledger_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_lane
TESTS += tests/unit/test_lane
tests_unit_test_lane_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_lane_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_lines
TESTS += tests/unit/test_lines
tests_unit_test_lines_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_lines_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_log
TESTS += tests/unit/test_log
tests_unit_test_log_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_log_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_memory_backlog
TESTS += tests/unit/test_memory_backlog
tests_unit_test_memory_backlog_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_memory_backlog_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_memory_backlog_model
TESTS += tests/unit/test_memory_backlog_model
tests_unit_test_memory_backlog_model_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_memory_backlog_model_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_memory_lanes
TESTS += tests/unit/test_memory_lanes
tests_unit_test_memory_lanes_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_memory_lanes_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_metrics
TESTS += tests/unit/test_metrics
tests_unit_test_metrics_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_metrics_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_no_memory
TESTS += tests/unit/test_no_memory
tests_unit_test_no_memory_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_no_memory_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_pool
TESTS += tests/unit/test_pool
tests_unit_test_pool_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_pool_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_profiles
TESTS += tests/unit/test_profiles
tests_unit_test_profiles_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_profiles_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_queue
TESTS += tests/unit/test_queue
tests_unit_test_queue_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_queue_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_queue_lanes
TESTS += tests/unit/test_queue_lanes
tests_unit_test_queue_lanes_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_queue_lanes_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_queue_model
TESTS += tests/unit/test_queue_model
tests_unit_test_queue_model_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_queue_model_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_queue_stress
TESTS += tests/unit/test_queue_stress
tests_unit_test_queue_stress_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_queue_stress_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_queue_threads
TESTS += tests/unit/test_queue_threads
tests_unit_test_queue_threads_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_queue_threads_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_random
TESTS += tests/unit/test_random
tests_unit_test_random_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_random_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_recorder
TESTS += tests/unit/test_recorder
tests_unit_test_recorder_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_recorder_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_resolver
TESTS += tests/unit/test_resolver
tests_unit_test_resolver_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_resolver_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_result
TESTS += tests/unit/test_result
tests_unit_test_result_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_result_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_results_log
TESTS += tests/unit/test_results_log
tests_unit_test_results_log_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_results_log_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_results_recover
TESTS += tests/unit/test_results_recover
tests_unit_test_results_recover_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_results_recover_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_results_resume
TESTS += tests/unit/test_results_resume
tests_unit_test_results_resume_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_results_resume_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_retry
TESTS += tests/unit/test_retry
tests_unit_test_retry_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_retry_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_schedule
TESTS += tests/unit/test_schedule
tests_unit_test_schedule_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_schedule_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_seq_set
TESTS += tests/unit/test_seq_set
tests_unit_test_seq_set_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_seq_set_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_settings
TESTS += tests/unit/test_settings
tests_unit_test_settings_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_settings_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sparkline
TESTS += tests/unit/test_sparkline
tests_unit_test_sparkline_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_sparkline_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_speed
TESTS += tests/unit/test_speed
tests_unit_test_speed_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_speed_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sqlite_backlog
TESTS += tests/unit/test_sqlite_backlog
tests_unit_test_sqlite_backlog_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_sqlite_backlog_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sqlite_faults
TESTS += tests/unit/test_sqlite_faults
tests_unit_test_sqlite_faults_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_sqlite_faults_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sqlite_files
TESTS += tests/unit/test_sqlite_files
tests_unit_test_sqlite_files_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_sqlite_files_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sqlite_lanes
TESTS += tests/unit/test_sqlite_lanes
tests_unit_test_sqlite_lanes_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_sqlite_lanes_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sqlite_memory
TESTS += tests/unit/test_sqlite_memory
tests_unit_test_sqlite_memory_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_sqlite_memory_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sqlite_order
TESTS += tests/unit/test_sqlite_order
tests_unit_test_sqlite_order_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_sqlite_order_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sqlite_queries
TESTS += tests/unit/test_sqlite_queries
tests_unit_test_sqlite_queries_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_sqlite_queries_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sqlite_records
TESTS += tests/unit/test_sqlite_records
tests_unit_test_sqlite_records_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_sqlite_records_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sqlite_threads
TESTS += tests/unit/test_sqlite_threads
tests_unit_test_sqlite_threads_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_sqlite_threads_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_status
TESTS += tests/unit/test_status
tests_unit_test_status_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_status_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_tally
TESTS += tests/unit/test_tally
tests_unit_test_tally_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_tally_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_tail
TESTS += tests/unit/test_tail
tests_unit_test_tail_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_tail_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_target
TESTS += tests/unit/test_target
tests_unit_test_target_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_target_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_thread
TESTS += tests/unit/test_thread
tests_unit_test_thread_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_thread_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_units
TESTS += tests/unit/test_units
tests_unit_test_units_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_units_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_upload
TESTS += tests/unit/test_upload
tests_unit_test_upload_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_upload_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_url
TESTS += tests/unit/test_url
tests_unit_test_url_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_url_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_url_corpus
TESTS += tests/unit/test_url_corpus
tests_unit_test_url_corpus_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_url_corpus_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_urlfile
TESTS += tests/unit/test_urlfile
tests_unit_test_urlfile_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_urlfile_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_urlfile_cursor
TESTS += tests/unit/test_urlfile_cursor
tests_unit_test_urlfile_cursor_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_urlfile_cursor_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_wake
TESTS += tests/unit/test_wake
tests_unit_test_wake_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_wake_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_workers
TESTS += tests/unit/test_workers
tests_unit_test_workers_CPPFLAGS = $(AM_CPPFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_workers_LDADD = $(UNIT_LIBS)

# A stand-in for the backlog behind the control socket.
CONTROL_MOCK = $(AM_LDFLAGS) \
	-Wl,--wrap=engine_submit,--wrap=engine_withdraw,--wrap=engine_query \
	-Wl,--wrap=engine_explain,--wrap=engine_unqueue,--wrap=engine_cancel,--wrap=engine_stats \
	-Wl,--wrap=engine_lane,--wrap=engine_list_lanes,--wrap=engine_pause,--wrap=engine_resume \
	-Wl,--wrap=engine_drain,--wrap=engine_is_draining
tests_unit_test_control_jobs_LDFLAGS = $(CONTROL_MOCK)
tests_unit_test_control_levers_LDFLAGS = $(CONTROL_MOCK)
tests_unit_test_control_orders_LDFLAGS = $(CONTROL_MOCK)
tests_unit_test_control_upload_LDFLAGS = $(CONTROL_MOCK)
tests_unit_test_control_waits_LDFLAGS = $(CONTROL_MOCK)

# What is explained are a queue and workers as the test says they are.
EXPLAIN_MOCK = $(AM_LDFLAGS) \
	-Wl,--wrap=queue_lane,--wrap=queue_stats,--wrap=queue_find \
	-Wl,--wrap=workers_find,--wrap=workers_stats,--wrap=workers_get_policy
tests_unit_test_explain_LDFLAGS = $(EXPLAIN_MOCK)

# Files of bodies, on a disk that fails when the test says so.
FAULTY_DISK = $(AM_LDFLAGS) \
	-Wl,--wrap=openat64,--wrap=write,--wrap=fdatasync,--wrap=fsync,--wrap=linkat,--wrap=renameat
tests_unit_test_bodies_dir_LDFLAGS = $(FAULTY_DISK)

# Fails each allocation in turn.
FAILING_MALLOC = $(AM_LDFLAGS) \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=reallocarray \
	-Wl,--wrap=strdup,--wrap=strndup,--wrap=asprintf,--wrap=__asprintf_chk
tests_unit_test_job_hop_LDFLAGS = $(FAILING_MALLOC)
tests_unit_test_no_memory_LDFLAGS = $(FAILING_MALLOC)
tests_unit_test_profiles_LDFLAGS = $(FAILING_MALLOC)
tests_unit_test_queue_lanes_LDFLAGS = $(FAILING_MALLOC)
tests_unit_test_sqlite_memory_LDFLAGS = $(FAILING_MALLOC)
