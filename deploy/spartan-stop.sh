#!/bin/sh
# Run by spartan.service whenever it stops. Does nothing if it will start again by itself: after a
# crash, and in a restart. If an operator stops it, this host's resolver is put back before the last
# answer, and the sockets close behind it: the next query would start the forwarder again.
systemctl --no-legend list-jobs spartan.service | grep -qw stop || exit 0
# The socket waits until the service has stopped, so nobody may wait for the socket here.
systemctl --no-block stop spartan.socket
systemctl stop spartan-resolvconf.service
