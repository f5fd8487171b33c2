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
catalogdir = $(prefix)/lib/systemd/catalog
dist_catalog_DATA = packaging/catalog/penstock.catalog
endif

# They ask the programs for what there is, so they are the same for every version.
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = packaging/completions/penstock
zshcompletiondir = $(datadir)/zsh/site-functions
dist_zshcompletion_DATA = packaging/completions/_penstock

# bash looks for a file of the command's name.
install-data-hook:
	cd $(DESTDIR)$(bashcompletiondir) && rm -f penstockd && $(LN_S) penstock penstockd
uninstall-hook:
	rm -f $(DESTDIR)$(bashcompletiondir)/penstockd
