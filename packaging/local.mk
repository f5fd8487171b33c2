# The units; where systemd's unit directory is, configure finds out or is told.
EXTRA_DIST += packaging/systemd/penstockd.service.in packaging/systemd/penstockd.socket
CLEANFILES += packaging/systemd/penstockd.service

packaging/systemd/penstockd.service: $(srcdir)/packaging/systemd/penstockd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) packaging/systemd && sed \
		-e 's|@sbindir[@]|$(sbindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' \
		$(srcdir)/packaging/systemd/penstockd.service.in >$@

if HAVE_UNITDIR
systemdsystemunitdir = $(SYSTEMDUNITDIR)
nodist_systemdsystemunit_DATA = packaging/systemd/penstockd.service
dist_systemdsystemunit_DATA = packaging/systemd/penstockd.socket
endif
