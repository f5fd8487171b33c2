penstockconfdir = $(sysconfdir)/penstock
dist_penstockconf_DATA = etc/penstock.conf
