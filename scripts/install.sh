#!/bin/sh
# usage: [DESTDIR=dir] [NODE=/path/to/node] scripts/install.sh
# Installs a built tree (npm ci && npm run build) as /opt/spartan, the command
# spartan, the units, and a configuration if there is none. Needs no network and
# starts nothing. What is wrong is said before anything of the host is changed.
set -eu
umask 022
cd "$(dirname "$0")/.."
root=${DESTDIR:-}
node=${NODE:-$(command -v node || true)}
home=$root/opt/spartan
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
[ -f dist/main.js ] && [ -d node_modules ] || refuse "not built yet: npm ci && npm run build"

# The new tree is complete, and runs, before it takes the old one's place.
trap 'rm -rf "$home.new"' EXIT
rm -rf "$home.new"
why=$({ mkdir -p "$home.new" && cp -R dist package.json package-lock.json deploy "$home.new" &&
  "$node" scripts/dependencies.js "$home.new"; } 2>&1) ||
  refuse "the program cannot be copied to $root/opt: $(printf '%s\n' "$why" | head -n 1)"
chmod -R u=rwX,go=rX "$home.new"
"$node" "$home.new/dist/main.js" --version >/dev/null 2>&1 || refuse "the program does not run with $node"
rm -rf "$home.old"
[ ! -e "$home" ] || mv "$home" "$home.old"
mv "$home.new" "$home"
rm -rf "$home.old"

install -d "$root/usr/local/bin" "$root/usr/local/share/man/man5" "$root/usr/local/share/man/man8" "$root/etc/spartan" "$root/etc/systemd/system" \
  "$root/etc/systemd/network" "$root/etc/NetworkManager/conf.d" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d" "$root/usr/lib/spartan"
# V8's helper threads for garbage would take the cores that answers are given on: beside 10,000 tasks
# read anew twice a second, p99 of the cache's answers 4.5 ms with them and 0.6 ms without.
flags=
if "$node" --single-threaded-gc -e 0 2>/dev/null; then flags=' --single-threaded-gc'; fi
printf '#!/bin/sh\nexec %s%s /opt/spartan/dist/main.js "$@"\n' "$node" "$flags" > "$root/usr/local/bin/spartan"
chmod 755 "$root/usr/local/bin/spartan"
install -m 644 deploy/*.service deploy/*.socket deploy/*.timer "$root/etc/systemd/system"
install -m 644 deploy/spartan.sysusers "$root/usr/lib/sysusers.d/spartan.conf"
install -m 644 deploy/spartan.tmpfiles "$root/usr/lib/tmpfiles.d/spartan.conf"
install -m 644 deploy/network/10-spartan.network "$root/etc/systemd/network"
install -m 644 deploy/network/spartan-unmanaged.conf "$root/etc/NetworkManager/conf.d"
install -m 644 deploy/spartan.yaml.5 "$root/usr/local/share/man/man5"
install -m 644 deploy/spartan.8 "$root/usr/local/share/man/man8"
install -m 644 deploy/spartan.schema.json "$root/usr/lib/spartan"
[ -f "$root/etc/spartan/spartan.yaml" ] || install -m 644 deploy/spartan.yaml "$root/etc/spartan"

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
