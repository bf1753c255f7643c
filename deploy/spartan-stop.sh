#!/bin/sh
# Run by spartan.service whenever it stops. Does nothing if the service will start again: after a crash, and in a
# restart. If an operator stops it, the host's own resolver is restored before the last answer, and the sockets are
# closed afterwards, because otherwise the next query would start the forwarder again.
# The one call of a restart, in which nobody answers meanwhile.
case " $(systemctl --no-legend list-jobs spartan.service) " in *" stop "*) ;; *) exit 0 ;; esac
# Its job must not wait until the service has stopped, as the order of the two units says: it would wait for this
# script, and systemctl would warn that the socket can start the service again. The daemon has its own descriptors.
systemctl --job-mode=ignore-dependencies stop spartan.socket
systemctl stop spartan-resolvconf.service
