/**
 * The C servers that we are compared with. Each has a configuration with one thread, a cache large enough for every
 * case, loopback only, and the bench's upstreams. scripts/bench/peers.sh installs them.
 */
import type { Endpoint } from '../../src/boundary/messages.ts'
import type { Place } from './place.ts'

/** One C server. */
export type Peer = {
  readonly name: string
  readonly binary: string
  /** Arguments that make it print its version. */
  readonly version: readonly string[]
  /** Whether it asks all of several upstreams at once. */
  readonly races: boolean
  /** Its listen address, if it cannot use any address of 127.0.0.0/8. */
  readonly address?: string
  /** Files to write, by name within its folder, and the arguments to start it with. */
  readonly set: (place: Place) => {
    readonly files?: Readonly<Record<string, string>>
    readonly args: readonly string[]
  }
}

const each = (upstreams: readonly Endpoint[], line: (upstream: Endpoint) => string): string =>
  upstreams.map(line).join('\n')

/** Size of all its caches in names: the 50,000 of the largest case, and those that misses add. */
const ENTRIES = 200_000

export const PEERS: readonly Peer[] = [
  {
    name: 'unbound',
    binary: 'unbound',
    version: ['-V'],
    races: false,
    set: ({ dir, address, port, upstreams }) => ({
      files: {
        'unbound.conf': `server:
  interface: ${address}@${port}
  access-control: 127.0.0.0/8 allow
  num-threads: 1
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "${dir}"
  pidfile: ""
  use-syslog: no
  verbosity: 0
  module-config: "iterator"
  do-not-query-localhost: no
  msg-cache-size: 64m
  rrset-cache-size: 128m
  outgoing-range: 4096
  num-queries-per-thread: 4096
  prefetch: yes
  so-rcvbuf: 1m
  incoming-num-tcp: 100
  tcp-idle-timeout: 30000
remote-control:
  control-enable: no
forward-zone:
  name: "."
${each(upstreams, u => `  forward-addr: ${u.address}@${u.port}`)}
`,
      },
      args: ['-d', '-c', `${dir}/unbound.conf`],
    }),
  },
  {
    name: 'dnsdist',
    binary: 'dnsdist',
    version: ['--version'],
    races: false,
    set: ({ dir, address, port, upstreams }) => ({
      files: {
        'dnsdist.conf': `setLocal('${address}:${port}', { maxInFlight = 256 })
setACL('127.0.0.0/8')
setMaxUDPOutstanding(65535)
setSecurityPollSuffix('')
${each(upstreams, u => `newServer({ address = '${u.address}:${u.port}', checkName = 'check.bench.example.org.' })`)}
getPool(''):setCache(newPacketCache(${ENTRIES}))
`,
      },
      args: ['--supervised', '--disable-syslog', '-C', `${dir}/dnsdist.conf`],
    }),
  },
  {
    name: 'dnsmasq',
    binary: 'dnsmasq',
    version: ['--version'],
    races: true,
    set: ({ address, port, upstreams }) => ({
      args: [
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--no-resolv',
        '--no-hosts',
        '--bind-interfaces',
        `--listen-address=${address}`,
        `--port=${port}`,
        `--cache-size=${ENTRIES}`,
        '--dns-forward-max=10000',
        '--all-servers',
        '--pid-file=',
        `--user=${process.getuid?.() === 0 ? 'root' : ''}`,
        ...upstreams.map(u => `--server=${u.address}#${u.port}`),
      ],
    }),
  },
  {
    name: 'smartdns',
    binary: 'smartdns',
    version: ['-v'],
    races: true,
    set: ({ dir, address, port, upstreams }) => ({
      files: {
        'smartdns.conf': `bind ${address}:${port}
bind-tcp ${address}:${port}
cache-size ${ENTRIES}
cache-persist no
prefetch-domain no
serve-expired no
speed-check-mode none
response-mode fastest-response
dualstack-ip-selection no
log-level error
log-file ${dir}/smartdns.log
${each(upstreams, u => `server ${u.address}:${u.port}`)}
`,
      },
      args: ['-f', '-c', `${dir}/smartdns.conf`, '-p', `${dir}/smartdns.pid`],
    }),
  },
  {
    name: 'pdns-recursor',
    binary: 'pdns_recursor',
    version: ['--version'],
    races: false,
    set: ({ dir, address, port, upstreams }) => ({
      files: {
        'recursor.conf': `local-address=${address}:${port}
allow-from=127.0.0.0/8
dont-query=
forward-zones-recurse=.=${upstreams.map(u => `${u.address}:${u.port}`).join(';')}
threads=1
pdns-distributes-queries=no
daemon=no
disable-syslog=yes
write-pid=no
socket-dir=${dir}
dnssec=off
qname-minimization=no
max-cache-entries=${ENTRIES}
max-packetcache-entries=${ENTRIES}
max-mthreads=4096
loglevel=2
security-poll-suffix=
`,
      },
      args: [`--config-dir=${dir}`],
    }),
  },
  {
    name: 'knot-resolver',
    binary: 'kresd',
    version: ['-V'],
    races: false,
    set: ({ dir, address, port, upstreams }) => ({
      files: {
        'kresd.conf': `net.listen('${address}', ${port}, { kind = 'dns' })
trust_anchors.remove('.')
cache.open(200 * MB, 'lmdb://${dir}/cache')
policy.add(policy.all(policy.STUB({${upstreams.map(u => `'${u.address}@${u.port}'`).join(', ')}})))
`,
      },
      args: ['-n', '-q', '-c', `${dir}/kresd.conf`, dir],
    }),
  },
  {
    name: 'bind9',
    binary: 'named',
    // BIND only listens on addresses of interfaces, which has one of 127.0.0.0/8.
    address: '127.0.0.1',
    version: ['-v'],
    races: false,
    set: ({ dir, address, port, upstreams }) => ({
      files: {
        'named.conf': `options {
  directory "${dir}";
  listen-on port ${port} { ${address}; };
  listen-on-v6 { none; };
  allow-query { 127.0.0.0/8; };
  recursion yes;
  forward only;
  forwarders { ${upstreams.map(u => `${u.address} port ${u.port};`).join(' ')} };
  dnssec-validation no;
  empty-zones-enable no;
  max-cache-size 256m;
  recursive-clients 10000;
  pid-file none;
  session-keyfile none;
  lock-file none;
  querylog no;
};
controls {};
logging { category default { null; }; category unmatched { null; }; };
`,
      },
      args: ['-g', '-n', '1', '-c', `${dir}/named.conf`],
    }),
  },
]
