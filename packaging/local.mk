# The units; where systemd's unit directory is, configure finds out or is told.  Each is made
# from its .in twice: for the service, and as the template of further instances.
UNITS = \
	packaging/systemd/penstockd.service \
	packaging/systemd/penstockd.socket \
	packaging/systemd/penstockd@.service \
	packaging/systemd/penstockd@.socket
DROP_INS = \
	packaging/systemd/drop-ins/credentials.conf \
	packaging/systemd/drop-ins/directories.conf \
	packaging/systemd/drop-ins/memory.conf \
	packaging/systemd/drop-ins/stats-socket.conf
EXTRA_DIST += packaging/systemd/penstockd.service.in packaging/systemd/penstockd.socket.in
CLEANFILES += $(UNITS) first.tar.xz

THE_SERVICE = -e 's|@instance[@]||g' -e 's|@of[@]||g' -e 's|@name[@]|penstock|g' -e 's|@below[@]||g'
AN_INSTANCE = -e 's|@instance[@]|@%i|g' -e 's|@of[@]|: %i|g' -e 's|@name[@]|%i|g' \
	-e 's|@below[@]|/%i|g'
make_unit = $(MKDIR_P) packaging/systemd && sed -e 's|@bindir[@]|$(bindir)|g' \
	-e 's|@sbindir[@]|$(sbindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g'

packaging/systemd/penstockd.service: $(srcdir)/packaging/systemd/penstockd.service.in Makefile
	$(AM_V_GEN)$(make_unit) $(THE_SERVICE) $(srcdir)/packaging/systemd/penstockd.service.in >$@
packaging/systemd/penstockd.socket: $(srcdir)/packaging/systemd/penstockd.socket.in Makefile
	$(AM_V_GEN)$(make_unit) $(THE_SERVICE) $(srcdir)/packaging/systemd/penstockd.socket.in >$@
packaging/systemd/penstockd@.service: $(srcdir)/packaging/systemd/penstockd.service.in Makefile
	$(AM_V_GEN)$(make_unit) $(AN_INSTANCE) $(srcdir)/packaging/systemd/penstockd.service.in >$@
packaging/systemd/penstockd@.socket: $(srcdir)/packaging/systemd/penstockd.socket.in Makefile
	$(AM_V_GEN)$(make_unit) $(AN_INSTANCE) $(srcdir)/packaging/systemd/penstockd.socket.in >$@

if HAVE_UNITDIR
systemdsystemunitdir = $(SYSTEMDUNITDIR)
nodist_systemdsystemunit_DATA = $(UNITS)
catalogdir = $(prefix)/lib/systemd/catalog
dist_catalog_DATA = packaging/catalog/penstock.catalog
endif
dropinexamplesdir = $(docdir)/examples/penstockd.service.d
dist_dropinexamples_DATA = $(DROP_INS)

# They ask the programs for what there is, so they are the same for every version.
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = packaging/completions/penstock
zshcompletiondir = $(datadir)/zsh/site-functions
dist_zshcompletion_DATA = packaging/completions/_penstock

EXTRA_DIST += packaging/logrotate.conf packaging/sysusers.conf
# bash looks for a file of the command's name; logrotate and sysusers want the package's.
install-data-hook:
	cd $(DESTDIR)$(bashcompletiondir) && rm -f penstockd && $(LN_S) penstock penstockd
	$(MKDIR_P) $(DESTDIR)$(sysconfdir)/logrotate.d $(DESTDIR)$(prefix)/lib/sysusers.d \
		$(DESTDIR)$(penstockconfdir)/conf.d
	$(INSTALL_DATA) $(srcdir)/packaging/logrotate.conf $(DESTDIR)$(sysconfdir)/logrotate.d/penstock
	$(INSTALL_DATA) $(srcdir)/packaging/sysusers.conf $(DESTDIR)$(prefix)/lib/sysusers.d/penstock.conf
uninstall-hook:
	rm -f $(DESTDIR)$(bashcompletiondir)/penstockd $(DESTDIR)$(sysconfdir)/logrotate.d/penstock \
		$(DESTDIR)$(prefix)/lib/sysusers.d/penstock.conf

# --- packages, from the tarball --------------------------------------------------------------

DEBIAN = \
	packaging/debian/changelog \
	packaging/debian/control \
	packaging/debian/copyright \
	packaging/debian/penstock.lintian-overrides \
	packaging/debian/penstock.postinst \
	packaging/debian/penstock.postrm \
	packaging/debian/penstock.prerm \
	packaging/debian/rules \
	packaging/debian/source/format
EXTRA_DIST += $(DEBIAN) packaging/packages.sh packaging/rpm/penstock.spec \
	packaging/rpm/rpmlint.toml

deb rpm check-deb: dist
	@$(SHELL) $(srcdir)/packaging/packages.sh $@ $(distdir).tar.xz $(abs_builddir)/packages
# A second tarball, made under other circumstances, has to be the same.
check-packages: dist
	@mv $(distdir).tar.xz first.tar.xz && umask 077 && TZ=Asia/Tokyo $(MAKE) -s dist && \
		cmp first.tar.xz $(distdir).tar.xz && rm first.tar.xz && \
		echo 'packages: made twice, the same: $(distdir).tar.xz'
	@$(SHELL) $(srcdir)/packaging/packages.sh check $(distdir).tar.xz $(abs_builddir)/packages
.PHONY: deb rpm check-deb check-packages
