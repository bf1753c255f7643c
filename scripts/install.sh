#!/bin/sh
# usage: [DESTDIR=dir] [NODE=/path/to/node] install.sh
# Installs the files of the package spartan at their places, out of an unpacked archive, or out of a checkout that is
# built (npm ci && npm run build), and keeps a configuration that is there. Needs no network and starts nothing. What
# is wrong is said before anything of the host is changed.
set -eu
umask 022
cd "$(dirname "$0")"
root=${DESTDIR:-}
node=${NODE:-$(command -v node || true)}
home=$root/usr/lib/spartan
refuse() {
  echo "install.sh: $*; nothing was changed" >&2
  exit 1
}

[ -n "$root" ] || [ "$(id -u)" = 0 ] || refuse "this needs root, or DESTDIR"
case $node in /*) ;; *) refuse "there is no Node: install 20.18.1 or later, or say NODE=/path/to/node" ;; esac
[ -x "$node" ] || refuse "NODE=$node is no program"
# The units hide home directories from the daemon, and its /tmp is another one.
case $(readlink -f "$node") in
  /home/* | /root/* | /run/user/* | /tmp/* | /var/tmp/*)
    refuse "$node is where the daemon cannot see it: install Node for the whole host, or say NODE=/path/to/node" ;;
esac
"$node" -e 'const [a, b, c] = process.versions.node.split(".").map(Number)
  process.exit(a > 20 || (a === 20 && (b > 18 || (b === 18 && c >= 1))) ? 0 : 1)' 2>/dev/null ||
  refuse "Node 20.18.1 or later is needed, and $node is $("$node" --version 2>/dev/null || echo none that runs)"
for package in spartan spartan-node; do
  [ "$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${db:Status-Status}' $package 2>/dev/null)" != installed ] ||
    refuse "the package $package is installed here: upgrade it with dpkg, or remove it first"
done
[ -d tree ] || { [ -f ../dist/main.js ] && [ -d ../node_modules ]; } || refuse "not built yet: npm ci && npm run build"

# The new tree is complete, and runs, before it takes the old one's place.
new=$home.new
trap 'rm -rf "$new"' EXIT
rm -rf "$new"
why=$({ mkdir -p "$new" && if [ -d tree ]; then cp -R tree/. "$new"; else "$node" package.js --tree "$new"; fi; } 2>&1) ||
  refuse "the program cannot be copied to $home: $(printf '%s\n' "$why" | grep -m 1 -iE 'error|no space|cannot|not ' || printf '%s\n' "$why" | head -n 1)"
"$node" "$new/usr/lib/spartan/dist/program/main.js" --version >/dev/null 2>&1 || refuse "the program does not run with $node"
if [ -f "$new/usr/lib/spartan/dist/compile.js" ]; then
  "$node" --single-threaded-gc "$new/usr/lib/spartan/dist/compile.js" 2>/dev/null ||
    echo "install.sh: the program could not be compiled in advance, so it starts more slowly" >&2
fi
# The command starts this Node.
mkdir -p "$new/usr/lib/spartan/node/bin"
ln -s "$node" "$new/usr/lib/spartan/node/bin/node"
chmod -R u=rwX,go=rX "$new"
for file in etc/spartan/spartan.yaml etc/default/spartan; do
  [ ! -f "$root/$file" ] || rm -f "$new/$file"
done
rm -rf "$home.old"
[ ! -e "$home" ] || mv "$home" "$home.old"
mv "$new/usr/lib/spartan" "$home"
rm -rf "$home.old"
cp -R "$new/." "$root/"

# What versions before put elsewhere would come first.
if [ -d "$root/opt/spartan/dist" ]; then
  for unit in "$new"/usr/lib/systemd/system/*; do rm -f "$root/etc/systemd/system/${unit##*/}"; done
  rm -rf "$root/opt/spartan" "$root/usr/local/bin/spartan" "$root/usr/local/share/man/man5/spartan.yaml.5" \
    "$root/usr/local/share/man/man8/spartan.8" "$root/etc/systemd/network/10-spartan.network" \
    "$root/etc/NetworkManager/conf.d/spartan-unmanaged.conf"
fi

[ -z "$root" ] || exit 0
systemd-sysusers spartan.conf
systemd-tmpfiles --create spartan.conf
systemctl daemon-reload
cat <<'END'
Next: edit /etc/spartan/spartan.yaml, then
  spartan check --config /etc/spartan/spartan.yaml
  systemctl enable --now spartan spartan-resolvconf
The way out, which puts back /etc/resolv.conf:
  systemctl disable --now spartan spartan-resolvconf
END
