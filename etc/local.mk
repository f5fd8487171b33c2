dist_sysconf_DATA =
