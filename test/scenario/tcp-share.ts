/** The share of one client of the TCP connections, and `allow` at accept: the real daemon in a network of its own. */
import t from 'tap'
import { join } from 'node:path'
import { daemon, PROGRAM } from '../fixture/daemon.ts'
import { readExposition } from '../fixture/exposition.ts'
import { lab, missing } from '../fixture/netns.ts'
import { askDaemon } from '../../src/http/admin-client.ts'

const CLIENTS = join(import.meta.dirname, '../fixture/tcp-clients.mjs')
const SERVER4 = '198.51.100.53'
const SERVER6 = '2001:db8:53::53'
const CONNECTIONS = 40
/** A quarter. */
const SHARE = 10

/** Who opens how many connections, one after another, how many of them are served, and why the others are not. */
const ROWS: readonly (readonly [
  says: string,
  from: string,
  opens: number,
  served: number,
  reason?: 'client' | 'refused' | 'cap',
])[] = [
  ['an IPv6 client gets its share', '2001:db8:1::1', SHARE + 3, SHARE, 'client'],
  ['all addresses of its /64 are one client', '2001:db8:1::ffff:2', 3, 0, 'client'],
  ['another /64 is another client', '2001:db8:1:1::1', 3, 3],
  ['who is outside allow is not served', '2001:db9::1', 2, 0, 'refused'],
  ['an IPv4 client gets its share', '198.51.100.1', SHARE + 2, SHARE, 'client'],
  ['its neighbour is another client', '198.51.100.2', SHARE, SHARE],
  ['who is outside allow is not served over IPv4 either', '203.0.113.1', 2, 0, 'refused'],
  ['and has taken no place', '198.51.100.3', SHARE, CONNECTIONS - 3 * SHARE - 3, 'cap'],
]

t.test('one client cannot take all TCP connections', { skip: missing() }, async t => {
  const host = lab(t).host('tcp', [])
  for (const address of [SERVER4, SERVER6, ...ROWS.map(([, from]) => from)])
    host.sh(`ip addr add ${address} dev lo`)
  const d = await daemon(
    t,
    {
      listen: { addresses: [SERVER4, SERVER6], port: 53 },
      allow: ['198.51.100.0/24', '2001:db8::/32'],
      limits: { tcpConnections: CONNECTIONS, tcpIdle: '10m' },
    },
    { program: ['ip', 'netns', 'exec', host.name, process.execPath, PROGRAM] },
  )
  const plan = ROWS.map(([, from, opens]) => `${from}=${opens}`)
  const { out, error } = host.try(process.execPath, [CLIENTS, SERVER4, SERVER6, '53', ...plan])
  t.equal(error, '')
  const counts = JSON.parse(out) as Record<string, number>
  for (const [says, from, , served] of ROWS) t.equal(counts[from], served, says)

  const target = { socket: d.socket, listen: undefined }
  const { text } = await askDaemon(target, { path: '/metrics' })
  const closed = readExposition(text).get('spartan_tcp_closed_total')!.samples
  for (const reason of ['client', 'refused', 'cap'])
    t.equal(
      closed.find(({ labels }) => labels['reason'] === reason)?.value,
      ROWS.reduce(
        (sum, [, , opens, served, why]) => sum + (why === reason ? opens - served : 0),
        0,
      ),
      `closed for ${reason}`,
    )
})
