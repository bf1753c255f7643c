/**
 * Floods: names that are never asked again, thousands of IDs and ports, questions that are held back and released at
 * once. What others need stays cached, and memory stays bounded.
 */
import t from 'tap'
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { createPacketIO } from '../../src/data/io/io.ts'
import { ask, exchange, query, type At } from '../fixture/client.ts'
import { daemon, type Daemon } from '../fixture/daemon.ts'
import { masters } from '../fixture/masters.ts'
import { A, SOA } from '../fixture/rr.ts'
import { rcodeText } from '../fixture/types.ts'
import { upstream } from '../fixture/upstream.ts'

t.setTimeout(600_000)

const soa = SOA('example.org. 300 ns.example.org. root.example.org. 1 60 600 86400 120')
const rss = (d: Daemon): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${d.pid}/status`, 'utf8'))?.[1]) / 1024

/** Queries that the flood sends each millisecond; more than a daemon answers. */
const PER_TURN = 100
/** Queries of the flood before another client asks. */
const BEFORE = 20_000
/** Offset of the name's first letter in a query. */
const FIRST_LETTER = 13

/** Asks each name once, at most `window` at a time; returns how many were answered. */
const flood = async (at: At, names: Iterable<string>, window = 200): Promise<number> => {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 })
  let answered = 0
  let sent = 0
  let tell = (): void => {}
  socket.on('message', () => {
    answered++
    tell()
  })
  let idle = 0
  for (const name of names) {
    socket.send(query(name, 'A', { id: sent++ & 0xffff }), at.port, at.address)
    while (sent - answered > window && idle < 20) {
      const before = answered
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, 200)
        tell = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      idle = answered === before ? idle + 1 : 0
    }
    // What has not arrived by now was lost at a socket; send the next ones.
    if (idle >= 20) answered = sent
    idle = 0
  }
  for (let n = 0; n < 30 && answered < sent; n++)
    await new Promise(resolve => setTimeout(resolve, 100))
  socket.close()
  return answered
}

function* unique(count: number, zone: string): Generator<string> {
  for (let n = 0; n < count; n++) yield `u${n.toString(36)}.${zone}`
}

t.test('names that nobody asks twice neither evict the hot ones nor fill the memory', async t => {
  const hot = Array.from({ length: 100 }, (_, i) => `hot${i}.example.org`)
  const up = await upstream(t, [soa, ...hot.map(name => A(`${name}. 3600 203.0.113.1`))])
  // Uses are recorded once a second, so a cache that is replaced within a second would also drop hot names.
  const d = await daemon(t, { upstreams: [up.name], cache: { maxBytes: '4MiB' } })
  for (let round = 0; round < 3; round++) for (const name of hot) await ask(d.at, name)
  const before = rss(d)
  up.forget()
  const rounds = 8
  for (let n = 0; n < rounds; n++) {
    await flood(d.at, unique(2_000, `r${n}.example.org`))
    // The hot names are used meanwhile.
    for (const name of hot) await ask(d.at, name)
  }
  const again = up.queries.filter(q => q.name.startsWith('hot')).length
  t.ok(
    again <= hot.length * rounds * 0.05,
    `${again} of ${hot.length * rounds} hot questions had to be asked again`,
  )
  t.ok(rss(d) - before < 80, `memory: ${Math.round(before)} to ${Math.round(rss(d))} MiB`)
  const entries = await d.metric('cache_entries')
  t.comment(`${entries} entries in 4 MiB`)
})

t.test('IDs and ports towards upstreams are spread as by chance', async t => {
  const three = await masters(t, [
    { rcode: 'NXDOMAIN', authority: [SOA('mesos. 60 ns1.mesos. root.mesos. 1 2 3 4 5')] },
  ])
  const d = await daemon(t, { masters: three.config })
  const count = 6_000
  await flood(d.at, unique(count, 'mesos'), 100)
  const queries = three.at(0).queries.filter(q => q.name.startsWith('u'))
  t.ok(queries.length > count * 0.98, `${queries.length} questions`)
  const n = queries.length
  // Sixteen bins of the ID's upper and lower bits: chi-square with 15 degrees of freedom exceeds 50 once in 80,000
  // times.
  for (const shift of [0, 12]) {
    const bins = Array<number>(16).fill(0)
    for (const q of queries) bins[(q.id >> shift) & 15]!++
    const chi = bins.reduce((sum, k) => sum + (k - n / 16) ** 2 / (n / 16), 0)
    t.ok(chi < 50, `chi-square of bits ${shift} to ${shift + 3}: ${chi.toFixed(1)}`)
  }
  const ups = queries.filter((q, i) => i > 0 && q.id > queries[i - 1]!.id).length / n
  t.ok(
    ups > 0.45 && ups < 0.55,
    `an ID is above the one before in ${(100 * ups).toFixed(1)} % of cases`,
  )
  const ports = new Set(queries.map(q => q.port))
  t.ok(ports.size >= 40, `${ports.size} different source ports`)
  t.same(
    new Set(three.all.map(m => new Set(m.queries.map(q => `${q.id}`)).size > 5_000)),
    new Set([true]),
  )
})

t.test('questions held back upstream do not pile up without end', async t => {
  const up = await upstream(t, [soa, { drop: true }])
  const d = await daemon(t, { upstreams: [up.name], cache: { maxBytes: '2MiB' } })
  const before = rss(d)
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 })
  const rcodes = new Set<number>()
  let told = 0
  socket.on('message', raw => {
    rcodes.add(raw[3]! & 15)
    told++
  })
  let n = 0
  for (const name of unique(10_000, 'example.org')) {
    socket.send(query(name, 'A', { id: n & 0xffff }), d.at.port, d.at.address)
    if (++n % 100 === 0) await new Promise(resolve => setTimeout(resolve, 5))
  }
  // A full socket may drop a datagram, so the question is repeated.
  let life: Buffer | undefined
  for (let tries = 0; tries < 30 && !life; tries++)
    life = await exchange(d.at, query('ready.spartan'), { timeout: 500 })
  t.ok(life, 'others are served meanwhile')
  for (let calm = 0, last = -1; calm < 20; last = told) {
    await new Promise(resolve => setTimeout(resolve, 100))
    calm = told === last ? calm + 1 : 0
  }
  socket.close()
  t.same([...rcodes], [2], 'SERVFAIL for all of them')
  t.ok(told > 1_000, `${told} of 10,000 were told`)
  t.equal(await d.metric('queries_in_flight'), 0, 'nothing is left in flight')
  t.ok(rss(d) - before < 150, `memory: ${Math.round(before)} to ${Math.round(rss(d))} MiB`)
  t.equal(d.stray, '')
})

t.test('a client that asks for more names than can be answered costs another one none', async t => {
  const up = await upstream(t, [soa, A('known.example.org. 3600 203.0.113.1')])
  const d = await daemon(t, { upstreams: [up.name] })
  await ask(d.at, 'known.example.org')
  const { io } = await createPacketIO({ io: 'auto' })
  t.teardown(() => io.close())
  const socket = await io.open({ address: '127.66.0.1', port: 0, onBatch: () => {} })
  const server = io.peer(d.at.address, d.at.port)
  const question = query(`${'0'.repeat(9)}.example.org`)
  let sent = 0
  io.start(() => {
    for (const end = sent + PER_TURN; sent < end; sent++) {
      question.writeUInt16BE(sent & 0xffff)
      question.write(String(sent).padStart(9, '0'), FIRST_LETTER, 'latin1')
      socket.send(question, 0, question.length, server)
    }
    return 1
  })
  while (sent < BEFORE) await new Promise(resolve => setTimeout(resolve, 100))
  // Hits, and misses that need no upstream: ours shares a process with the flood.
  const wanted = Array.from({ length: 40 }, (_, i) =>
    i % 2 === 0 ? ['known.example.org', 'NOERROR'] : [`n${i}.test`, 'NXDOMAIN'],
  )
  const got: string[] = []
  for (const [name = ''] of wanted) {
    // Like a stub resolver, which asks three times.
    let reply: Buffer | undefined
    for (let tries = 0; tries < 3 && !reply; tries++)
      reply = await exchange(d.at, query(name), { timeout: 5_000, from: '127.66.0.2' })
    got.push(reply ? rcodeText(reply[3]! & 15) : 'no answer')
  }
  t.same(
    got,
    wanted.map(([, rcode]) => rcode),
  )
  t.comment(`${sent} queries of the flood`)
  t.equal(d.stray, '')
})

t.test('a reply is never much larger than what UDP may carry', async t => {
  const many = Array.from({ length: 200 }, (_, i) => A(`many.example.org. 60 203.0.113.${i}`))
  const up = await upstream(t, [soa, ...many])
  const d = await daemon(t, { upstreams: [up.name] })
  for (const size of [512, 1232, 4096, 65_535]) {
    const got = await ask(d.at, 'many.example.org', 'A', { edns: { size } })
    t.ok(got.raw.length <= Math.min(size, 1232), `${got.raw.length} octets for a client of ${size}`)
  }
})
