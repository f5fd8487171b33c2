penstockconfdir = $(sysconfdir)/penstock
dist_penstockconf_DATA = etc/penstock.conf

# One for each typical use; tests/system/test_examples.py runs them.
examplesdir = $(docdir)/examples
dist_examples_DATA = etc/examples/README
nightlydir = $(examplesdir)/nightly
dist_nightly_DATA = \
	etc/examples/nightly/nightly.conf \
	etc/examples/nightly/penstock-nightly.service \
	etc/examples/nightly/penstock-nightly.timer
intakedir = $(examplesdir)/intake
dist_intake_DATA = etc/examples/intake/intake.conf
dist_intake_SCRIPTS = etc/examples/intake/submit-curl.sh etc/examples/intake/submit.sh
proberdir = $(examplesdir)/prober
dist_prober_DATA = etc/examples/prober/prober.conf
dist_prober_SCRIPTS = etc/examples/prober/down.sh
webhookdir = $(examplesdir)/webhook
dist_webhook_DATA = etc/examples/webhook/credential.conf etc/examples/webhook/webhook.conf
dist_webhook_SCRIPTS = etc/examples/webhook/send.sh
