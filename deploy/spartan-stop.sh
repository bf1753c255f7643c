#!/bin/sh
# Run by spartan.service whenever it stops. Does nothing if the service will start again: after a crash, and in a
# restart. If an operator stops it, the host's own resolver is restored before the last answer, and the sockets are
# closed afterwards, because otherwise the next query would start the forwarder again.
# The one call of a restart, in which nobody answers meanwhile.
case " $(systemctl --no-legend list-jobs spartan.service) " in *" stop "*) ;; *) exit 0 ;; esac
# The order of the two units says that the socket stops after the service, which waits for this script: without
# ignore-dependencies this call would never return, and with --no-block systemctl would warn that the socket can still
# start the service. The daemon goes on answering with its own descriptors of the sockets.
systemctl --job-mode=ignore-dependencies stop spartan.socket
systemctl stop spartan-resolvconf.service
